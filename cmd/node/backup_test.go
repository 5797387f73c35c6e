package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/restore"
)

// TestBackupCommands verifies and restores a backup of a cluster, and refuses what is wrongly asked for.
func TestBackupCommands(t *testing.T) {
	c, dir := nodetest.Start(t, 1), t.TempDir()
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	public := filepath.Join(dir, "backup.pub")
	text := base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	if err := os.WriteFile(public, []byte(text+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(dir, "backups")
	target, err := backup.CreateDir(root)
	if err != nil {
		t.Fatal(err)
	}
	m, err := backup.Create(t.Context(), backup.Options{Target: target, Source: client.CopiesOf(c.Client, 0), Key: key,
		Tool: "test", At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	do := func(args ...string) (string, error) {
		var out bytes.Buffer
		_, err := execute(t.Context(), append([]string{"backup"}, args...), &out)
		return out.String(), err
	}
	metrics := filepath.Join(dir, "verified.prom")
	out, err := do("verify", root, "--public-key", public, "--work", dir, "--metrics-file", metrics)
	if err != nil || !strings.Contains(out, m.Digest.State) || !strings.HasSuffix(out, "good\n") {
		t.Errorf("%v\n%s", err, out)
	}
	if raw, err := os.ReadFile(metrics); err != nil || !strings.Contains(string(raw), "\nflk_backup_last_verified_timestamp_seconds{by=\"fold\"} 1") {
		t.Errorf("%v\n%s", err, raw)
	}
	data := filepath.Join(dir, "data")
	full := []string{"restore", root, m.ID, "--public-key", public, "--dir", data, "--cluster-id", "second", "--node-id", "second-1",
		"--peer-address", "127.0.0.1:9441", "--reason", "test", "-o", "json"}
	for _, c := range []struct {
		says string
		args []string
	}{
		{"name the directory", []string{"verify"}},
		{"--public-key is required", []string{"verify", root}},
		{"is no id of a backup", []string{"verify", root, "newest", "--public-key", public}},
		{"has no backups", []string{"verify", dir, "--public-key", public}},
		{"--reason is required", []string{"restore", root, "--public-key", public, "--dir", data}},
		{"not both", append(full[:len(full):len(full)], "--to-seq", "3", "--to-time", "1h")},
		{"does not have this position", append(full[:len(full):len(full)], "--to-seq", "999999")},
		{"the first event is 1", append(full[:len(full):len(full)], "--to-seq", "0")},
		{"it was made at", append(full[:len(full):len(full)], "--to-time", "2100-01-01T00:00:00Z")},
		{"never used", append(full[:len(full):len(full)], "--cluster-id", "nodetest")},
		{"never used", append(full[:len(full):len(full)], "--node-id", "node-1")},
		{"is not host:port", append(full[:len(full):len(full)], "--peer-address", "10.0.0.1")},
		{"--actor", append(full[:len(full):len(full)], "--actor", "a b")},
	} {
		var usage *usageError
		if _, err := do(c.args...); !errors.As(err, &usage) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v", c.args, err)
		}
	}
	out, err = do(full...)
	var r restore.Result
	if jsonErr := json.Unmarshal([]byte(out), &r); err != nil || jsonErr != nil || r.Position != m.Position {
		t.Errorf("%v %v\n%s", err, jsonErr, out)
	}
	if err := cluster.CheckDirectory(data, "second", "second-1"); err != nil {
		t.Error(err)
	}
	if _, err := do(full...); !errors.Is(err, restore.ErrNotEmpty) {
		t.Errorf("once more: %v", err)
	}
	if err := os.WriteFile(public, []byte(base64.StdEncoding.EncodeToString(make([]byte, 32))), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := do("verify", root, "--public-key", public); !errors.Is(err, backup.ErrSignature) {
		t.Errorf("another key: %v", err)
	}
}
