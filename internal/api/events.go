package api

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// Bounds of one response with events. A client continues from the position in the trailer.
const (
	maxEvents     = 10_000
	maxEventBytes = 8 << 20 // of payloads; the last chunk may exceed it
	eventStretch  = 256
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
	if err := oneShard(ctx, view, "shard", q.Shard); err != nil {
		return err
	}
	return streamEvents(c, view, q, limit)
}

// streamEvents writes the lines. After the first line an error can only cut the stream, which a client detects
// by the missing trailer.
func streamEvents(c echo.Context, view View, q EventsQuery, limit int) error {
	w := c.Response()
	out := bufio.NewWriterSize(w, 32<<10)
	lines, control := json.NewEncoder(out), http.NewResponseController(w)
	count, size := 0, 0
	for {
		q.Limit = min(limit-count, eventStretch)
		r, err := view.Events(c.Request().Context(), q)
		if err != nil {
			return err
		}
		if !w.Committed {
			w.Header().Set(echo.HeaderContentType, wire.MediaNDJSON)
			w.WriteHeader(http.StatusOK)
		}
		// The writer may not support deadlines. Then the server's own limit applies.
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
		for i := range r.Items {
			if err := lines.Encode(&r.Items[i]); err != nil {
				return err
			}
			size += len(r.Items[i].Payload)
		}
		count += len(r.Items)
		if q.From = r.Next; r.Next == 0 || count >= limit || size >= maxEventBytes {
			break
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	at := view.Position()
	end := wire.Trailer{Trailer: true, Count: count, AppliedSeq: at.AppliedSeq, Generation: at.Generation}
	if q.From != 0 {
		end.NextCursor = strconv.FormatUint(q.From, 10)
	}
	if err := lines.Encode(end); err != nil {
		return err
	}
	return out.Flush()
}
