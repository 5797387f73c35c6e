package interop

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/test/harness"
)

const root = "../.."

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ledger is a node that shows checkpoints.
type ledger struct {
	t      *testing.T
	ctx    context.Context
	api    string
	web    *http.Client
	key    evidence.PublicKey
	policy torchwood.Policy // its origin and its key
	source *harness.Source
}

// start runs a node. A new cluster has a key for its checkpoints.
func start(t *testing.T) *ledger {
	t.Helper()
	l := &ledger{t: t}
	var cancel context.CancelFunc
	l.ctx, cancel = context.WithTimeout(t.Context(), 3*time.Minute)
	dir, tools := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "cluster-id"), []byte("interop\n"), 0o644))
	bin := os.Getenv("INTEROP_NODE")
	if bin == "" {
		bin = filepath.Join(tools, "recount-node")
		must(t, harness.Build(root, bin, "./cmd/node"))
	}
	port, err := harness.FreePort(1)
	must(t, err)
	c, err := harness.Start(l.ctx, bin, dir, 1, port, harness.Keys...)
	must(t, err)
	t.Cleanup(func() {
		cancel()
		_ = c.Stop()
	})
	text, err := os.ReadFile(filepath.Join(c.Dir, "ledger.pub"))
	must(t, err)
	keys, err := evidence.ParsePublicKeys(string(text))
	must(t, err)
	l.key = keys[0]
	v, err := note.NewVerifier(l.key.String())
	must(t, err)
	l.policy = torchwood.ThresholdPolicy(2, torchwood.OriginPolicy("recount/interop"), torchwood.SingleVerifierPolicy(v))
	l.api, l.web = c.API[0], c.HTTP(16)
	l.source, err = harness.NewSource(root)
	must(t, err)
	return l
}

// submit sends n records.
func (l *ledger) submit(n int) {
	l.t.Helper()
	var body bytes.Buffer
	for range n {
		record, err := l.source.Next("interop")
		must(l.t, err)
		body.Write(append(record, '\n'))
	}
	resp, err := l.web.Post(l.api+"/v1/pcs/submit-batch", "application/x-ndjson", &body)
	must(l.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	must(l.t, err)
	if taken := bytes.Count(answer, []byte(`"status":200`)); taken != n {
		l.t.Fatalf("%s: %d of %d records are taken: %s", resp.Status, taken, n, answer)
	}
}

// fetcher is the client of torchwood for the node.
func (l *ledger) fetcher(web *http.Client) *torchwood.TileFetcher {
	l.t.Helper()
	f, err := torchwood.NewTileFetcher(l.api, torchwood.WithHTTPClient(web))
	must(l.t, err)
	return f
}

// checkpoint waits for a checkpoint of at least size events, reads it with their code and with ours, and compares.
func (l *ledger) checkpoint(size int64) (signed []byte, theirs torchwood.Checkpoint) {
	l.t.Helper()
	for {
		var err error
		if signed, err = l.fetcher(l.web).ReadEndpoint(l.ctx, "checkpoint"); err == nil {
			theirs, _, err = torchwood.VerifyCheckpoint(signed, l.policy)
			must(l.t, err)
			if theirs.N >= size {
				break
			}
		}
		select {
		case <-l.ctx.Done():
			l.t.Fatalf("no checkpoint of %d events: %v", size, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	ours, by, err := evidence.OpenCheckpoint(signed, l.key)
	must(l.t, err)
	if ours.Size != uint64(theirs.N) || ours.Root != theirs.Hash || ours.Origin != theirs.Origin || len(by) != 1 {
		l.t.Fatalf("we read %+v, they read %+v", ours, theirs)
	}
	return signed, theirs
}

// get reads a path of the node, as JSON.
func (l *ledger) get(into any, path string, args ...any) {
	l.t.Helper()
	status, err := harness.GetJSON(l.ctx, l.web, l.api+fmt.Sprintf(path, args...), into)
	if err != nil || status != http.StatusOK {
		l.t.Fatalf(path+": %d, %v", append(args, status, err)...)
	}
}
