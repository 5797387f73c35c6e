package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/wire"
)

// TestWhoami: everybody who may ask anything learns under which name, in which role and until when a node knows them.
func TestWhoami(t *testing.T) {
	s := newSecure(t, nil)
	until := time.Date(2099, 1, 2, 3, 4, 5, 0, time.UTC)
	ask := func(c credential) (a wire.WhoamiAnswer) {
		t.Helper()
		if text := s.page(c, "/v1/whoami"); json.Unmarshal([]byte(text), &a) != nil {
			t.Fatalf("%s: %s", c.name, text)
		}
		return a
	}
	for _, role := range wire.Roles() {
		text := s.fake.give(role, "alice", until)
		_, id, _ := wire.ParseToken(text)
		a := ask(credential{"token", []string{"Bearer " + text}, s.plain, true})
		if a.Actor != "alice" || a.Role != role || a.Credential != "token:"+id || a.ExpiresAt != wire.Time(until) || a.Node != "node-1" || a.Subject != "" {
			t.Errorf("%s: %+v", role, a)
		}
		pair := s.pair(s.ca, certs.Request{CommonName: "anna", URIs: roleURI(testCluster, role, "anna"), Client: true})
		a = ask(credential{"certificate", nil, s.client(&pair), true})
		if a.Actor != "anna" || a.Role != role || a.Credential != "cert:"+pair.Leaf.SerialNumber.Text(16) || a.ExpiresAt != wire.Time(pair.Leaf.NotAfter) || !strings.Contains(a.Subject, "anna") {
			t.Errorf("%s: %+v", role, a)
		}
	}
	if text := s.page(credential{client: s.plain}, "/v1/whoami"); !strings.Contains(text, string(wire.CodeUnauthorized)) {
		t.Error(text)
	}
	open := decode[wire.WhoamiAnswer](t, newTestServer(t, nil).get("/v1/whoami"), 200)
	if open.Actor != "" || open.Role != "" || open.Credential != "" || open.Node != "node-1" {
		t.Errorf("without authentication: %+v", open)
	}
}
