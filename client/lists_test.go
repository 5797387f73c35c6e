package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// pager serves a list of n things, three in a page. It keeps the queries, and answers the page from fail on with a
// problem.
type pager struct {
	n, fail int
	queries []url.Values
}

func (p *pager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p.queries = append(p.queries, q)
	if p.fail > 0 && len(p.queries) >= p.fail {
		reply(w, 0, wire.NewProblem(wire.CodeReplaced, ""))
		return
	}
	from, err := strconv.Atoi(q.Get("cursor"))
	if err != nil {
		from, _ = strconv.Atoi(q.Get("from_seq")) // 0 for the first page
	}
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil {
		limit = 3
	}
	to := min(max(from, 1)+min(limit, 3), p.n+1)
	next := ""
	if to <= p.n {
		next = strconv.Itoa(to)
	}
	reply(w, 200, p.page(r.URL.Path, max(from, 1), to, next))
}

// page makes the items from <= i < to of a list.
func (p *pager) page(path string, from, to int, next string) any {
	var audit []wire.AuditItem
	var shards []wire.ShardAnswer
	var flips []wire.Flip
	var operations []wire.OperationItem
	for i := from; i < to; i++ {
		audit = append(audit, wire.AuditItem{Seq: uint64(i)})
		shards = append(shards, wire.ShardAnswer{ShardID: fmt.Sprint(i), FirstSeq: uint64(i)})
		flips = append(flips, wire.Flip{Seq: uint64(i)})
		operations = append(operations, wire.OperationItem{Seq: uint64(i)})
	}
	switch path {
	case "/v1/audit":
		return wire.AuditPage{Items: audit, NextCursor: next, AppliedSeq: 40 + uint64(from)}
	case "/v1/operations":
		following, _ := strconv.ParseUint(next, 10, 64)
		return wire.OperationsPage{Items: operations, NextSeq: following, AppliedSeq: 40 + uint64(from)}
	case "/v1/shards":
		return wire.ShardsPage{Items: shards, NextCursor: next, AppliedSeq: 40 + uint64(from)}
	}
	return wire.FlipsPage{Items: flips, NextCursor: next, Position: 77}
}

// list is one of the iterators, by the numbers of what it yields.
type list func(ctx context.Context, c *Client, limit int) iter.Seq2[uint64, error]

func numbers[T any](items iter.Seq2[T, error], seq func(T) uint64) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		for item, err := range items {
			if !yield(seq(item), err) {
				return
			}
		}
	}
}

// lists are all iterators that walk pages. Those of bounded take a limit.
var (
	bounded = map[string]list{
		"audit": func(ctx context.Context, c *Client, limit int) iter.Seq2[uint64, error] {
			return numbers(c.Audit(ctx, AuditQuery{Limit: limit}), func(i wire.AuditItem) uint64 { return i.Seq })
		},
		"flips": func(ctx context.Context, c *Client, limit int) iter.Seq2[uint64, error] {
			return numbers(c.Flips(ctx, FlipsQuery{Generation: 2, Limit: limit}), func(f wire.Flip) uint64 { return f.Seq })
		},
	}
	unbounded = map[string]list{
		"operations": func(ctx context.Context, c *Client, _ int) iter.Seq2[uint64, error] {
			return numbers(c.Operations(ctx, 1, Read{}), func(o wire.OperationItem) uint64 { return o.Seq })
		},
		"shards": func(ctx context.Context, c *Client, _ int) iter.Seq2[uint64, error] {
			return numbers(c.Shards(ctx, ShardsQuery{}), func(s wire.ShardAnswer) uint64 { return s.FirstSeq })
		},
	}
)

func lists() map[string]list {
	all := maps.Clone(bounded)
	maps.Copy(all, unbounded)
	return all
}

// walk reads a list up to stop items, all of them for 0.
func walk(t *testing.T, l list, p *pager, limit, stop int) (seqs []uint64, last error) {
	t.Helper()
	s, ca := server(t, p.ServeHTTP)
	for seq, err := range l(deadline(t, 20*time.Second), connect(t, fast(ca, s.URL)), limit) {
		if last != nil {
			t.Error("the list goes on after its error")
		}
		if last = err; err != nil {
			continue
		}
		if seqs = append(seqs, seq); len(seqs) == stop {
			break
		}
	}
	return seqs, last
}

func upTo(n int) (out []uint64) {
	for i := range n {
		out = append(out, uint64(i)+1)
	}
	return out
}

// TestListsStopAtTheirLimit: a limit counts items over all pages, asks for no more than are left, and asks for no page
// behind the last one that is needed.
func TestListsStopAtTheirLimit(t *testing.T) {
	for name, l := range bounded {
		for _, c := range []struct{ limit, items, pages int }{{1, 1, 1}, {3, 3, 1}, {4, 4, 2}, {6, 6, 2}, {10, 10, 4}} {
			p := &pager{n: 10}
			got, err := walk(t, l, p, c.limit, 0)
			if err != nil || !slices.Equal(got, upTo(c.items)) || len(p.queries) != c.pages {
				t.Errorf("%s, limit %d: %v %v, %d pages", name, c.limit, got, err, len(p.queries))
			}
		}
	}
	for _, name := range []string{"audit", "flips"} {
		p := &pager{n: 10}
		if got, err := walk(t, bounded[name], p, 11, 0); err != nil || !slices.Equal(got, upTo(10)) {
			t.Errorf("%s, a limit that is never reached: %v %v", name, got, err)
		}
		if got := p.queries[3].Get("limit"); got != "2" {
			t.Errorf("%s: the last page was asked for %s items, 2 are left", name, got)
		}
	}
}

// TestListsGoOn: later pages are asked of nodes that are at least as far as the first one.
func TestListsGoOn(t *testing.T) {
	for name, l := range map[string]list{"audit": bounded["audit"], "flips": bounded["flips"], "shards": unbounded["shards"]} {
		p := &pager{n: 7}
		got, err := walk(t, l, p, 0, 0)
		if err != nil || !slices.Equal(got, upTo(7)) || len(p.queries) != 3 {
			t.Errorf("%s: %v %v, %d pages", name, got, err, len(p.queries))
			continue
		}
		for i, q := range p.queries {
			if q.Get("limit") != strconv.Itoa(pageSize) || (q.Get("cursor") == "") != (i == 0) {
				t.Errorf("%s, page %d: %v", name, i+1, q)
			}
			want := map[string]string{"audit": q.Get("min_seq"), "shards": q.Get("min_seq"), "flips": q.Get("position")}[name]
			if (want == "") != (i == 0) {
				t.Errorf("%s, page %d may come from a node that is behind: %v", name, i+1, q)
			}
		}
	}
}

// TestListsEnd: a caller that stops is asked no more, also in the midst of a page, and an error is the last thing
// that a list yields.
func TestListsEnd(t *testing.T) {
	for name, l := range lists() {
		for stop, pages := range map[int]int{1: 1, 3: 1, 4: 2, 5: 2} {
			p := &pager{n: 10}
			if got, err := walk(t, l, p, 0, stop); err != nil || len(got) != stop || len(p.queries) != pages {
				t.Errorf("%s, stopped after %d: %v %v, %d pages", name, stop, got, err, len(p.queries))
			}
		}
		for fail, items := range map[int]int{1: 0, 2: 3, 3: 6} {
			p := &pager{n: 10, fail: fail}
			if got, err := walk(t, l, p, 0, 0); !errors.Is(err, ErrCursorGone) || len(got) != items {
				t.Errorf("%s, page %d fails: %v %v", name, fail, got, err)
			}
		}
	}
}

// TestListsBeginAgain: an iterator that is ranged over twice yields the same list twice. A second range once went on
// at the last page of the first.
func TestListsBeginAgain(t *testing.T) {
	for name, l := range lists() {
		p := &pager{n: 7}
		s, ca := server(t, p.ServeHTTP)
		all := l(deadline(t, 20*time.Second), connect(t, fast(ca, s.URL)), 7)
		for range 2 {
			var got []uint64
			for seq, err := range all {
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				got = append(got, seq)
			}
			if !slices.Equal(got, upTo(7)) {
				t.Errorf("%s: %v", name, got)
			}
		}
		if seq := p.queries[len(p.queries)/2].Get("min_seq"); seq != "" {
			t.Errorf("%s: the second range waits for event %s", name, seq)
		}
	}
}

// TestTailGivesUp: what is no outage ends a tail, at the head already. An end from outside is the last thing.
func TestTailGivesUp(t *testing.T) {
	s, ca := server(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, 0, wire.NewProblem(wire.CodeForbidden, "")) })
	c := connect(t, fast(ca, s.URL))
	for _, q := range []AuditQuery{{}, {FromSeq: 1}} {
		n := 0
		for _, err := range c.Tail(deadline(t, 20*time.Second), q) {
			if n++; !errors.Is(err, ErrRejected) {
				t.Errorf("%+v: %v", q, err)
			}
		}
		if n != 1 {
			t.Errorf("%+v: %d steps", q, n)
		}
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	n := 0
	for _, err := range c.Tail(ctx, AuditQuery{}) {
		if n++; !errors.Is(err, cause) {
			t.Errorf("ended: %v", err)
		}
	}
	if n != 1 {
		t.Errorf("ended: %d steps", n)
	}
}
