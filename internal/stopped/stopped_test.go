package stopped_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/doctor"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/stopped"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree lists every file below dir with its size.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all.WriteString(path + string(b))
		return err
	}))
	return all.String()
}

func plenty(string) (uint64, error) { return 1 << 40, nil }

func words(all []doctor.Finding) (out string) {
	for _, f := range all {
		out += f.Check + " " + f.Severity + ": " + f.Text + "\n"
	}
	return out
}

// TestDirectory examines the directory of a real node, whole and damaged in several ways.
func TestDirectory(t *testing.T) {
	c := nodetest.Start(t, 1)
	f := nodetest.NewRecords(t)
	for i := range 50 {
		if _, err := c.Client.Submit(t.Context(), f.Sign(nodetest.Record{Shard: "s", Epoch: int64(i + 1), Root: "r"})); err != nil {
			t.Fatal(err)
		}
	}
	dir := c.Dir(0)
	examine := func(o stopped.Options) string {
		if o.Usage == nil {
			o.Usage = plenty
		}
		return words(stopped.Directory(t.Context(), dir, o))
	}
	c.Stop(0)
	c.Restart(0) // what was in the write-ahead log is in a table now
	c.AwaitReady(0)
	c.Stop(0)
	before, read := tree(t, dir), uint64(0)
	if got := examine(stopped.Options{Progress: func(n, of uint64) { read = max(read, n) }}); got != "" || read == 0 {
		t.Errorf("a whole directory, %d bytes read: %s", read, got)
	}
	if tree(t, dir) != before {
		t.Error("the directory has changed")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if got := words(stopped.Directory(gone, dir, stopped.Options{Usage: plenty})); !strings.Contains(got, "canceled") {
		t.Errorf("an interrupted examination says %q", got)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "doctor-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	for free, want := range map[uint64]string{100 << 20: "disk critical: 100 MiB", 600 << 20: "disk warning: 600 MiB"} {
		usage := func(string) (uint64, error) { return free, nil }
		if got := examine(stopped.Options{Usage: usage}); !strings.HasPrefix(got, want) {
			t.Errorf("%d bytes free: %s", free, got)
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "quarantine"), []byte("it differs"), 0o600))
	if got := examine(stopped.Options{}); !strings.HasPrefix(got, "quarantine critical: ") || !strings.Contains(got, "it differs") {
		t.Errorf("a quarantined node: %s", got)
	}
	must(t, os.Remove(filepath.Join(dir, "quarantine")))
	c.FlipBit(c.LargestTable(0, "events"), 0.3)
	if got := examine(stopped.Options{}); !strings.HasPrefix(got, "store critical: ") {
		t.Errorf("a damaged table: %q", got)
	}
	if got := examine(stopped.Options{SkipLog: true}); got != "" {
		t.Errorf("without the log: %s", got)
	}
	c.FlipBit(filepath.Join(dir, node.IdentityFile), 0.5)
	if got := examine(stopped.Options{SkipLog: true}); !strings.HasPrefix(got, "directory critical: ") {
		t.Errorf("a damaged identity: %s", got)
	}
	must(t, os.Remove(filepath.Join(dir, node.IdentityFile)))
	if got := examine(stopped.Options{}); !strings.Contains(got, "holds no node") {
		t.Errorf("no identity: %s", got)
	}
}

// TestSettings: the problems and the warnings of the settings are findings.
func TestSettings(t *testing.T) {
	c := nodetest.Start(t, 1)
	cfg := c.Config(0)
	c.Stop(0)
	if got := words(stopped.Settings(&cfg, "f.yaml", time.Now())); strings.Contains(got, "critical") {
		t.Errorf("good settings: %s", got)
	}
	cfg.Peer.Cert = filepath.Join(t.TempDir(), "none")
	found := stopped.Settings(&cfg, "f.yaml", time.Now())
	if !strings.Contains(words(found), "settings critical: peer.cert_file") || found[0].Next != "recount-node config check --config f.yaml" {
		t.Errorf("%+v", found)
	}
}
