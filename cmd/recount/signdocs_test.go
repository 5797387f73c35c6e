package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// docBlocks are the fenced blocks of a language in a page, without their fences.
func docBlocks(t *testing.T, page, language string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		out = append(out, m[1])
	}
	return out
}

// tools skips the test on a machine without them.
func tools(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("the examples of docs/signing.md are played with %s, which is not on this machine: %v", name, err)
		}
	}
}

func command(t *testing.T, dir, stdin, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// snippet writes the Python of docs/signing.md into a directory.
func snippet(t *testing.T) string {
	t.Helper()
	blocks, dir := docBlocks(t, "../../docs/signing.md", "python"), t.TempDir()
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of Python", len(blocks))
	}
	write(t, filepath.Join(dir, "pcs2.py"), blocks[0])
	write(t, filepath.Join(dir, "pcs1.py"), blocks[1])
	return dir
}

// TestPythonRoundSnippet: what the documentation signs with Python's own round counts by default, ties and all.
func TestPythonRoundSnippet(t *testing.T) {
	tools(t, "python3")
	dir := snippet(t)
	key, err := verify.NewHMACKey([]byte("a secret"))
	if err != nil {
		t.Fatal(err)
	}
	keySet, rules := verify.NewKeySet([]verify.Key{key}), verify.DefaultPolicy().Signature
	const script = `import json, sys
from pcs1 import sign_pcs1
for line in sys.stdin:
    record = json.loads(line)
    record.update(r=401 / 1024, budget=0.3 * (1 - 401 / 1024), coh_star=1e-05, D_hat=1)
    record["sig"] = sign_pcs1(record, b"a secret")
    print(json.dumps(record))`
	_, cases := readCorpus(t, "good-hmac.ndjson", 20)
	var records []string
	for _, c := range cases {
		records = append(records, *c.Body)
	}
	out, err := command(t, dir, strings.Join(records, "\n"), "python3", "-c", script)
	if err != nil {
		t.Fatal(err, out)
	}
	for line := range strings.Lines(out) {
		rec := pcs.Decode([]byte(line))
		if f := keySet.Check(rec, verify.Facts{}); !rules.Counts(rec, f) {
			t.Errorf("%+v for %s", f, line)
		}
	}
	if n := strings.Count(out, "\n"); n != len(records) {
		t.Errorf("%d records signed of %d", n, len(records))
	}
}

// TestPythonSnippet: the Python that the documentation gives makes the published signatures.
func TestPythonSnippet(t *testing.T) {
	tools(t, "python3")
	g, dir := readWhole(t), snippet(t)
	for _, encoding := range []string{"utf-8", "cp1252"} { // the second is what Windows takes
		t.Setenv("PYTHONIOENCODING", encoding)
		for _, c := range g.Cases {
			out, err := command(t, dir, c.Record, "python3", "pcs2.py", g.hmacFile)
			if err != nil || strings.TrimSpace(out) != c.HMAC {
				t.Errorf("%s, %s: %v %s, want %s", c.Name, encoding, err, out, c.HMAC)
			}
		}
	}
}

// TestWorkedExample runs every line of the examples of docs/signing.md. A line says behind "# =>" what it
// prints. Then recount gives the same signatures.
func TestWorkedExample(t *testing.T) {
	tools(t, "bash", "python3", "openssl", "sha256sum")
	dir := snippet(t)
	script, checked := "set -eu\n", 0
	var last []string // what the lines should print
	for _, block := range docBlocks(t, "../../docs/signing.md", "sh") {
		for line := range strings.Lines(block) {
			run, want, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  # => ")
			if !ok {
				script += line
				continue
			}
			checked++
			last = append(last, want)
			script += fmt.Sprintf("OUT=$(%s)\n[ \"$OUT\" = '%s' ] || { echo \"example %d prints $OUT\"; exit 1; }\n",
				run, want, checked)
		}
	}
	if out, err := command(t, dir, "", "bash", "-c", script); err != nil || checked < 10 {
		t.Fatalf("%d lines: %v\n%s\n%s", checked, err, out, script)
	}
	record, err := os.ReadFile(filepath.Join(dir, "record.json"))
	if err != nil {
		t.Fatal(err)
	}
	seed := write(t, filepath.Join(dir, "seed"), strings.Repeat("07", 32))
	for _, args := range [][]string{
		{"--scheme", "pcs/2", "--key-file", filepath.Join(dir, "agent.key")},
		{"--scheme", "pcs/2", "--alg", "ed25519", "--key-file", seed},
		{"--scheme", "pcs/1", "--key-file", filepath.Join(dir, "agent.key")},
		{"--scheme", "pcs/1", "--alg", "ed25519", "--key-file", seed},
	} {
		r := run(t, string(record), append([]string{"sign"}, args...)...)
		if sig := pcs.Decode([]byte(r.out)).Sig; r.code != exitOK ||
			!strings.Contains("\n"+strings.Join(last, "\n")+"\n", "\n"+sig+"\n") {
			t.Errorf("%v: %s is not in the examples: %v %s", args, sig, last, r.err)
		}
	}
}
