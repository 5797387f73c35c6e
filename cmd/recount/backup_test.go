package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/s3test"
	"github.com/recount-ledger/recount/wire"
)

// TestBackupCommands goes the way of docs/backup.md as far as recount goes, on a cluster of three nodes.
func TestBackupCommands(t *testing.T) {
	c, dir := nodetest.Start(t, 3), t.TempDir()
	write(t, filepath.Join(dir, "ca.pem"), string(c.CA.CertPEM()))
	for _, role := range []wire.Role{wire.RoleOperator, wire.RoleAuditor} {
		token := filepath.Join(dir, string(role)+".token")
		if err := os.WriteFile(token, []byte(c.Tokens[role]+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	target, key, public := filepath.Join(dir, "backups"), filepath.Join(dir, "backup.key"), filepath.Join(dir, "backup.pub")
	with := func(role string, args ...string) ran {
		t.Helper()
		for _, e := range c.Client.Endpoints() {
			args = append(args, "--endpoint", e)
		}
		return run(t, "", append(args, "--ca", filepath.Join(dir, "ca.pem"), "--token-file", filepath.Join(dir, role+".token"))...)
	}
	if r := run(t, "", "keygen", "ed25519", "--out", filepath.Join(dir, "backup")); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	metrics := filepath.Join(dir, "backup.prom")
	var made backup.Manifest
	r := with("operator", "backup", "create", target, "--key", key, "--check", "--metrics-file", metrics, "-o", "json")
	if err := json.Unmarshal([]byte(r.out), &made); r.code != exitOK || err != nil || made.ClusterID != "nodetest" {
		t.Fatalf("%+v %v", r, err)
	}
	if s, err := c.Client.Cluster(t.Context()); err != nil || s.Leader == made.Node {
		t.Errorf("taken from the leader %s, %v", made.Node, err)
	}
	if text, err := os.ReadFile(metrics); err != nil || !strings.Contains(string(text), "\nflk_backup_last_success_timestamp_seconds 1") ||
		!strings.Contains(string(text), "\nflk_backup_last_verified_timestamp_seconds{by=\"check\"} 1") {
		t.Errorf("%s %v", text, err)
	}
	c.Lead(slices.IndexFunc([]string{"node-1", "node-2", "node-3"}, func(id string) bool { return id == made.Node }))
	var second backup.Manifest
	r = with("operator", "backup", "create", target, "--key", key, "-o", "json")
	if err := json.Unmarshal([]byte(r.out), &second); err != nil || second.Node != made.Node {
		t.Errorf("the second one is of %s, the first one of %s: %+v", second.Node, made.Node, r)
	}
	if r := with("operator", "backup", "create", target, "--key", key, "--keep", "2"); r.code != exitOK || !strings.Contains(r.out, second.ID) {
		t.Errorf("a third one: %+v", r)
	}
	if r := run(t, "", "backup", "list", target, "--public-key", public); r.code != exitOK || strings.Count(r.out, "\n") != 3 {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "backup", "inspect", target, second.ID, "--public-key", public); r.code != exitOK || !strings.Contains(r.out, second.Digest.Log) {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "backup", "check", target, "--public-key", public); r.code != exitOK || !strings.Contains(r.err, "are as its manifest says") {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "backup", "prune", target, "--keep", "1"); r.code != exitOK || !strings.Contains(r.out, "removed        1") {
		t.Errorf("%+v", r)
	}
	for _, refused := range []struct {
		r    ran
		code int
		says string
	}{
		{with("auditor", "backup", "create", target, "--key", key), exitRejected, "operator"},
		{with("operator", "backup", "create", target), exitUsage, "recount keygen ed25519"},
		{with("operator", "backup", "create", target, "--key", public), exitUsage, "not a private key"},
		{with("operator", "backup", "create", dir, "--key", key), exitUsage, "is no target of backups"},
		{run(t, "", "backup", "inspect", target, made.ID), exitNotFound, made.ID},
		{run(t, "", "backup", "inspect", target, "newest"), exitUsage, "is no id of a backup"},
		{run(t, "", "backup", "list", dir), exitUsage, "has no backups"},
		{run(t, "", "backup", "prune", target), exitUsage, "--keep is required"},
		{run(t, "", "backup", "list", target, "--public-key", key), exitUsage, "not a public Ed25519 key"},
	} {
		if refused.r.code != refused.code || !strings.Contains(refused.r.err, refused.says) {
			t.Errorf("want %d and %q: %+v", refused.code, refused.says, refused.r)
		}
	}
}

// TestBackupOfAnother: a flipped bit and another key are found, with the exit code of a check that failed.
func TestBackupOfAnother(t *testing.T) {
	c, dir := nodetest.Start(t, 1), t.TempDir()
	for _, name := range []string{"backup", "other"} {
		if r := run(t, "", "keygen", "ed25519", "--out", filepath.Join(dir, name)); r.code != exitOK {
			t.Fatalf("%+v", r)
		}
	}
	write(t, filepath.Join(dir, "ca.pem"), string(c.CA.CertPEM()))
	target := filepath.Join(dir, "backups")
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(c.Tokens[wire.RoleOperator]), 0o600); err != nil {
		t.Fatal(err)
	}
	r := run(t, "", "backup", "create", target, "--local", "--key", filepath.Join(dir, "backup.key"), "--endpoint", c.URL(0),
		"--token-file", filepath.Join(dir, "token"), "--ca", filepath.Join(dir, "ca.pem"), "-o", "json")
	var m backup.Manifest
	if err := json.Unmarshal([]byte(r.out), &m); r.code != exitOK || err != nil {
		t.Fatalf("%+v %v", r, err)
	}
	if r := run(t, "", "backup", "check", target, "--public-key", filepath.Join(dir, "other.pub")); r.code != exitVerify || !strings.Contains(r.err, "Do not restore it") {
		t.Errorf("another key: %+v", r)
	}
	end := m.Files[slices.IndexFunc(m.Files, func(f wire.CopyFile) bool { return f.Name == "end" })]
	path := filepath.Join(target, "files", end.SHA256[:2], end.SHA256)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[20] ^= 4
	write(t, path, string(b))
	if r := run(t, "", "backup", "check", target); r.code != exitVerify || !strings.Contains(r.err, "end (files/") {
		t.Errorf("a flipped bit: %+v", r)
	}
}

// TestBackupsInStore makes and lists a backup in an S3 store. Each way in which the store fails has its exit code and next step.
func TestBackupsInStore(t *testing.T) {
	server, c, dir := s3test.Start(t), nodetest.Start(t, 1), t.TempDir()
	write(t, filepath.Join(dir, "ca.pem"), string(c.CA.CertPEM()))
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(c.Tokens[wire.RoleOperator]), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := run(t, "", "keygen", "ed25519", "--out", filepath.Join(dir, "backup")); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	create := func(target string) ran {
		return run(t, "", "backup", "create", target, "--key", filepath.Join(dir, "backup.key"), "--endpoint", c.URL(0),
			"--token-file", filepath.Join(dir, "token"), "--ca", filepath.Join(dir, "ca.pem"), "--keep", "1")
	}
	target := "s3://" + s3test.Bucket + "/a"
	for range 2 {
		if r := create(target); r.code != exitOK {
			t.Fatalf("%+v", r)
		}
	}
	if r := run(t, "", "backup", "list", target); r.code != exitOK || strings.Count(r.out, "\n") != 2 {
		t.Errorf("%+v", r)
	}
	refused := func(r ran, code int, says string) {
		t.Helper()
		if r.code != code || !strings.Contains(r.err, says) {
			t.Errorf("want %d and %q: %+v", code, says, r)
		}
	}
	refused(create("s3://nobodys/a"), exitNotFound, "Make the bucket")
	refused(create("s3://"+s3test.Bucket+"/a?secret=x"), exitUsage, "nothing that a location says")
	refused(run(t, "", "backup", "list", "s3://"+s3test.Bucket+"/b"), exitUsage, "has no backups")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "guess")
	refused(create(target), exitRejected, "AWS_SECRET_ACCESS_KEY")
	server.Kill()
	refused(run(t, "", "backup", "list", target), exitUnavailable, "when the store answers")
}
