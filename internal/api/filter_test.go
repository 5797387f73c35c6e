package api

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
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
	if v.of.queries = append(v.of.queries, q); len(v.of.queries) > 1000 {
		return AuditResult{}, errFake // nobody would wait for the end
	}
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
	if len(views.queries) != maxFiltered || page.NextCursor == "" || views.queries[0].Filter != fakeCondition("epoch > 7") {
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
	for condition, most := range map[string]int{"epoch > 7": maxStreamFiltered, "": maxStreamChunks} {
		views.queries = nil
		q := url.Values{"limit": {"100000"}}
		if condition != "" {
			q.Set("filter", condition)
		}
		r := httptest.NewRequest("GET", "/v1/audit?"+q.Encode(), nil)
		r.Header.Set("Accept", wire.MediaNDJSON)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if end := decode[wire.Trailer](t, w, 200); len(views.queries) != most || !end.Trailer || end.NextCursor == "" {
			t.Errorf("a stream with %q: %d batches, then %+v", condition, len(views.queries), end)
		}
	}
	for _, q := range []url.Values{{"cursor": {page.NextCursor}}, {"filter": {"epoch > 8"}, "cursor": {page.NextCursor}}} {
		if p := decode[wire.Problem](t, get(q), 400); p.Field != "cursor" {
			t.Errorf("%v: %+v", q, p)
		}
	}
}

// TestFilterIsCompiledOnce: an answer of many batches compiles its condition once, a live tail too.
func TestFilterIsCompiledOnce(t *testing.T) {
	r := newTailing(t, func(*Config) {}, nil)
	r.add(3*streamChunk, "a")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		strings.TrimSuffix(r.url, "/stream")+"?limit=100000&filter=accepted", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", wire.MediaNDJSON)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || bytes.Count(text, []byte("\n")) != 3*streamChunk+1 {
		t.Errorf("%d lines, %v", bytes.Count(text, []byte("\n")), err)
	}
	s := r.open("?from_seq=1&filter=accepted")
	s.seqs(3 * streamChunk)
	r.add(1, "a")
	s.seqs(1)
	r.fake.mu.Lock()
	defer r.fake.mu.Unlock()
	if !slices.Equal(r.fake.conditions, []string{"accepted", "accepted"}) {
		t.Errorf("compiled: %q", r.fake.conditions)
	}
}

// TestFilterThatDoesNotCompile: it is refused before anything is read.
func TestFilterThatDoesNotCompile(t *testing.T) {
	r := newTestServer(t, nil)
	for _, target := range []string{"/v1/audit", "/v1/audit/stream"} {
		if p := decode[wire.Problem](t, r.get(target+"?filter=wrong"), 400); p.Field != "filter" || len(r.fake.reads) != 0 {
			t.Errorf("%s: %+v, %v", target, p, r.fake.reads)
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
