package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

func TestWhoami(t *testing.T) {
	c := newCluster(t, "x")
	c.override = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.URL.Path != "/v1/whoami":
			return false
		case r.Header.Get("Authorization") != "Bearer x-operator":
			answer(w, wire.NewProblem(wire.CodeUnauthorized, ""))
		default:
			answer(w, wire.WhoamiAnswer{
				ClusterID:  "ledger",
				Node:       "node-2",
				Actor:      "alice",
				Role:       wire.RoleOperator,
				Credential: "token:abcdefghij234567",
				ExpiresAt:  "2099-01-02T03:04:05Z",
			})
		}
		return true
	}
	r := run(t, "", "whoami", "--dev", c.dir)
	for _, want := range []string{"ledger", "node-2", "--dev " + c.dir, c.server.URL, "alice", "operator",
		"token:abcdefghij234567", "2099-01-02T03:04:05Z"} {
		if r.code != exitOK || !strings.Contains(r.out, want) {
			t.Errorf("no %s: %+v", want, r)
		}
	}
	var got struct{ Source, Role, ClusterID string }
	if r := run(t, "", "whoami", "--dev", c.dir, "-o", "json"); json.Unmarshal([]byte(r.out), &got) != nil ||
		got.Role != "operator" || !strings.HasPrefix(got.Source, "--dev ") {
		t.Errorf("%+v", r)
	}
	r = run(t, "", "whoami", "--dev", c.dir, "--token-file", c.token)
	if r.code != exitRejected || !strings.Contains(r.err, "cluster dev, node-1 (--dev "+c.dir+")") ||
		!strings.Contains(r.err, "is no token") {
		t.Errorf("%+v", r)
	}
}
