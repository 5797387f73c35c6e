package api

import (
	"net/http"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// TestCursorKeepsGeneration: a list that began in one generation goes on in it after another is activated, and headers
// and body name it.
func TestCursorKeepsGeneration(t *testing.T) {
	r := newTestServer(t, nil)
	for i := range 3 {
		r.post(record(hexOf("shard", i), 1, nil))
	}
	audit := decode[wire.AuditPage](t, r.get("/v1/audit?limit=2"), http.StatusOK)
	shards := decode[wire.ShardsPage](t, r.get("/v1/shards?limit=2"), http.StatusOK)
	r.fake.gen = 2
	w := r.get("/v1/audit?limit=2&cursor=" + audit.NextCursor)
	rest := decode[wire.AuditPage](t, w, http.StatusOK)
	if at := w.Header().Get(wire.HeaderGeneration); at != "1" || rest.Generation != 1 || len(rest.Items) != 1 {
		t.Errorf("header %s, %+v", at, rest)
	}
	w = r.get("/v1/shards?limit=2&cursor=" + shards.NextCursor)
	last := decode[wire.ShardsPage](t, w, http.StatusOK)
	if at := w.Header().Get(wire.HeaderGeneration); at != "1" || last.Generation != 1 || len(last.Items) != 1 {
		t.Errorf("header %s, %+v", at, last)
	}
	w = r.get("/v1/audit")
	if at := w.Header().Get(wire.HeaderGeneration); at != "2" {
		t.Errorf("a new list: header %s", at)
	}
	r.fake.gone[1] = true
	decode[wire.Problem](t, r.get("/v1/audit?limit=2&cursor="+audit.NextCursor), http.StatusGone)
}
