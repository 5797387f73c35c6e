package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// confirming answers what the commands look at first and counts the operations that reach it.
func confirming(t *testing.T) (dir string, done *[]string) {
	t.Helper()
	n := newNode(t)
	done = new([]string)
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			*done = append(*done, r.Method+" "+r.URL.Path)
			_ = json.NewEncoder(w).Encode(map[string]any{
				"key_id":     "hmac-0123456789abcdef",
				"generation": 2,
				"seq":        51,
				"since":      "2026-01-02T03:04:05Z",
			})
			return true
		}
		key := wire.KeyAnswer{KeyID: "hmac-0123456789abcdef", Owner: "lab 7", Status: "active", Scope: []string{}}
		switch {
		case r.URL.Path == "/v1/keys":
			answer(w, wire.KeysPage{Items: []wire.KeyAnswer{key}})
		case strings.HasPrefix(r.URL.Path, "/v1/keys/"):
			answer(w, key)
		case r.URL.Path == "/v1/generations":
			answer(w, wire.GenerationsPage{
				Items: []wire.GenerationAnswer{{
					Generation: 2,
					State:      "built",
					Policy:     strings.Repeat("ab", 32),
					StartedSeq: 9,
					Actor:      "alice",
				}},
			})
		case r.URL.Path == "/v1/tokens":
			answer(w, wire.TokensPage{
				Node: "node-1",
				Items: []wire.TokenAnswer{{
					ID:        "abcdefghij234567",
					Name:      "alice",
					Role:      "auditor",
					State:     "active",
					CreatedBy: "root",
					ExpiresAt: "2026-02-03T04:05:06Z",
				}},
			})
		case r.URL.Path == "/v1/policies":
			answer(w, wire.PoliciesPage{Items: []wire.PolicyAnswer{{ID: strings.Repeat("ab", 32), InForce: true}}})
		case r.URL.Path == "/v1/operations":
			answer(w, wire.OperationsPage{Items: []wire.OperationItem{}})
		case r.URL.Path == "/v1/known-shards":
			answer(w, wire.KnownShardsPage{Items: []wire.KnownShardsAnswer{}})
		default:
			return false
		}
		return true
	}
	return dev(t, n), done
}

// TestConfirmation: what cannot be undone shows what it hits and wants its name typed on a terminal, and --yes
// elsewhere.
func TestConfirmation(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, x := range []struct{ args, name, hits string }{
		{"key revoke hmac-0123456789abcdef", "hmac-0123456789abcdef",
			"active, owner lab 7, shards all, signed 2 records in 2 shards"},
		{"key revoke hmac-01234567", "hmac-0123456789abcdef", "signed 2 records"},
		{"key retire hmac-01234567", "hmac-0123456789abcdef",
			"active, owner lab 7, shards all, signed 2 records in 2 shards"},
		{"key retire-secret hmac-0123456789abcdef", "hmac-0123456789abcdef", "signed 2 records"},
		{"incident key hmac-0123456789abcdef --since 1h --reason leak", "hmac-0123456789abcdef", "signed 2 records"},
		{"token revoke abcdefgh", "abcdefghij234567",
			"active, role auditor of alice, created by root, expires 2026-02-03T04:05:06Z, last used at node-1 -"},
		{"token revoke cert:5f3a09", "cert:5f3a09", "client certificate"},
		{"generation drop 2", "2", "built, policy abababababababab, started at seq 9 by alice"},
	} {
		dir, done := confirming(t)
		args := append(strings.Fields(x.args), "--dev", dir)
		if r := run(t, x.name+"\n", args...); r.code != exitUsage ||
			!strings.Contains(r.err, "cannot be undone") || !strings.Contains(r.err, "--yes") || len(*done) != 0 {
			t.Errorf("%s in a pipe: %+v %v", x.args, r, *done)
		}
		for typed, code := range map[string]int{
			"":            exitFailed,
			"\n":          exitFailed,
			"y\n":         exitFailed,
			"yes\n":       exitFailed,
			x.name + "\n": exitOK,
		} {
			before := len(*done)
			r := onTerminal(t, typed, args...)
			if r.code != code || (len(*done) > before) != (code == exitOK) || !strings.Contains(r.err, x.hits) ||
				!strings.Contains(r.err, "Type "+x.name) || !strings.Contains(r.err, "cluster dev") {
				t.Errorf("%s, typed %q: %+v %v", x.args, typed, r, *done)
			}
		}
		before := len(*done)
		if r := run(t, "", append(args, "--yes")...); r.code != exitOK || len(*done) == before {
			t.Errorf("%s --yes: %+v", x.args, r)
		}
	}
}

// onTerminal runs a command as if somebody typed the text.
func onTerminal(t *testing.T, typed string, args ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(typed), out: &out, err: &errs, env: noEnv, terminal: func() bool { return true }}
	return ran{a.run(t.Context(), args), out.String(), errs.String()}
}

// TestTwoQuestionsOfOnePipe: an answer leaves the next one to the next question.
func TestTwoQuestionsOfOnePipe(t *testing.T) {
	a := &app{in: strings.NewReader("first\nsecond\nlast"), err: io.Discard}
	for _, name := range []string{"first", "second", "last"} {
		if err := a.typeName(name); err != nil {
			t.Error(err)
		}
	}
}
