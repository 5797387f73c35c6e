package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// pageSize is the number of items requested at once.
const pageSize = 1000

// AuditQuery filters the audit list. Zero fields do not filter. Since and Until bound the log time.
type AuditQuery struct {
	Shard, Key, Outcome, Reason string
	UnknownShards               bool // only shards that are not registered as known
	// named by the submission: a pcs_id or at least its first 8 digits; refused submissions too
	PCS    string
	Policy string // that judged: its id or at least its first 8 digits
	Remote string // of the sender: an address, or a range such as 10.0.0.0/8
	AsOf   string // list the outcomes as of this event number or time (wire.Time)
	// list the outcomes of this generation, or its last ones if it is dropped; 0 for the active one
	Generation     uint32
	Since, Until   time.Time
	FromSeq, ToSeq uint64
	Newest         bool // newest first
	Limit          int  // items in total, 0 for no limit
	// position at which an earlier iteration stopped; the filters must be the same
	Cursor      string
	PageTimeout time.Duration // bound on each page, 0 for none beside the context of the whole list
	Read
}

// pageContext bounds the request for one page.
func pageContext(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, limit)
}

func (a AuditQuery) query() url.Values {
	q := a.Read.query()
	for name, value := range map[string]string{
		"shard":   a.Shard,
		"key":     a.Key,
		"outcome": a.Outcome,
		"reason":  a.Reason,
		"cursor":  a.Cursor,
		"pcs_id":  a.PCS,
		"policy":  a.Policy,
		"remote":  a.Remote,
		"as_of":   a.AsOf,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for name, at := range map[string]time.Time{"since": a.Since, "until": a.Until} {
		if !at.IsZero() {
			q.Set(name, wire.Time(at))
		}
	}
	if a.UnknownShards {
		q.Set("unknown_shards", "true")
	}
	setSeq(q, "from_seq", a.FromSeq)
	setSeq(q, "to_seq", a.ToSeq)
	if a.Newest {
		q.Set("order", wire.OrderNewest)
	}
	setSeq(q, "generation", uint64(a.Generation))
	if a.Limit > 0 {
		q.Set("limit", strconv.Itoa(a.Limit))
	}
	return q
}

// AuditPage returns one page of the audit list. Limit is the size of the page.
func (c *Client) AuditPage(ctx context.Context, q AuditQuery) (*wire.AuditPage, error) {
	ctx, cancel := pageContext(ctx, q.PageTimeout)
	defer cancel()
	return get[wire.AuditPage](ctx, c, "/v1/audit", q.query())
}

// AuditPages iterates over the pages of the audit list, for callers that need the generation or the position of each
// page, or its end. Otherwise it does what Audit does. Limit bounds the items in total.
func (c *Client) AuditPages(ctx context.Context, q AuditQuery) iter.Seq2[*wire.AuditPage, error] {
	return pages(q, q.Limit, func(q *AuditQuery, size int) (page *wire.AuditPage, items int, more bool, err error) {
		q.Limit = size
		if page, err = c.AuditPage(ctx, *q); err != nil {
			return nil, 0, false, err
		}
		q.Cursor, q.MinSeq = page.NextCursor, max(q.MinSeq, page.AppliedSeq)
		return page, len(page.Items), page.NextCursor != "", nil
	})
}

// pages iterates over the pages that read returns, until the last one or until limit items are there, 0 for no
// limit. read gets the query, which it moves to the next page, and the size of the page. Each range over the pages
// begins with the first one.
func pages[Q, P any](first Q, limit int,
	read func(q *Q, size int) (page *P, items int, more bool, err error)) iter.Seq2[*P, error] {
	return func(yield func(*P, error) bool) {
		q := first
		for left := limit; ; {
			size := pageSize
			if left > 0 {
				size = min(left, pageSize)
			}
			page, items, more, err := read(&q, size)
			if err != nil {
				yield(nil, err)
				return
			}
			done := left > 0 && left <= items
			if left -= items; !yield(page, nil) || done || !more {
				return
			}
		}
	}
}

// Audit iterates over the audit list in the order of seq, newest first if the query says so. It reads page by
// page from all nodes. Later pages come from nodes that are at least as far as the first. It ends after the
// first error, which it yields. ErrCursorGone means that another generation is active now: start again.
func (c *Client) Audit(ctx context.Context, q AuditQuery) iter.Seq2[wire.AuditItem, error] {
	return func(yield func(wire.AuditItem, error) bool) {
		for page, err := range c.AuditPages(ctx, q) {
			if err != nil {
				yield(wire.AuditItem{}, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
		}
	}
}

// EventsQuery selects events. Zero fields do not filter.
type EventsQuery struct {
	From, To uint64 // the first and the last event
	Shard    string // only submissions that name this shard, refused ones too
	Read
}

// EventsPage returns many events at once and the seq to continue from, 0 at the end. A node returns at most
// 10,000 events, and fewer if they are large.
func (c *Client) EventsPage(ctx context.Context, q EventsQuery) (items []wire.EventAnswer, next uint64, err error) {
	v := q.query()
	setSeq(v, "from", q.From)
	setSeq(v, "to", q.To)
	if q.Shard != "" {
		v.Set("shard", q.Shard)
	}
	if c.cfg.Consistency != "" && !v.Has("consistency") {
		v.Set("consistency", c.cfg.Consistency)
	}
	resp, err := c.Do(ctx, Request{Method: http.MethodGet, Path: "/v1/events", Query: v})
	if err != nil {
		return nil, 0, err
	}
	if resp.Status < 200 || resp.Status > 299 {
		return nil, 0, resp.decode(nil, http.MethodGet)
	}
	end, err := eventLines(resp.Body, &items)
	if err == nil && end.NextCursor != "" {
		next, err = strconv.ParseUint(end.NextCursor, 10, 64)
	}
	if err != nil {
		return nil, 0, &Error{
			Endpoint: resp.Endpoint,
			Attempts: resp.Attempts,
			Status:   resp.Status,
			Cause:    fmt.Errorf("%w: %w", ErrProtocol, err),
		}
	}
	return items, next, nil
}

// eventLines decodes events up to the trailer. Without a trailer the response was cut.
func eventLines(body []byte, items *[]wire.EventAnswer) (end wire.Trailer, err error) {
	for line := range bytes.Lines(body) {
		if end.Trailer {
			return end, errors.New("a line behind the trailer")
		}
		var l struct { // an event or the trailer; they have no member in common
			wire.EventAnswer
			wire.Trailer
		}
		if err := json.Unmarshal(line, &l); err != nil {
			return end, err
		}
		if end = l.Trailer; end.Trailer {
			continue
		}
		e := l.EventAnswer
		*items = append(*items, e)
	}
	if !end.Trailer || end.Count != len(*items) {
		return end, errors.New("the list was cut")
	}
	return end, nil
}

// TailConfig sets the pauses between two polls at the end of the list: MinWait after news, MaxWait when nothing
// comes. Defaults are 200 ms and 2 s.
type TailConfig struct{ MinWait, MaxWait time.Duration }

// Tail iterates over the audit list from q.FromSeq (0: from the present head) and continues with new items,
// until ctx ends or the caller stops. It polls with a pause that grows while nothing comes. q.Limit bounds the
// items in total. q.Cursor is ignored. Errors other than unavailability end it.
func (c *Client) Tail(ctx context.Context, q AuditQuery, t TailConfig) iter.Seq2[wire.AuditItem, error] {
	if t.MinWait <= 0 {
		t.MinWait = 200 * time.Millisecond
	}
	if t.MaxWait <= 0 {
		t.MaxWait = 2 * time.Second
	}
	t.MaxWait = max(t.MaxWait, t.MinWait)
	return func(yield func(wire.AuditItem, error) bool) {
		w := tail{c: c, q: q, left: q.Limit, yield: yield}
		w.q.Cursor = ""
		wait := t.MinWait
		for ctx.Err() == nil {
			before := w.q.FromSeq
			if !w.look(ctx) {
				return
			}
			if w.q.FromSeq > before {
				wait = t.MinWait
			}
			if pause(ctx, wait) != nil {
				break
			}
			wait = min(wait*2, t.MaxWait)
		}
		yield(wire.AuditItem{}, context.Cause(ctx))
	}
}

// tail is the state of one Tail.
type tail struct {
	c     *Client
	q     AuditQuery
	left  int // 0 for no bound
	yield func(wire.AuditItem, error) bool
}

// look reads everything from q.FromSeq to the end and moves q.FromSeq behind it. A node that lags returns
// nothing and moves nothing. look returns false when the iteration is over.
func (w *tail) look(ctx context.Context) bool {
	if w.q.FromSeq == 0 {
		head, err := w.c.Digest(ctx, 0)
		if err != nil {
			return w.failed(ctx, err)
		}
		w.q.FromSeq = head.Seq + 1
	}
	page := w.q
	page.Limit = pageSize
	for {
		got, err := w.c.AuditPage(ctx, page)
		if err != nil {
			return w.failed(ctx, err)
		}
		for _, item := range got.Items {
			w.q.FromSeq = max(w.q.FromSeq, item.Seq+1)
			if !w.yield(item, nil) {
				return false
			}
			if w.left--; w.left == 0 {
				return false
			}
		}
		if got.NextCursor == "" {
			w.q.FromSeq = max(w.q.FromSeq, got.AppliedSeq+1)
			return true
		}
		page.Cursor, page.MinSeq = got.NextCursor, max(page.MinSeq, got.AppliedSeq)
	}
}

// failed yields err and ends the iteration, unless ctx has ended, which the caller reports.
func (w *tail) failed(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return true
	}
	w.yield(wire.AuditItem{}, err)
	return false
}

// ShardsPage returns one page of the shards. A limit of 0 selects the node's default.
func (c *Client) ShardsPage(ctx context.Context, cursor string, limit int, r Read) (*wire.ShardsPage, error) {
	q := r.query()
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return get[wire.ShardsPage](ctx, c, "/v1/shards", q)
}

// Shards iterates over all shards in the order of their ids. It ends after the first error, which it yields.
func (c *Client) Shards(ctx context.Context, r Read) iter.Seq2[wire.ShardAnswer, error] {
	return func(yield func(wire.ShardAnswer, error) bool) {
		r := r // a second range begins again
		for cursor := ""; ; {
			page, err := c.ShardsPage(ctx, cursor, pageSize, r)
			if err != nil {
				yield(wire.ShardAnswer{}, err)
				return
			}
			for _, s := range page.Items {
				if !yield(s, nil) {
					return
				}
			}
			if cursor = page.NextCursor; cursor == "" {
				return
			}
			r.MinSeq = max(r.MinSeq, page.AppliedSeq)
		}
	}
}
