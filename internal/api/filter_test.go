package api

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/wire"
)

// scarce are views in which no row matches, however far one looks.
type scarce struct {
	Views
	queries []AuditQuery
}

func (s *scarce) View(ctx context.Context, r Read) (View, error) {
	view, err := s.Views.View(ctx, r)
	return scarceView{view, s}, err
}

type scarceView struct {
	View
	of *scarce
}

func (v scarceView) Audit(_ context.Context, q AuditQuery) (AuditResult, error) {
	v.of.queries = append(v.of.queries, q)
	return AuditResult{Next: q.FromSeq + 20_000}, nil
}

// TestFilterIsBounded: a page with a condition looks at fewer rows than another one, and has a cursor to go on with,
// which is for this condition alone.
func TestFilterIsBounded(t *testing.T) {
	fake := newFake()
	ledger, views := fake.ledger(), &scarce{Views: fake}
	ledger.Views = views
	h, err := NewHandler(Config{NoAuth: true, Ledger: ledger, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	get := func(q url.Values) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/v1/audit?"+q.Encode(), nil))
		return w
	}
	page := decode[wire.AuditPage](t, get(url.Values{"filter": {"epoch > 7"}}), 200)
	if len(views.queries) != maxFiltered || page.NextCursor == "" || views.queries[0].Filter != "epoch > 7" {
		t.Errorf("%d batches, then %q: %+v", len(views.queries), page.NextCursor, views.queries)
	}
	views.queries = nil
	decode[wire.AuditPage](t, get(url.Values{"filter": {"epoch > 7"}, "cursor": {page.NextCursor}}), 200)
	if len(views.queries) != maxFiltered || views.queries[0].FromSeq != 1+maxFiltered*20_000 {
		t.Errorf("%+v", views.queries)
	}
	views.queries = nil
	if decode[wire.AuditPage](t, get(url.Values{"outcome": {"refused"}}), 200); len(views.queries) != maxChunks {
		t.Errorf("%d batches without a condition", len(views.queries))
	}
	for _, q := range []url.Values{{"cursor": {page.NextCursor}}, {"filter": {"epoch > 8"}, "cursor": {page.NextCursor}}} {
		if p := decode[wire.Problem](t, get(q), 400); p.Field != "cursor" {
			t.Errorf("%v: %+v", q, p)
		}
	}
}

// TestCursorsAcrossActivations: the list of now ends when its generation is dropped, with what to do next. A list as of
// another time goes on.
func TestCursorsAcrossActivations(t *testing.T) {
	r := newTestServer(t, nil)
	for i := range 5 {
		r.fake.add(nil, fakeRecord{ShardID: "s", Epoch: int64(i)}, wire.SubmitAnswer{Outcome: wire.OutcomeAccepted, PCSID: hexOf(i), Policy: hexOf()}, 200)
	}
	cursors := map[string]string{}
	for _, query := range []string{"", "&as_of=4", "&generation=1", "&as_of=2026-03-01T00:00:04Z"} {
		page := decode[wire.AuditPage](t, r.get("/v1/audit?limit=2"+query), 200)
		if cursors[query] = page.NextCursor; page.NextCursor == "" {
			t.Fatalf("%q has no cursor", query)
		}
	}
	r.fake.gen, r.fake.gone = 2, map[uint32]bool{1: true}
	for query, cursor := range cursors {
		w := r.get("/v1/audit?limit=2" + query + "&cursor=" + cursor)
		if query != "" {
			if page := decode[wire.AuditPage](t, w, 200); len(page.Items) != 2 || page.Items[0].Seq != 3 {
				t.Errorf("%s: %+v", query, page)
			}
			continue
		}
		if p := decode[wire.Problem](t, w, 410); p.Code != "projection_replaced" || p.Type != "/problems/projection-replaced" {
			t.Errorf("%+v", p)
		}
	}
}
