package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/internal/verify/publish"
	"github.com/recount-ledger/recount/wire"
)

// published answers like a node with one policy in force, which was written as source.
func published(t *testing.T, p verify.Policy, source string) (dir, id string) {
	n := newNode(t)
	a := wire.PolicyAnswer{
		ID:      fmt.Sprintf("%x", p.ID()),
		Seq:     1,
		At:      "2026-01-02T03:04:05Z",
		Kernel:  p.Kernel,
		InForce: true,
		Source:  source,
	}
	if err := json.Unmarshal(p.Canonical(), &a.Canonical); err != nil {
		t.Fatal(err)
	}
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Path {
		case "/v1/policies":
			answer(w, wire.PoliciesPage{Items: []wire.PolicyAnswer{a}})
		case "/v1/policies/" + a.ID:
			answer(w, a)
		default:
			return false
		}
		return true
	}
	return dev(t, n), a.ID
}

// TestPolicyRoundTrip: what show and new print is a document that lint takes, of the same policy, however it
// came into the ledger.
func TestPolicyRoundTrip(t *testing.T) {
	genesis := verify.DefaultPolicy()
	narrow, err := publish.Parse([]byte("signature: {profiles: [f9]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	type source struct {
		policy  verify.Policy
		written string
	}
	cases := map[string]source{
		"never written":           {genesis, string(genesis.Canonical())},
		"written by other tools":  {narrow, ""},
		"under other defaults":    {narrow, "kernel: 1\n"}, // gives another policy today
		"no YAML of this release": {narrow, "kernel: 1\nlater: true\n"},
	}
	files, err := filepath.Glob("../../testdata/policies/*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		p, err := publish.Parse(text)
		if err != nil {
			t.Fatal(path, err)
		}
		cases[path] = source{p, string(text)}
	}
	for name, c := range cases {
		dir, id := published(t, c.policy, c.written)
		for _, args := range [][]string{{"show", id[:8]}, {"new", "--from", id[:8]}, {"new"}} {
			got := run(t, "", append(append([]string{"policy"}, args...), "--dev", dir)...)
			path := write(t, filepath.Join(t.TempDir(), "p.yaml"), got.out)
			if again := lint(path); got.code != exitOK || again.ID != id {
				t.Errorf("%s: %v: exit code %d, lint gives %s %v, want %s\n%s", name, args, got.code, again.ID,
					again.Problems, id, got.out)
			}
			if args[0] == "show" && strings.HasSuffix(name, ".yaml") && got.out != c.written {
				t.Errorf("%s: show does not print what was written:\n%s", name, got.out)
			}
			if args[0] == "new" && !strings.Contains(got.out, "# which signatures count") {
				t.Errorf("%s: no word about the parts:\n%s", name, got.out)
			}
		}
		if got := run(t, "", "policy", "new", "--from",
			write(t, filepath.Join(t.TempDir(), "own.yaml"), "kernel: 2\n"), "--dev", dir); got.code != exitOK ||
			!strings.Contains(got.out, "kernel: 2") {
			t.Errorf("%s: from a file: %+v", name, got)
		}
	}
}
