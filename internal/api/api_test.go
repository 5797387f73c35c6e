package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// record is a well-formed body; its id is derived from shard and epoch.
func record(shard string, epoch int, change func(map[string]any)) string {
	m := map[string]any{
		"pcs_id": hexOf(shard, epoch), "schema": "fractal-lba-kakeya", "version": "0.1", "shard_id": shard, "epoch": epoch, "attempt": 1,
		"sent_at": "2026-01-02T03:04:05Z", "seed": 42, "scales": []int{2, 4}, "N_j": map[string]int{"2": 2, "4": 4}, "coh_star": 0.5,
		"v_star": []float64{1, 0, 0}, "D_hat": 1.25, "r": 0.5, "regime": "mixed", "budget": 0.375, "merkle_root": hexOf("root", epoch),
		"sig": "AAAA", "ft": map[string]any{"outbox_seq": 1, "degraded": false, "fallbacks": []string{}, "clock_skew_ms": 0},
	}
	if change != nil {
		change(m)
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func degraded(m map[string]any) { m["ft"].(map[string]any)["degraded"] = true }

func TestSubmitOutcomes(t *testing.T) {
	r := newTestServer(t, nil)
	body := record("s", 1, nil)
	a := decode[wire.SubmitAnswer](t, r.post(body), 200)
	if !a.Accepted || a.Seq != 1 || a.RecomputedDHat == nil || *a.RecomputedDHat != 1_250_000_000 || a.RecomputedBudget != 375_000_000 {
		t.Errorf("%+v", a)
	}
	if string(r.fake.rows[0].body) != body {
		t.Error("the ledger got other bytes")
	}
	w := r.post(body)
	if again := decode[wire.SubmitAnswer](t, w, 200); !again.Replayed || again.Seq != 1 || w.Header().Get(wire.HeaderReplayed) != "true" {
		t.Errorf("%+v", again)
	}
	if e := decode[wire.SubmitAnswer](t, r.post(record("s", 2, degraded)), 202); e.Outcome != wire.OutcomeEscalated || e.ReasonCode != "degraded" {
		t.Errorf("%+v", e)
	}
	other := record("s", 1, func(m map[string]any) { m["D_hat"] = 0 })
	w = r.post(other)
	p := decode[wire.Problem](t, w, 409)
	if p.First == nil || p.First.Seq != 1 || p.Seq != 3 || p.RecomputedDHat == nil || *p.RecomputedDHat != 1_250_000_000 || w.Header().Get(wire.HeaderReplayed) != "" {
		t.Errorf("%+v", p)
	}
	w = r.post(other)
	if p := decode[wire.Problem](t, w, 409); !p.Replayed || w.Header().Get(wire.HeaderReplayed) != "true" {
		t.Errorf("a conflict that was answered before: %v %+v", w.Header(), p)
	}
	decode[wire.Problem](t, r.post(record("s", 9, func(m map[string]any) { m["sig"] = "bad" })), 401)
	if p := decode[wire.Problem](t, r.post(`{"pcs_id":`), 400); p.ReasonCode != "malformed" || p.Field != "body" {
		t.Errorf("%+v", p)
	}
}

func TestReadsGiveWhatWasSubmitted(t *testing.T) {
	r := newTestServer(t, nil)
	r.post(record("a/ß 1", 7, nil))
	r.post(record("b", 8, degraded))
	answer := decode[wire.PCSAnswer](t, r.get("/v1/pcs/"+hexOf("a/ß 1", 7)), 200)
	if answer.Seq != 1 || len(answer.Events) != 1 || r.fake.reads[0].Consistency != wire.ConsistencyLinearizable {
		t.Errorf("%+v %+v", answer, r.fake.reads)
	}
	w := r.get("/v1/shards/a%2F%C3%9F%201")
	if s := decode[wire.ShardAnswer](t, w, 200); s.ShardID != "a/ß 1" || *s.Epoch != 7 || w.Header().Get(wire.HeaderAppliedSeq) != "2" {
		t.Errorf("%+v", s)
	}
	e := decode[wire.EventAnswer](t, r.get("/v1/events/2?consistency=session&min_seq=2"), 200)
	if string(e.Payload) != record("b", 8, degraded) || r.fake.reads[2] != (Read{Consistency: wire.ConsistencySession, MinSeq: 2}) {
		t.Errorf("%+v %+v", e, r.fake.reads)
	}
	head := decode[wire.DigestAnswer](t, r.get("/v1/digest"), 200)
	if at := decode[wire.DigestAnswer](t, r.get("/v1/digest?seq=2"), 200); !reflect.DeepEqual(at, head) || at.Edge != nil {
		t.Errorf("%+v %+v", at, head)
	}
	if at := decode[wire.DigestAnswer](t, r.get("/v1/digest?seq=2&edge=true"), 200); len(at.Edge) != 1 {
		t.Errorf("%+v", at)
	}
	decode[wire.Problem](t, r.get("/v1/digest?edge=yes"), 400)
	if c := decode[wire.ClusterAnswer](t, r.get("/v1/cluster"), 200); c.Leader != "node-1" || c.Members[1].Lag != nil {
		t.Errorf("%+v", c)
	}
	if v := decode[wire.VersionAnswer](t, r.get("/version"), 200); v.Node != "node-1" {
		t.Errorf("%+v", v)
	}
}

func TestErrorsAreProblems(t *testing.T) {
	r := newTestServer(t, nil)
	r.post(record("s", 1, nil))
	id := hexOf("s", 1)
	for target, want := range map[string]int{
		"/":                                404,
		"/v1":                              404,
		"/v1/pcs/" + hexOf("absent"):       404,
		"/v1/pcs/xyz":                      400,
		"/v1/pcs/submit":                   405,
		"/v1/pcs/check":                    405,
		"/v1/pcs/" + id + "?consistency=x": 400,
		"/v1/pcs/" + id + "?min_seq=-1":    400,
		"/v1/pcs/" + id + "?nonsense=1":    400,
		"/v1/events/0":                     400,
		"/v1/events/99":                    404,
		"/v1/events/18446744073709551616":  400,
		"/v1/shards/absent":                404,
		"/v1/shards/":                      404,
		"/v1/digest?seq=99":                404,
		"/v1/digest?seq=1&seq=2":           400,
		"/v1/audit?limit=0":                400,
		"/v1/audit?limit=1001":             400,
		"/v1/audit?since=yesterday":        400,
		"/v1/audit?outcome=fine":           400,
		"/v1/audit?cursor=AAAA":            400,
		"/v1/audit?a=%zz":                  400,
		"/v1/shards?cursor=!":              400,
		"/problems/none":                   404,
		"/health/":                         404,
	} {
		if w := r.get(target); w.Code != want {
			t.Errorf("%s: %d, want %d: %s", target, w.Code, want, w.Body)
		}
	}
	for _, method := range []string{"GET", "PUT", "DELETE", "BREW"} {
		if w := r.do(httptest.NewRequest(method, "/v1/pcs/submit", nil)); w.Code != 405 || w.Header().Get("Allow") == "" {
			t.Errorf("%s: %d, Allow %q", method, w.Code, w.Header().Get("Allow"))
		}
	}
}

func TestProblemPages(t *testing.T) {
	r := newTestServer(t, nil)
	for _, info := range wire.Codes() {
		if w := r.get("/problems/" + info.Code.Slug()); w.Code != http.StatusOK {
			t.Errorf("%s: %d", info.Code, w.Code)
		}
	}
	if w := r.get("/openapi.yaml"); w.Code != 200 {
		t.Error(w.Code)
	}
}

func TestAuditPagesAndCursors(t *testing.T) {
	r := newTestServer(t, nil)
	for i := range 25 {
		change := degraded
		if i%2 == 0 {
			change = nil
		}
		r.post(record(fmt.Sprint("s", i%3), i, change))
	}
	var seqs []uint64
	for target := "/v1/audit?limit=4&outcome=accepted"; ; {
		page := decode[wire.AuditPage](t, r.get(target), 200)
		for _, item := range page.Items {
			seqs = append(seqs, item.Seq)
		}
		if page.NextCursor == "" {
			break
		}
		target = "/v1/audit?limit=4&outcome=accepted&cursor=" + page.NextCursor
	}
	if fmt.Sprint(seqs) != "[1 3 5 7 9 11 13 15 17 19 21 23 25]" {
		t.Error(seqs)
	}
	page := decode[wire.AuditPage](t, r.get("/v1/audit?limit=1"), 200)
	decode[wire.Problem](t, r.get("/v1/audit?limit=1&shard=s1&cursor="+page.NextCursor), 400)
	shards := decode[wire.ShardsPage](t, r.get("/v1/shards?limit=2"), 200)
	rest := decode[wire.ShardsPage](t, r.get("/v1/shards?limit=2&cursor="+shards.NextCursor), 200)
	if len(shards.Items) != 2 || len(rest.Items) != 1 || rest.NextCursor != "" {
		t.Errorf("%+v %+v", shards, rest)
	}
	decode[wire.Problem](t, r.get("/v1/audit?cursor="+shards.NextCursor), 400)
	r.fake.gone[1], r.fake.gen = true, 2
	decode[wire.Problem](t, r.get("/v1/audit?limit=1&cursor="+page.NextCursor), 410)
	decode[wire.Problem](t, r.get("/v1/shards?cursor="+shards.NextCursor), 410)
	decode[wire.AuditPage](t, r.get("/v1/audit?limit=1"), 200)
	window := decode[wire.AuditPage](t, r.get("/v1/audit?since=2026-03-01T00:00:03Z&until=2026-03-01T00:00:05Z"), 200)
	if len(window.Items) != 2 || window.Items[0].Seq != 4 {
		t.Errorf("%+v", window.Items)
	}
}

// TestAuditNewestFirst: pages go backwards, and bounds mean the same in both directions.
func TestAuditNewestFirst(t *testing.T) {
	r := newTestServer(t, nil)
	for i := range 9 {
		r.post(record("s", i, nil))
	}
	var seqs []uint64
	for cursor := ""; ; {
		page := decode[wire.AuditPage](t, r.get("/v1/audit?limit=3&order=newest&from_seq=2&to_seq=8"+cursor), 200)
		for _, item := range page.Items {
			seqs = append(seqs, item.Seq)
		}
		if page.NextCursor == "" {
			break
		}
		cursor = "&cursor=" + page.NextCursor
	}
	if fmt.Sprint(seqs) != "[8 7 6 5 4 3 2]" {
		t.Error(seqs)
	}
	if page := decode[wire.AuditPage](t, r.get("/v1/audit?to_seq=2"), 200); len(page.Items) != 2 || page.Items[0].Seq != 1 {
		t.Errorf("%+v", page.Items)
	}
	if page := decode[wire.AuditPage](t, r.get("/v1/audit?limit=1&order=newest"), 200); page.Items[0].Seq != 9 {
		t.Errorf("%+v", page.Items)
	}
	for _, wrong := range []string{"order=random", "from_seq=3&to_seq=2", "to_seq=0"} {
		decode[wire.Problem](t, r.get("/v1/audit?"+wrong), 400)
	}
}

// TestIDsWithAPrefix are listed for those who may read, at most so many.
func TestIDsWithAPrefix(t *testing.T) {
	r := newTestServer(t, nil)
	r.post(record("a", 1, nil))
	id := hexOf("a", 1)
	if page := decode[wire.IDsPage](t, r.get("/v1/pcs?prefix="+strings.ToUpper(id[:8])), 200); len(page.Items) != 1 || page.Items[0] != id || page.More {
		t.Errorf("%+v", page)
	}
	if page := decode[wire.IDsPage](t, r.get("/v1/pcs?prefix=0000000000"), 200); page.Items == nil || len(page.Items) != 0 {
		t.Errorf("%+v", page)
	}
	r.fake.first[id[:63]+"0"], r.fake.first[id[:63]+"1"], r.fake.first[id[:63]+"2"] = 0, 0, 0
	if page := decode[wire.IDsPage](t, r.get("/v1/pcs?limit=2&prefix="+id[:60]), 200); len(page.Items) != 2 || !page.More {
		t.Errorf("%+v", page)
	}
	for _, wrong := range []string{"", "?prefix=abcdefg", "?prefix=0123456", "?prefix=" + id + "0", "?prefix=" + id + "&limit=101"} {
		decode[wire.Problem](t, r.get("/v1/pcs"+wrong), 400)
	}
}
