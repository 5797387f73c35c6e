package api

import (
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// Bounds of one response with events. A client continues from the position in the trailer.
const (
	maxEvents     = 10_000
	maxEventBytes = 8 << 20 // of payloads; the last chunk may exceed it
	eventChunk    = 256
)

// events streams events with their payloads, one per line, and a trailer.
func (s *server) events(c echo.Context) error {
	p := readParams(c, "from", "to", "shard", "limit", "consistency", "min_seq")
	want := p.read(wire.ConsistencyLocal)
	q := EventsQuery{From: p.number("from", 1, 1, 1<<63-1), To: p.number("to", 0, 1, 1<<63-1), Shard: p.shard("shard")}
	limit := int(p.number("limit", maxEvents, 1, maxEvents))
	if q.To != 0 && q.To < q.From {
		p.fail("to", "is less than from")
	}
	if err := p.err(); err != nil {
		return err
	}
	ctx, cancel, view, err := s.fresh(c, want)
	if err != nil {
		return err
	}
	defer cancel()
	if err := noPattern(ctx, view, "shard", q.Shard); err != nil {
		return err
	}
	return streamEvents(c, view, q, limit)
}

// streamEvents writes one event per line and a trailer.
func streamEvents(c echo.Context, view View, q EventsQuery, limit int) error {
	out, size := newLineStream(c, false), 0
	for {
		q.Limit = min(limit-out.count, eventChunk)
		r, err := view.Events(c.Request().Context(), q)
		if err != nil {
			return err
		}
		for i := range r.Items {
			size += len(r.Items[i].Payload)
		}
		if err := writeLines(out, r.Items); err != nil {
			return err
		}
		if q.From = r.Next; r.Next == 0 || out.count >= limit || size >= maxEventBytes {
			break
		}
	}
	at := view.Position()
	end := wire.Trailer{AppliedSeq: at.AppliedSeq, Generation: at.Generation}
	if q.From != 0 {
		end.NextCursor = strconv.FormatUint(q.From, 10)
	}
	return out.end(end)
}
