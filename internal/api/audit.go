package api

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// Limits of the lists, in items. A stream is read from the ledger in chunks.
const (
	defaultLimit = 100
	maxLimit     = 1000
	maxStream    = 100_000
	streamChunk  = 500
	maxChunks    = 64 // chunks that are read to fill one page if few rows match
	maxFiltered  = 5  // the same with a condition, which costs more: 100,000 rows for one page
	maxFilter    = 4096

	maxStreamChunks   = maxStream/streamChunk + maxChunks // that are read for one stream
	maxStreamFiltered = 50                                // the same with a condition: 1,000,000 rows
)

// auditRequest is a parsed request for the audit list.
type auditRequest struct {
	query   AuditQuery
	read    Read
	filters [8]byte
	ndjson  bool
	byTime  bool   // the request gives a time
	asOf    uint64 // the event that the time means
}

func parseAudit(views Views, c echo.Context) (auditRequest, error) {
	p := readParams(c, slices.Concat([]string{"since", "until", "from_seq", "to_seq", "order", "limit", "cursor",
		"consistency", "min_seq"}, backwards, auditFilterNames)...)
	a := auditRequest{
		query:  p.auditFilter(views),
		read:   p.read(wire.ConsistencyLocal),
		ndjson: wantsNDJSON(c.Request().Header),
	}
	highest := uint64(maxLimit)
	if a.ndjson {
		highest = maxStream
	}
	a.query.Since, a.query.Until = p.moment("since"), p.moment("until")
	a.query.FromSeq = p.number("from_seq", 1, 1, 1<<63-1)
	a.query.ToSeq = p.number("to_seq", 0, 1, 1<<63-1)
	a.query.Newest = p.oneOf("order", wire.OrderOldest, wire.OrderOldest, wire.OrderNewest) == wire.OrderNewest
	a.query.Limit = int(p.number("limit", min(defaultLimit, highest), 1, highest))
	a.query.Then = p.then()
	a.byTime = a.query.Then.AsOfTime != 0
	if a.query.ToSeq != 0 && a.query.ToSeq < a.query.FromSeq {
		p.fail("to_seq", "is below from_seq")
	}
	if a.query.Newest {
		a.query.FromSeq, a.query.ToSeq = a.query.ToSeq, a.query.FromSeq
	}
	a.filters = auditFilters(p)
	if text := p.values.Get("cursor"); text != "" {
		if k := p.cursor(text, 'a', a.filters, &a.query.Then); k != nil {
			a.query.FromSeq = binary.BigEndian.Uint64(k.position)
			a.read.Generation, a.read.MinSeq = k.generation, max(a.read.MinSeq, k.asOf)
		}
	}
	a.read.AsOfTime = p.asOfTime
	return a, p.err()
}

// auditFilterNames are the parameters that auditFilter reads. The audit list and the live tail have them.
var auditFilterNames = []string{"shard", "key", "outcome", "reason", "unknown_shards", "pcs_id", "policy", "remote",
	"filter"}

// auditFilter reads what a row must have to be listed, whatever its place.
func (p *params) auditFilter(views Views) AuditQuery {
	q := AuditQuery{
		Shard: p.shard("shard"),
		Key:   p.key("key"),
		Outcome: p.oneOf("outcome", "", wire.OutcomeAccepted, wire.OutcomeEscalated, wire.OutcomeRefused,
			wire.OutcomeConflict),
		Reason:        p.text("reason", 64),
		UnknownShards: p.oneOf("unknown_shards", "", "true") != "",
		PCS:           p.digits("pcs_id", "record"),
		Policy:        p.digits("policy", "policy"),
		Remote:        p.addresses("remote"),
	}
	if text := p.text("filter", maxFilter); text != "" && p.err() == nil {
		var err error
		q.Filter, err = views.Condition(text)
		p.keep(err)
	}
	return q
}

// auditFilters returns a digest of the parameters that must not change while a cursor continues the list.
func auditFilters(p *params) [8]byte {
	get := p.values.Get
	filters := []string{get("shard"), get("key"), get("outcome"), get("reason"), get("since"), get("until"),
		get("from_seq"), get("unknown_shards"),
		get("to_seq"), get("order"), get("policy"), get("remote"), p.thenText(), get("generation")}
	// only if set, so that the cursors of nodes without these filters stay valid
	if id := get("pcs_id"); id != "" {
		filters = append(filters, id)
	}
	if condition := get("filter"); condition != "" {
		filters = append(filters, "filter", condition)
	}
	return digestFilters(filters...)
}

// audit responds with one page, or with a stream of lines if the client accepts NDJSON.
func (s *server) audit(c echo.Context) error {
	a, err := parseAudit(s.Ledger.Views, c)
	if err != nil {
		return err
	}
	ctx, cancel, view, err := s.fresh(c, a.read)
	if errors.Is(err, ErrGenerationGone) && a.query.Then.Past() {
		a.read.Generation = 0 // such a list does not depend on the generation that is active
		ctx, cancel, view, err = s.fresh(c, a.read)
	}
	if err != nil {
		return err
	}
	defer cancel()
	if err := noPattern(ctx, view, "shard", a.query.Shard); err != nil {
		return err
	}
	if err := a.pin(ctx, view); err != nil {
		return err
	}
	if a.ndjson {
		return streamAudit(c, view, a)
	}
	at := view.Position()
	page := wire.AuditPage{AppliedSeq: at.AppliedSeq, Generation: at.Generation}
	next, err := walkAudit(ctx, view, a.query, a.chunks(), func(r AuditResult) error {
		page.Items, page.AsOf = append(page.Items, r.Items...), r.AsOf
		return nil
	})
	if err != nil {
		return err
	}
	page.NextCursor = a.cursorAt(at, next)
	c.Response().Header().Add("Vary", "Accept")
	return writeAuditPage(c, &page)
}

// pin gives the list the event that its time means, if it has one.
func (a *auditRequest) pin(ctx context.Context, view View) (err error) {
	a.query.Then, err = pinned(ctx, view, a.query.Then)
	if a.byTime {
		a.asOf = a.query.Then.AsOf
	}
	return err
}

// chunks returns how many chunks are read for the answer. Where it ends before the list does, it has a cursor.
func (a *auditRequest) chunks() int {
	switch filtered := a.query.Filter != nil; {
	case a.ndjson && filtered:
		return maxStreamFiltered
	case a.ndjson:
		return maxStreamChunks
	case filtered:
		return maxFiltered
	}
	return maxChunks
}

func (a auditRequest) cursorAt(at Position, next uint64) string {
	if next == 0 {
		return ""
	}
	position := binary.BigEndian.AppendUint64(nil, next)
	return cursor{
		kind:       'a',
		generation: at.Generation,
		filters:    a.filters,
		asOf:       a.asOf,
		position:   position,
	}.String()
}

// walkAudit passes at most q.Limit items to fn, reads at most that many chunks, and returns the seq to continue
// from.
func walkAudit(ctx context.Context, view View, q AuditQuery, chunks int,
	fn func(AuditResult) error) (uint64, error) {
	for left := q.Limit; ; chunks-- {
		q.Limit = min(left, streamChunk)
		r, err := view.Audit(ctx, q)
		if err != nil {
			return 0, err
		}
		if err := fn(r); err != nil {
			return 0, err
		}
		left -= len(r.Items)
		if r.Next == 0 || left <= 0 || chunks <= 1 {
			return r.Next, nil
		}
		q.FromSeq = r.Next
	}
}

// streamAudit writes one item per line and a trailer.
func streamAudit(c echo.Context, view View, a auditRequest) error {
	out, at, asOf := newLineStream(c, true), view.Position(), uint64(0)
	next, err := walkAudit(c.Request().Context(), view, a.query, a.chunks(), func(r AuditResult) error {
		asOf = r.AsOf
		return writeAuditLines(out, r.Items)
	})
	if err != nil {
		return err
	}
	return out.end(wire.Trailer{
		NextCursor: a.cursorAt(at, next),
		AppliedSeq: at.AppliedSeq,
		Generation: at.Generation,
		AsOf:       asOf,
	})
}
