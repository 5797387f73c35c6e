package api

import (
	"encoding/binary"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// flipsRequest is a parsed request for the list of flips.
type flipsRequest struct {
	query   FlipsQuery
	read    Read
	filters [8]byte
	ndjson  bool
}

func parseFlips(c echo.Context, generation uint32) (flipsRequest, error) {
	p := readParams(c, "shard", "key", "reason", "position", "from_seq", "limit", "cursor", "consistency", "min_seq")
	f := flipsRequest{read: p.read(wire.ConsistencyLocal), ndjson: wantsNDJSON(c.Request().Header)}
	highest := uint64(maxLimit)
	if f.ndjson {
		highest = maxStream
	}
	f.query = FlipsQuery{
		Generation: generation,
		Shard:      p.shard("shard"),
		Key:        p.key("key"),
		Reason:     p.text("reason", 64),
		Position:   p.number("position", 0, 1, 1<<63-1),
		FromSeq:    p.number("from_seq", 1, 1, 1<<63-1),
		Limit:      int(p.number("limit", min(defaultLimit, highest), 1, highest)),
	}
	get := p.values.Get
	f.filters = digestFilters(get("shard"), get("key"), get("reason"))
	if text := get("cursor"); text != "" {
		k, err := parseCursor(text, 'f', f.filters)
		if err != nil || k.generation != generation {
			p.fail("cursor", errCursor.Error()+", or the filters have changed")
		} else {
			f.query.FromSeq = binary.BigEndian.Uint64(k.position)
			f.query.Position = binary.BigEndian.Uint64(k.position[8:])
		}
	}
	return f, p.err()
}

func (f flipsRequest) cursorAt(r FlipsResult) string {
	if r.Next == 0 {
		return ""
	}
	position := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, r.Next), r.Position)
	return cursor{kind: 'f', generation: f.query.Generation, filters: f.filters, position: position}.String()
}

func (s *server) flips(c echo.Context) error {
	n, err := generationNumber(c)
	if err != nil {
		return err
	}
	f, err := parseFlips(c, n)
	if err != nil {
		return err
	}
	ctx, cancel, view, err := s.fresh(c, f.read)
	if err != nil {
		return err
	}
	defer cancel()
	if err := noPattern(ctx, view, "shard", f.query.Shard); err != nil {
		return err
	}
	if f.ndjson {
		return streamFlips(c, &s.Ledger, f, view)
	}
	r, err := s.Ledger.Generations.Flips(ctx, f.query)
	if err != nil {
		return err
	}
	c.Response().Header().Add("Vary", "Accept")
	return writeJSON(c, http.StatusOK, wire.FlipsPage{
		Items:      r.Items,
		NextCursor: f.cursorAt(r),
		Position:   r.Position,
		Generation: n,
	})
}

// streamFlips writes one flip per line and a trailer.
func streamFlips(c echo.Context, l *Ledger, f flipsRequest, view View) error {
	out, q := newLineStream(c, true), f.query
	for {
		if err := view.Answers(); err != nil {
			return err
		}
		q.Limit = min(f.query.Limit-out.count, streamChunk)
		r, err := l.Generations.Flips(c.Request().Context(), q)
		if err != nil {
			return err
		}
		if err := writeLines(out, r.Items); err != nil {
			return err
		}
		if r.Next == 0 || out.count >= f.query.Limit {
			return out.end(wire.Trailer{
				NextCursor: f.cursorAt(r),
				AppliedSeq: view.Position().AppliedSeq,
				Generation: q.Generation,
			})
		}
		q.FromSeq, q.Position = r.Next, r.Position
	}
}
