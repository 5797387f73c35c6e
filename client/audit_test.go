package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// ledger is a fake audit list that grows.
type ledger struct {
	rows atomic.Uint64
	t    *testing.T
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	rows := l.rows.Load()
	switch r.URL.Path {
	case "/v1/digest":
		reply(w, 200, wire.DigestAnswer{Seq: rows})
	case "/v1/audit":
		reply(w, 200, auditPage(l.t, q, rows))
	case "/v1/shards":
		page := wire.ShardsPage{Items: []wire.ShardAnswer{{ShardID: "a"}}, NextCursor: "b", AppliedSeq: 5}
		if q.Get("cursor") == "b" {
			page = wire.ShardsPage{Items: []wire.ShardAnswer{{ShardID: "b"}}, AppliedSeq: 5}
			if q.Get("min_seq") != "5" {
				l.t.Errorf("second page may come from a node that is behind: %v", q)
			}
		}
		reply(w, 200, page)
	default:
		reply(w, 0, wire.NewProblem(wire.CodeNotFound, ""))
	}
}

// auditPage answers like a node, with at most three rows in one page.
func auditPage(t *testing.T, q url.Values, rows uint64) wire.AuditPage {
	number := func(name string, otherwise uint64) uint64 {
		n, err := strconv.ParseUint(q.Get(name), 10, 64)
		if err != nil {
			return otherwise
		}
		return n
	}
	from := max(number("from_seq", 1), 1)
	if c := q.Get("cursor"); c != "" {
		from = number("cursor", 0)
		if q.Get("min_seq") == "" {
			t.Errorf("cursor without min_seq: %v", q)
		}
	}
	page := wire.AuditPage{Items: []wire.AuditItem{}, AppliedSeq: rows}
	for seq := from; seq <= rows; seq++ {
		if len(page.Items) == int(min(number("limit", 3), 3)) {
			page.NextCursor = strconv.FormatUint(seq, 10)
			break
		}
		page.Items = append(page.Items, wire.AuditItem{Seq: seq, ShardID: q.Get("shard")})
	}
	return page
}

func TestAuditWalksAllPages(t *testing.T) {
	l := &ledger{t: t}
	l.rows.Store(10)
	s, ca := server(t, l.ServeHTTP)
	c := connect(t, fast(ca, s.URL))
	for _, x := range []struct {
		q     AuditQuery
		first uint64
		n     int
	}{{AuditQuery{Shard: "s"}, 1, 10}, {AuditQuery{Shard: "s", Limit: 4}, 1, 4}, {AuditQuery{Shard: "s", FromSeq: 9, Since: time.Unix(1, 0)}, 9, 2}} {
		var seqs []uint64
		for item, err := range c.Audit(deadline(t, 20*time.Second), x.q) {
			if err != nil || item.ShardID != "s" {
				t.Fatal(item, err)
			}
			seqs = append(seqs, item.Seq)
		}
		if len(seqs) != x.n || seqs[0] != x.first || seqs[len(seqs)-1] != x.first+uint64(x.n)-1 {
			t.Errorf("%+v: %v", x, seqs)
		}
	}
	var shards string
	for item, err := range c.Shards(deadline(t, 20*time.Second), ShardsQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		shards += item.ShardID
	}
	if shards != "ab" {
		t.Error(shards)
	}
}

func TestAuditEndsWithItsError(t *testing.T) {
	s, ca := server(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, 0, wire.NewProblem(wire.CodeReplaced, "")) })
	n := 0
	for _, err := range connect(t, fast(ca, s.URL)).Audit(deadline(t, 20*time.Second), AuditQuery{}) {
		if n++; !errors.Is(err, ErrCursorGone) {
			t.Error(err)
		}
	}
	if n != 1 {
		t.Errorf("%d steps", n)
	}
}

// TestPageTimeout: the bound is one of each page. A list may take longer, and a page that hangs ends it.
func TestPageTimeout(t *testing.T) {
	const limit = 1500 * time.Millisecond
	served := 0
	s, ca := server(t, func(w http.ResponseWriter, r *http.Request) {
		if served++; served > 4 {
			<-r.Context().Done()
			return
		}
		select { // slow, but within the bound
		case <-time.After(limit / 3):
		case <-r.Context().Done():
		}
		page := wire.AuditPage{Items: []wire.AuditItem{{Seq: uint64(served)}}, AppliedSeq: uint64(served)}
		page.NextCursor = "more"
		reply(w, http.StatusOK, page)
	})
	c := connect(t, fast(ca, s.URL))
	began := time.Now()
	var pages int
	var last error
	for page, err := range c.AuditPages(deadline(t, 20*time.Second), AuditQuery{PageTimeout: limit}) {
		if last = err; err == nil {
			pages++
			if page.AppliedSeq != uint64(pages) {
				t.Errorf("page %d: %+v", pages, page)
			}
		}
	}
	if took := time.Since(began); pages != 4 || !errors.Is(last, context.DeadlineExceeded) || took < limit {
		t.Errorf("%d pages in %v: %v", pages, took, last)
	}
}
