package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// tokenNode answers like a node about tokens and keeps what it was asked.
func tokenNode(t *testing.T, asked *[]wire.TokenRequest, problem *wire.Problem) *node {
	n := newNode(t)
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case !strings.HasPrefix(r.URL.Path, "/v1/tokens"):
			return false
		case problem != nil:
			w.Header().Set("Content-Type", wire.MediaProblem)
			w.WriteHeader(problem.Status)
			_ = json.NewEncoder(w).Encode(problem)
		case r.Method == http.MethodGet:
			answer(w, wire.TokensPage{
				Node: "node-1",
				Items: []wire.TokenAnswer{{
					ID:        "abcdefghij234567",
					Name:      "alice",
					Role:      "auditor",
					State:     "active",
					Source:    "log",
					ExpiresAt: "2026-02-03T04:05:06Z",
					CreatedBy: "root",
					LastUsed:  "2026-01-02T03:04:05Z",
				}, {ID: "bbcdefghij234567", Name: "dev-operator", Role: "operator", State: "revoked", Source: "file"}},
			})
		case r.URL.Path == "/v1/tokens":
			var q wire.TokenRequest
			body, _ := io.ReadAll(r.Body)
			if err := json.Unmarshal(body, &q); err != nil {
				t.Error(err)
			}
			*asked = append(*asked, q)
			answer(w, wire.TokenAnswer{
				ID:        q.ID,
				Name:      q.Name,
				Role:      q.Role,
				State:     "active",
				Source:    "log",
				ExpiresAt: q.ExpiresAt,
				Seq:       9,
			})
		default:
			answer(w, wire.TokenAnswer{
				ID:         "abcdefghij234567",
				Name:       "alice",
				Role:       "auditor",
				State:      "revoked",
				Source:     "log",
				RevokedSeq: 12,
				RevokedBy:  "root",
			})
		}
		return true
	}
	return n
}

// TestTokenCreate: the text is shown once and nowhere else. The request has its digest only.
func TestTokenCreate(t *testing.T) {
	var asked []wire.TokenRequest
	dir := dev(t, tokenNode(t, &asked, nil))
	r := run(t, "", "token", "create", "--role", "auditor", "--name", "alice", "--expires", "2h", "--reason",
		"audit", "--dev", dir)
	text := strings.TrimSuffix(r.out, "\n")
	role, id, err := wire.ParseToken(text)
	if r.code != exitOK || err != nil || role != wire.RoleAuditor || len(asked) != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	q := asked[0]
	at, err := wire.ParseTime(q.ExpiresAt)
	if q.ID != id || q.Digest != wire.TokenDigest(text) || q.Name != "alice" || q.Reason != "audit" ||
		q.OpID == "" || err != nil || time.Until(at) > 2*time.Hour || time.Until(at) < time.Hour {
		t.Errorf("%+v", q)
	}
	if strings.Contains(r.err, text) || !strings.Contains(r.err, "recount token revoke "+id) {
		t.Errorf("stderr: %s", r.err)
	}
	file := filepath.Join(t.TempDir(), "alice.token")
	r = run(t, "", "token", "create", "--role", "operator", "--name", "bob", "--out", file, "-o", "json", "--dev", dir)
	kept, err := os.ReadFile(file)
	info, statErr := os.Stat(file)
	if err != nil || statErr != nil || info.Mode().Perm() != 0o600 || r.code != exitOK {
		t.Fatalf("%v %v %+v", err, statErr, r)
	}
	secret := strings.TrimSpace(string(kept))
	if asked[1].Digest != wire.TokenDigest(secret) || strings.Contains(r.out+r.err, secret) ||
		!strings.Contains(r.out, `"file"`) || strings.Contains(r.out, `"token"`) {
		t.Errorf("%s %s", r.out, r.err)
	}
	if r := run(t, "", "token", "create", "--role", "operator", "--name", "bob", "--out", file, "--dev",
		dir); r.code != exitUsage || len(asked) != 2 {
		t.Errorf("an existing file: %+v", r)
	}
	for _, bad := range [][]string{{"--role", "root", "--name", "x"}, {"--role", "auditor", "--name", "a b"},
		{"--role", "auditor", "--name", "x", "--expires", "0s"}, {"--role", "auditor"}} {
		if r := run(t, "", append([]string{"token", "create", "--dev", dir}, bad...)...); r.code != exitUsage ||
			len(asked) != 2 {
			t.Errorf("%v: %+v", bad, r)
		}
	}
	refused := dev(t, tokenNode(t, &asked, wire.NewProblem(wire.CodeForbidden, "the role auditor may not do this")))
	gone := filepath.Join(t.TempDir(), "x")
	r = run(t, "", "token", "create", "--role", "auditor", "--name", "x", "--out", gone, "--dev", refused)
	if _, err := os.Stat(gone); !os.IsNotExist(err) || r.code != exitRejected ||
		!strings.Contains(r.err, "Ask with credentials that may") {
		t.Errorf("%v %+v", err, r)
	}
}

func TestTokenOutput(t *testing.T) {
	var asked []wire.TokenRequest
	dir := dev(t, tokenNode(t, &asked, nil))
	for name, args := range map[string]string{
		"token-list":      "token list",
		"token-list-json": "token list -o json",
		"token-revoke":    "token revoke abcdefghij234567 --yes --reason x",
	} {
		r := run(t, "", append(strings.Fields(args), "--dev", dir)...)
		if r.code != exitOK {
			t.Errorf("%s: %+v", name, r)
		}
		golden(t, name, r.out)
	}
}

// TestDevToken: --dev acts as its operator unless another token is named.
func TestDevToken(t *testing.T) {
	n := newNode(t)
	dir := dev(t, n)
	asked := ""
	n.override = func(_ http.ResponseWriter, r *http.Request) bool {
		asked = r.Header.Get("Authorization")
		return false
	}
	if err := os.MkdirAll(filepath.Join(dir, "tokens"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "tokens", "operator.token"), "of-dev\n")
	other := write(t, filepath.Join(t.TempDir(), "other"), "of-flag\n")
	run(t, "", "get", someID, "--dev", dir)
	if asked != "Bearer of-dev" {
		t.Error(asked)
	}
	run(t, "", "get", someID, "--dev", dir, "--token-file", other)
	if asked != "Bearer of-flag" {
		t.Error(asked)
	}
}

// TestTokenListHasARowPerToken, also when three nodes know it, with the latest use anywhere.
func TestTokenListHasARowPerToken(t *testing.T) {
	page := func(node string, items ...wire.TokenAnswer) view[wire.TokensPage] {
		return view[wire.TokensPage]{Endpoint: node, Answer: &wire.TokensPage{Node: node, Items: items}}
	}
	one := wire.TokenAnswer{ID: "abcdefghij234567", State: "active", Source: "log", LastUsed: "2026-01-02T03:04:05Z"}
	used, revoked, two := one, one, one
	used.LastUsed, revoked.State, two.ID, two.LastUsed = "2026-01-02T03:04:05.5Z", "revoked", "bbcdefghij234567", ""
	views := []view[wire.TokensPage]{page("node-1", one, two), page("node-2", used, two), page("node-3", revoked, two)}
	for all, want := range map[bool]int{false: 3, true: 6} {
		var out, errs strings.Builder
		a := &app{out: &out, err: &errs, format: formatTable}
		if err := (tokenCommands{a}).printTokens(views, all); err != nil || strings.Count(out.String(),
			"\n") != want+1 {
			t.Errorf("%v\n%s", err, out.String())
		}
		if !all && (!strings.Contains(spaces.ReplaceAllString(out.String(), "  "),
			"node-1 node-2  2026-01-02T03:04:05Z") || !strings.Contains(out.String(), "revoked") ||
			!strings.Contains(out.String(), "node-1 node-2 node-3")) {
			t.Error(out.String())
		}
	}
}
