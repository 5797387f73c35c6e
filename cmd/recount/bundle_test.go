package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/evidence"
	server "github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// TestBundle: a bundle goes from a node through a file and a pipe to a check that asks no node. With the secret of the
// record's key the MAC is checked too.
func TestBundle(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text, key, err := evidence.NewSecretKey(evidence.OriginOf("nodetest"))
	if err != nil {
		t.Fatal(err)
	}
	secret, public := file("key", text), file("pub", key.Public().String()+"\n")
	c := nodetest.Start(t, 1, func(cfg *server.Config) { cfg.CheckpointKeyFile = secret })
	r := nodetest.Record{Shard: "s", Epoch: 3, Root: "r"}
	if _, err := c.Client.Submit(t.Context(), nodetest.NewRecords(t).Sign(r)); err != nil {
		t.Fatal(err)
	}
	at := []string{"--endpoint", c.URL(0), "--ca", file("ca.pem", string(c.CA.CertPEM())),
		"--token-file", file("token", c.Tokens[wire.RoleAuditor])}
	got := run(t, "", append([]string{"bundle", "get", r.ID()}, at...)...)
	if got.code != exitOK || !strings.HasPrefix(got.out, "recount/bundle@v1\nevent ") {
		t.Fatalf("%+v", got)
	}
	bundle := filepath.Join(dir, "bundle")
	if to := run(t, "", append([]string{"bundle", "get", r.ID(), "--out", bundle}, at...)...); to.code != exitOK {
		t.Fatalf("%+v", to)
	}
	if bare := run(t, "", append([]string{"bundle", "get", r.ID()}, at[:4]...)...); bare.code == exitOK {
		t.Errorf("without a credential: %+v", bare)
	}
	agent := file("agent", testHMAC+"\n")
	for name, v := range map[string]ran{
		"pipe":   run(t, got.out, "bundle", "verify", "--key", public),
		"dash":   run(t, got.out, "bundle", "verify", "--key", public, "-"),
		"file":   run(t, "", "bundle", "verify", "--key", public, bundle),
		"secret": run(t, "", "bundle", "verify", "--key", public, "--secret-file", agent, bundle),
	} {
		mac := "--  not checked: generation 1: the MAC of the record under key hmac-"
		if name == "secret" {
			mac = "ok  generation 1: the hmac-sha256 signature of the record is valid under key hmac-"
		}
		for _, want := range []string{"ok  the checkpoint of ", " events are leaves of that tree", mac, r.ID(),
			"ok  generation 1: kernel 1 and policy ", "--  not checked: that no event was left out"} {
			if v.code != exitOK || !strings.Contains(v.out, want) {
				t.Errorf("%s: no %q: %+v", name, want, v)
			}
		}
	}
	var doc checkedBundle
	v := run(t, got.out, "bundle", "verify", "--key", public, "-o", "json")
	if err := json.Unmarshal([]byte(v.out), &doc); err != nil || len(doc.Verdicts) != 1 || doc.PCSID != r.ID() ||
		doc.Verdicts[0].Outcome != "accepted" || doc.Verdicts[0].Signature != evidence.NotChecked || doc.Events < 3 {
		t.Errorf("%+v, %v", v, err)
	}
	strange := file("strange", "another secret")
	for name, c := range map[string]struct {
		in   string
		args []string
		code int
	}{
		"changed":        {strings.Replace(got.out, "generation 1", "generation 2", 1), []string{"--key", public}, exitFailed},
		"another secret": {got.out, []string{"--key", public, "--secret-file", strange}, exitFailed},
		"empty":          {"", []string{"--key", public}, exitFailed},
		"a receipt":      {got.out[strings.Index(got.out, "\n\n")+2:], []string{"--key", public}, exitFailed},
		"no key":         {got.out, nil, exitUsage},
		"no secret":      {got.out, []string{"--key", public, "--secret-file", file("none", "")}, exitUsage},
		"no secret file": {got.out, []string{"--key", public, "--secret-file", bundle + "2"}, exitUsage},
		"no file":        {got.out, []string{"--key", public, bundle + "2"}, exitUsage},
	} {
		if v := run(t, c.in, append([]string{"bundle", "verify"}, c.args...)...); v.code != c.code || v.out != "" {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
