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
	PCS            string
	Policy         string // that judged: its id or at least its first 8 digits
	Remote         string // of the sender: an address, or a range such as 10.0.0.0/8
	Filter         string // a condition in the language of the rules of a policy, such as outcome == "refused" && epoch > 7
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
		"filter":  a.Filter,
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

// ShardsQuery selects shards. Zero fields do not filter.
type ShardsQuery struct {
	// only shards without a submission for so long before the newest event of the ledger, in whole seconds
	Silent time.Duration
	Cursor string // of the page before
	Limit  int    // of a page, 0 for the node's default
	Read
}

// ShardsPage returns one page of the shards.
func (c *Client) ShardsPage(ctx context.Context, s ShardsQuery) (*wire.ShardsPage, error) {
	q := s.query()
	if s.Cursor != "" {
		q.Set("cursor", s.Cursor)
	}
	setSeq(q, "silent", uint64(max(s.Silent, 0)/time.Second))
	setSeq(q, "limit", uint64(max(s.Limit, 0)))
	return get[wire.ShardsPage](ctx, c, "/v1/shards", q)
}

// ShardPages iterates over the pages of the shards, for callers that need the log time of each. It ends after the
// first error, which it yields.
func ShardPages(ctx context.Context, c *Client, q ShardsQuery) iter.Seq2[*wire.ShardsPage, error] {
	return pages(q, 0, func(q *ShardsQuery, size int) (page *wire.ShardsPage, items int, more bool, err error) {
		q.Limit = size
		if page, err = c.ShardsPage(ctx, *q); err != nil {
			return nil, 0, false, err
		}
		q.Cursor, q.MinSeq = page.NextCursor, max(q.MinSeq, page.AppliedSeq)
		return page, len(page.Items), page.NextCursor != "", nil
	})
}

// Shards iterates over the shards in the order of their ids. It ends after the first error, which it yields.
func (c *Client) Shards(ctx context.Context, q ShardsQuery) iter.Seq2[wire.ShardAnswer, error] {
	return func(yield func(wire.ShardAnswer, error) bool) {
		for page, err := range ShardPages(ctx, c, q) {
			if err != nil {
				yield(wire.ShardAnswer{}, err)
				return
			}
			for _, s := range page.Items {
				if !yield(s, nil) {
					return
				}
			}
		}
	}
}
