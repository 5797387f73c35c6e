package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/s3test"
	"github.com/recount-ledger/recount/test/harness"
)

// TestS3BackupUnderLoad backs a cluster of three processes up to an S3 server while 32 Go clients submit, whole and
// then what is new, verifies the second backup, and restores it as another cluster. The restored ledger has the digests
// that the nodes gave at the last event of the backup. No submission fails.
func TestS3BackupUnderLoad(t *testing.T) {
	if !full {
		t.Skip("RECOUNT_E2E=full runs it")
	}
	s3test.Start(t)
	const store = "s3://" + s3test.Bucket + "/prod"
	c, ctx := start(t, 3)
	dir := t.TempDir()
	tool, key := filepath.Join(dir, "recount"), filepath.Join(dir, "backup")
	if err := harness.Build(root, tool, "./cmd/recount"); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(ctx, tool, "keygen", "ed25519", "--out", key).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l, stop := startUpgradeLoad(t, ctx, c, everySubmission)
	const more = 600
	l.await(t, ctx, more*upgradeClients)
	t.Logf("before       %v", l.mark(t))
	l.await(t, ctx, more*upgradeClients)
	t.Logf("without one  %v", l.mark(t))
	first := backUp(t, ctx, c, tool, store, key, l)
	l.await(t, ctx, 10*upgradeClients)
	l.mark(t)
	second := backUp(t, ctx, c, tool, store, key, l)
	stop()
	l.mark(t)
	if second.Position.Seq <= first.Position.Seq || second.NewBytes >= second.Bytes {
		t.Errorf("first %+v, second %+v", first, second)
	}
	var verified, restored struct{ Digest, Position json.RawMessage }
	at := []string{store, "--public-key", key + ".pub", "-o", "json"}
	began := time.Now()
	resultOf(t, exec.CommandContext(ctx, nodeBin, append([]string{"backup", "verify"}, at...)...), &verified)
	t.Logf("verified in %s", time.Since(began).Round(10*time.Millisecond))
	began = time.Now()
	again := append([]string{"backup", "restore", "--dir", filepath.Join(dir, "second"), "--cluster-id", "second",
		"--node-id", "second-1", "--peer-address", "127.0.0.1:9541", "--reason", "a test"}, at...)
	resultOf(t, exec.CommandContext(ctx, nodeBin, again...), &restored)
	t.Logf("restored in %s", time.Since(began).Round(10*time.Millisecond))
	want := digestAt(t, ctx, c, 0, second.Position.Seq)
	var got digest
	if err := json.Unmarshal(restored.Digest, &got); err != nil {
		t.Fatal(err)
	}
	if got.Log != want.Log || got.State != want.State || got.Control != want.Control || got.Log == "" {
		t.Errorf("restored %s, the nodes have %+v", restored.Digest, want)
	}
	if string(verified.Digest) != string(restored.Digest) {
		t.Errorf("verified %s, restored %s", verified.Digest, restored.Digest)
	}
}

// backedUp has some members of the manifest of a backup.
type backedUp struct {
	Bytes    int64 `json:"bytes"`
	NewBytes int64 `json:"new_bytes"`
	Position struct{ Seq uint64 }
}

func backUp(t *testing.T, ctx context.Context, c *harness.Cluster, tool, store, key string,
	l *upgradeLoad) (b backedUp) {
	t.Helper()
	began := time.Now()
	resultOf(t, asOperator(ctx, c, c.API, tool, "backup", "create", store, "--key", key+".key", "-o", "json"), &b)
	took := time.Since(began)
	p := l.mark(t)
	t.Logf("with a backup %v: %d bytes, %d of them new, up to event %d, in %s", p, b.Bytes, b.NewBytes, b.Position.Seq,
		took.Round(10*time.Millisecond))
	if b.NewBytes == 0 || b.Position.Seq == 0 {
		t.Errorf("%+v", b)
	}
	return b
}

// resultOf runs a command that prints JSON.
func resultOf(t *testing.T, cmd *exec.Cmd, into any) {
	t.Helper()
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, into)
	}
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd.Args, err, out, said.Bytes())
	}
}
