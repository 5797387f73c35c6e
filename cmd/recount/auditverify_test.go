package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAuditVerify passes an audit to recount-node, with the files that belong to the cluster and the exit code of the other
// program. The work itself is tested in cmd/node and internal/auditor.
func TestAuditVerify(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "recount-node")
	script := "#!/bin/sh\necho \"$@\"\necho told >&2\nexit 7\n"
	if err := os.WriteFile(binary, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(dir, "token")
	write(t, token, "secret-token")
	with := []string{"audit", "verify", "--node-binary", binary, "--key", "ledger.pub", "--checkpoint", "a", "--checkpoint", "b"}
	r := run(t, "", append(with, "--endpoint", "https://127.0.0.1:1", "--token-file", token, "--dir", "work", "-o", "json")...)
	want := "audit verify -o json --timeout 30s --key=ledger.pub --dir=work --checkpoint=a --checkpoint=b " +
		"--from=https://127.0.0.1:1 --token-file=" + token + "\n"
	if r.code != exitVerify || r.out != want || !strings.HasSuffix(r.err, "told\n") {
		t.Errorf("%+v, want %s", r, want)
	}
	if r := run(t, "", append(with, "--from", "somewhere", "-q")...); r.code != exitVerify ||
		!strings.HasSuffix(r.out, " --quiet --key=ledger.pub --checkpoint=a --checkpoint=b --from=somewhere\n") {
		t.Errorf("%+v", r)
	}
	for says, args := range map[string][]string{
		"prints table or json": {"audit", "verify", "-o", "ndjson"},
		"no endpoint":          {"audit", "verify", "--node-binary", binary},
		"--token-file":         append(with, "--from", "https://127.0.0.1:1", "--token-file", filepath.Join(dir, "none")),
	} {
		if r := run(t, "", args...); r.code != exitUsage || !strings.Contains(r.err, says) {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

// TestAuditVerifyPassesAnInterruptionOn: an audit that is interrupted can close its files before it ends.
func TestAuditVerifyPassesAnInterruptionOn(t *testing.T) {
	dir := t.TempDir()
	binary, closed, pipe := filepath.Join(dir, "recount-node"), filepath.Join(dir, "closed"), filepath.Join(dir, "pipe")
	script := fmt.Sprintf("#!/bin/sh\nmkfifo %s\ncat %s >/dev/null 2>&1 &\n"+
		"trap 'kill $!; echo all >%s; exit 0' INT\necho begun\nwait\n", pipe, pipe, closed)
	if err := os.WriteFile(binary, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var errs bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &told{text: "begun", then: cancel}, err: &errs, env: func(string) string { return "" }}
	code := a.run(ctx, []string{"audit", "verify", "--node-binary", binary, "--from", "somewhere"})
	if code != exitFailed || !strings.Contains(errs.String(), "interrupted") {
		t.Errorf("%d: %s", code, errs.String())
	}
	if text, err := os.ReadFile(closed); err != nil || string(text) != "all\n" {
		t.Errorf("the other program did not end by itself: %q, %v", text, err)
	}
}
