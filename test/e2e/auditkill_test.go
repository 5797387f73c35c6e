package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/auditor"
	"github.com/recount-ledger/recount/internal/export"
	"github.com/recount-ledger/recount/test/harness"
)

// killedAt is the number of points at which an audit is killed.
const killedAt = 6

// TestAuditKilled kills an audit of a whole ledger at several points. What goes on from there ends with the report of a
// run that nobody killed, so that no event is missing and none is there twice.
func TestAuditKilled(t *testing.T) {
	c, ctx := start(t, 1)
	r := newRecount(t, ctx, c)
	src, err := harness.NewSource(root)
	r.must(err)
	var made sync.Mutex
	next := func(shard string) []byte {
		made.Lock()
		defer made.Unlock()
		b, err := src.Next(shard)
		r.must(err)
		return b
	}
	r.flow(ctx, next, 1500, rate.Inf)
	number := r.start(r.publish("params: {tol_d: \"0.01\"}\n" + everyProfile))
	r.await(number)
	r.activate(number)
	r.flow(ctx, next, 300, rate.Inf)
	from := exportAll(ctx, t, c)

	whole := t.TempDir()
	began := time.Now()
	want, code := runAudit(ctx, t, 0, "--from", from, "--dir", whole)
	took := time.Since(began)
	if code != 0 || want.Events < 1800 || len(want.Generations) != 2 {
		t.Fatalf("exit code %d: %+v", code, want)
	}
	t.Logf("%d events in %v", want.Events, took)
	killed, steps := 0, t.TempDir()
	for i := range killedAt {
		after := took * time.Duration(i+1) / (killedAt + 1)
		dir := t.TempDir()
		if _, code := runAudit(ctx, t, after, "--from", from, "--dir", dir); code < 0 {
			killed++
		}
		sameAudit(ctx, t, want, "--from", from, "--dir", dir)
		// and all kills in one directory
		if _, code := runAudit(ctx, t, after, "--from", from, "--dir", steps); code < 0 {
			killed++
		}
	}
	sameAudit(ctx, t, want, "--from", from, "--dir", steps)
	if killed < killedAt/2 {
		t.Errorf("only %d of %d runs were killed before they ended", killed, 2*killedAt)
	}
	// the ledger itself goes on where the export ended
	got, code := runAudit(ctx, t, 0, "--from", c.API[0], "--ca", filepath.Join(c.Dir, "ca.pem"), "--token-file",
		filepath.Join(c.Dir, "tokens", "operator.token"), "--dir", steps)
	if code != 0 || got.Events < want.Events {
		t.Errorf("exit code %d: %+v", code, got)
	}
}

// sameAudit wants the report of the run that nobody killed.
func sameAudit(ctx context.Context, t *testing.T, want auditor.Report, args ...string) {
	t.Helper()
	got, code := runAudit(ctx, t, 0, args...)
	got.Seconds, want.Seconds = 0, 0
	have, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	expected, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if code != 0 || string(have) != string(expected) {
		t.Errorf("exit code %d:\n%s\nwant\n%s", code, have, expected)
	}
}

// runAudit runs the program and returns its report and exit code, -1 if it was killed after a time.
func runAudit(ctx context.Context, t *testing.T, after time.Duration, args ...string) (r auditor.Report, code int) {
	t.Helper()
	var out, said strings.Builder
	cmd := exec.CommandContext(ctx, nodeBin, append([]string{"audit", "verify", "-o", "json", "--quiet"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if after > 0 {
		timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
	}
	err := cmd.Wait()
	var ended *exec.ExitError
	if err != nil && (!errors.As(err, &ended) || ended.ExitCode() >= 0) {
		t.Fatalf("%v: %v\n%s%s", args, err, out.String(), said.String())
	}
	if err != nil {
		return r, -1
	}
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out.String())
	}
	return r, 0
}

// exportAll exports the ledger of a cluster.
func exportAll(ctx context.Context, t *testing.T, c *harness.Cluster) string {
	t.Helper()
	ca, err := os.ReadFile(filepath.Join(c.Dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(c.Dir, "tokens", "operator.token"))
	if err != nil {
		t.Fatal(err)
	}
	cl, err := client.New(client.Config{Endpoints: c.API, CA: ca, Token: strings.TrimSpace(string(token))})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "export")
	_, err = export.Write(ctx, cl, export.Options{Dir: dir, Timeout: time.Minute, At: time.Now(), Tool: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
