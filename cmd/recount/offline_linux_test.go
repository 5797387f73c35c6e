package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/recount-ledger/recount/evidence"
	server "github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// alone runs a program in a network namespace of its own, whose only interface, the loopback one, is down.
func alone(t *testing.T, bin string, args ...string) (code int, output string) {
	t.Helper()
	cmd := exec.Command(bin, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 { // then in a user namespace too, where that is allowed
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Skipf("no network namespace can be made here: %v", err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestOffline: the program checks a receipt and a bundle where there is no network at all, not even to this machine.
func TestOffline(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	save := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path(name)
	}
	build := exec.Command("go", "build", "-trimpath", "-o", path("recount"), ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if code, out := alone(t, path("recount"), "--help"); code != exitOK {
		t.Fatalf("%d: %s", code, out)
	}
	text, key, err := evidence.NewSecretKey(evidence.OriginOf("nodetest"))
	if err != nil {
		t.Fatal(err)
	}
	secret, public := save("key", text), save("pub", key.Public().String())
	c := nodetest.Start(t, 1, func(cfg *server.Config) { cfg.CheckpointKeyFile = secret })
	r := nodetest.Record{Shard: "s", Epoch: 3, Root: "r"}
	if _, err := c.Client.Submit(t.Context(), nodetest.NewRecords(t).Sign(r)); err != nil {
		t.Fatal(err)
	}
	at := []string{r.ID(), "--endpoint", c.URL(0), "--ca", save("ca.pem", string(c.CA.CertPEM())), "--timeout", "10s",
		"--token-file", save("token", c.Tokens[wire.RoleAuditor]), "--out"}
	for _, what := range []string{"receipt", "bundle"} {
		get := append([]string{what, "get"}, at...)
		if got := run(t, "", append(get, path(what))...); got.code != exitOK {
			t.Fatalf("%+v", got)
		}
		get[len(get)-6] = "1s"
		if code, out := alone(t, path("recount"), append(get, path("none"))...); code == exitOK {
			t.Errorf("there is a network: %s", out)
		}
	}
	changed, err := os.ReadFile(path("bundle"))
	if err != nil {
		t.Fatal(err)
	}
	changed[len(changed)/2] ^= 1
	save("changed", string(changed))
	for _, x := range []struct {
		line string
		code int
		want string
	}{
		{"proof verify --key PUB FILE", exitOK, "ok  the outcome row leads from"},
		{"bundle verify --key PUB FILE", exitOK, "ok  generation 1: kernel 1 and policy "},
		{"bundle verify --key PUB CHANGED", exitFailed, "the bundle is refused"},
	} {
		what, _, _ := strings.Cut(x.line, " ")
		file := path(map[string]string{"proof": "receipt", "bundle": "bundle"}[what])
		args := strings.NewReplacer("PUB", public, "FILE", file, "CHANGED", path("changed")).Replace(x.line)
		if code, out := alone(t, path("recount"), strings.Fields(args)...); code != x.code || !strings.Contains(out, x.want) {
			t.Errorf("%s: %d: %s", x.line, code, out)
		}
	}
}
