package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/test/harness"
)

// witnessRun is a process of recount witness serve.
type witnessRun struct {
	t         *testing.T
	dir, tool string
	listen    string
	public    evidence.WitnessKey
	cmd       *exec.Cmd
}

// newWitness makes the key of a witness, and the file that tells nodes about it. Nothing listens yet.
func newWitness(t *testing.T) *witnessRun {
	t.Helper()
	w := &witnessRun{t: t, dir: t.TempDir(), tool: filepath.Join(filepath.Dir(nodeBin), "recount")}
	port, err := harness.FreePort(1)
	if err == nil {
		err = harness.Build(root, w.tool, "./cmd/recount")
	}
	if err != nil {
		t.Fatal(err)
	}
	w.listen = fmt.Sprintf("127.0.0.1:%d", port+5) // beside the ports of a cluster
	out, err := exec.Command(w.tool, "witness", "key", "create", "--name", "w.example", "--out", w.at("key"), "-o", "json").Output()
	var made struct{ Keys []string }
	if err = errors.Join(err, json.Unmarshal(out, &made)); err != nil || len(made.Keys) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	if w.public, err = evidence.ParseWitnessKey(made.Keys[0]); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("witness w %s http://%s\nquorum w\n", w.public, w.listen)
	if err := os.WriteFile(w.at("policy"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *witnessRun) at(name string) string { return filepath.Join(w.dir, name) }

// env tells the nodes about the witness.
func (w *witnessRun) env() string { return "RECOUNT_WITNESS_FILE=" + w.at("policy") }

// start runs the witness of a ledger with the public keys in a file.
func (w *witnessRun) start(ledger string) {
	w.t.Helper()
	w.cmd = exec.Command(w.tool, "witness", "serve", "--key-file", w.at("key"), "--ledger", ledger, "--dir", w.at("seen"),
		"--listen", w.listen)
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := w.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.cmd.Process.Kill(); _ = w.cmd.Wait() })
}

// crash kills the witness and starts it again.
func (w *witnessRun) crash(ledger string) {
	w.t.Helper()
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
	w.start(ledger)
}

// follows waits until each node shows a cosigned checkpoint of at least size events, and checks that the witness saw no
// contradiction. It returns what the witness has seen.
func (w *witnessRun) follows(ctx context.Context, c *harness.Cluster, size uint64) uint64 {
	w.t.Helper()
	client := c.HTTP(2)
	defer client.CloseIdleConnections()
	text, err := os.ReadFile(filepath.Join(c.Dir, "ledger.pub"))
	key, err2 := evidence.ParsePublicKey(strings.TrimSpace(string(text)))
	if err = errors.Join(err, err2); err != nil {
		w.t.Fatal(err)
	}
	for _, api := range c.API {
		w.await(ctx, func() error { return w.cosigned(ctx, client, api, key, size) })
	}
	out, err := exec.Command(w.tool, "witness", "list", "--dir", w.at("seen"), "-o", "json").Output()
	var list []struct {
		Size            uint64
		Forks, Unproven int
	}
	if err = errors.Join(err, json.Unmarshal(out, &list)); err != nil || len(list) != 1 || list[0].Forks+list[0].Unproven > 0 ||
		list[0].Size < size {
		w.t.Fatalf("the witness has not seen one ledger of %d events: %v %s", size, err, out)
	}
	return list[0].Size
}

// await repeats try until it works, for at most a minute.
func (w *witnessRun) await(ctx context.Context, try func() error) {
	w.t.Helper()
	tick, late := time.NewTicker(100*time.Millisecond), time.NewTimer(time.Minute)
	defer tick.Stop()
	defer late.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-late.C:
			w.t.Fatal(err)
		case <-ctx.Done():
			w.t.Fatal(ctx.Err(), err)
		}
	}
}

// cosigned returns an error if a node does not show so many events with a cosignature.
func (w *witnessRun) cosigned(ctx context.Context, client *http.Client, api string, key evidence.PublicKey, size uint64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api+"/checkpoint", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	note, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %d %s %w", api, resp.StatusCode, note, err)
	}
	got, _, err := evidence.OpenCheckpoint(note, key)
	if err != nil {
		return err
	}
	by, err := evidence.Cosignatures(note, w.public)
	if err == nil && (got.Size < size || len(by) == 0) {
		err = fmt.Errorf("%s shows %d of %d events, with %d cosignatures", api, got.Size, size, len(by))
	}
	return err
}
