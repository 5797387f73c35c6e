package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/evidence"
	server "github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
)

// TestReceiptAndProof: a receipt goes from a node through a file and a pipe to a check that asks no node.
func TestReceiptAndProof(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	text, key, err := evidence.NewSecretKey(evidence.OriginOf("nodetest"))
	must(err)
	secret, public, file := filepath.Join(dir, "key"), filepath.Join(dir, "pub"), filepath.Join(dir, "receipt")
	must(os.WriteFile(secret, []byte(text), 0o600))
	must(os.WriteFile(public, []byte("# the ledger\n"+key.Public().String()+"\n"), 0o600))
	c := nodetest.Start(t, 1, func(cfg *server.Config) { cfg.CheckpointKeyFile = secret })
	r := nodetest.Record{Shard: "s", Epoch: 3, Root: "r"}
	_, err = c.Client.Submit(t.Context(), nodetest.NewRecords(t).Sign(r))
	must(err)
	ca := filepath.Join(dir, "ca.pem")
	must(os.WriteFile(ca, c.CA.CertPEM(), 0o600))
	at := []string{"--endpoint", c.URL(0), "--ca", ca}
	got := run(t, "", append([]string{"receipt", "get", r.ID()}, at...)...)
	if got.code != exitOK || !strings.HasPrefix(got.out, "recount/receipt@v1\n") {
		t.Fatalf("%+v", got)
	}
	if to := run(t, "", append([]string{"receipt", "get", r.ID(), "--out", file}, at...)...); to.code != exitOK {
		t.Fatalf("%+v", to)
	}
	if again := run(t, "", append([]string{"receipt", "get", r.ID(), "--out", file}, at...)...); again.code != exitUsage {
		t.Errorf("a file that exists: %+v", again)
	}
	for name, v := range map[string]ran{
		"pipe": run(t, got.out, "proof", "verify", "--key", public),
		"dash": run(t, got.out, "proof", "verify", "--key", public, "-"),
		"file": run(t, "", "proof", "verify", "--key", public, file),
	} {
		for _, want := range []string{"ok  the statement is signed by recount/nodetest+", "ok  the checkpoint of ",
			"ok  the outcome row leads from", r.ID(), "accepted"} {
			if v.code != exitOK || !strings.Contains(v.out, want) {
				t.Errorf("%s: no %q: %+v", name, want, v)
			}
		}
	}
	other, _, err := evidence.NewSecretKey(evidence.OriginOf("other"))
	must(err)
	foreign, err := evidence.ParseSecretKey(other)
	must(err)
	strange := filepath.Join(dir, "strange")
	must(os.WriteFile(strange, []byte(foreign.Public().String()), 0o600))
	changed := bytes.Replace([]byte(got.out), []byte("generation 1"), []byte("generation 2"), 1)
	for name, c := range map[string]struct {
		in   string
		args []string
		code int
	}{
		"changed":     {string(changed), []string{"--key", public}, exitFailed},
		"another key": {got.out, []string{"--key", strange}, exitFailed},
		"empty":       {"", []string{"--key", public}, exitFailed},
		"no key":      {got.out, nil, exitUsage},
		"no key file": {got.out, []string{"--key", file + "2"}, exitUsage},
		"no keys":     {got.out, []string{"--key", file}, exitUsage},
		"no file":     {got.out, []string{"--key", public, file + "2"}, exitUsage},
	} {
		if v := run(t, c.in, append([]string{"proof", "verify"}, c.args...)...); v.code != c.code || v.out != "" {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
