package api

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// actMargin is the part of the write limit that remains when an operation has used up its time.
const actMargin = 5 * time.Second

// progressFor bounds a stream of progress.
const progressFor = 10 * time.Minute

func generationNumber(c echo.Context) (uint32, error) {
	n, err := strconv.ParseUint(c.Param("generation"), 10, 32)
	if err != nil || n == 0 {
		return 0, badParameter("generation", "must be a whole number, at least 1")
	}
	return uint32(n), nil
}

func (s *server) startGeneration(c echo.Context) error {
	var r wire.GenerationRequest
	return s.act(c, &r, &r.Op, func(ctx context.Context, meta Meta) (int, any, error) {
		switch {
		case !isHash(r.Policy):
			return 0, nil, badParameter("policy", "must be the id of a published policy, 64 lower-case hex digits")
		case r.Keys != "" && r.Keys != wire.KeysAsOf && r.Keys != wire.KeysHindsight:
			return 0, nil, badParameter("keys", "must be "+wire.KeysAsOf+" or "+wire.KeysHindsight)
		}
		a, err := s.Ledger.Generations.StartGeneration(ctx, r, meta)
		return http.StatusAccepted, a, err
	})
}

func (s *server) generations(c echo.Context) error {
	return serveRead(s, c, wire.ConsistencyLinearizable, func(ctx context.Context, _ View) (any, error) {
		return s.Ledger.Generations.Generations(ctx)
	})
}

func (s *server) generation(c echo.Context) error {
	n, err := generationNumber(c)
	if err != nil {
		return err
	}
	return serveRead(s, c, wire.ConsistencyLinearizable, func(ctx context.Context, _ View) (any, error) {
		return s.Ledger.Generations.Generation(ctx, n)
	})
}

func (s *server) diff(c echo.Context) error {
	n, err := generationNumber(c)
	if err != nil {
		return err
	}
	p := readParams(c, "position", "consistency", "min_seq")
	want, position := p.read(wire.ConsistencyLinearizable), p.number("position", 0, 1, 1<<63-1)
	if err := p.err(); err != nil {
		return err
	}
	ctx, cancel, _, err := s.fresh(c, want)
	if err != nil {
		return err
	}
	defer cancel()
	a, err := s.Ledger.Generations.Diff(ctx, n, position)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, a)
}

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
			f.query.FromSeq, f.query.Position = binary.BigEndian.Uint64(k.place), binary.BigEndian.Uint64(k.place[8:])
		}
	}
	return f, p.err()
}

func (f flipsRequest) cursorAt(r FlipsResult) string {
	if r.Next == 0 {
		return ""
	}
	place := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, r.Next), r.Position)
	return cursor{kind: 'f', generation: f.query.Generation, filters: f.filters, place: place}.String()
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
	if err := oneShard(ctx, view, "shard", f.query.Shard); err != nil {
		return err
	}
	if f.ndjson {
		return s.flipsStream(c, f, view.Position())
	}
	r, err := s.Ledger.Generations.Flips(ctx, f.query)
	if err != nil {
		return err
	}
	c.Response().Header().Add("Vary", "Accept")
	return writeJSON(c, http.StatusOK, wire.FlipsPage{
		Items:      append([]wire.Flip{}, r.Items...),
		NextCursor: f.cursorAt(r),
		Position:   r.Position,
		Generation: n,
	})
}

// flipsStream writes one flip per line and a trailer. A cut stream lacks the trailer.
func (s *server) flipsStream(c echo.Context, f flipsRequest, at Position) error {
	q := f.query
	q.Limit = min(f.query.Limit, streamStretch)
	r, err := s.Ledger.Generations.Flips(c.Request().Context(), q)
	if err != nil {
		return err
	}
	w := c.Response()
	w.Header().Set(echo.HeaderContentType, wire.MediaNDJSON)
	w.Header().Add("Vary", "Accept")
	w.WriteHeader(http.StatusOK)
	out := bufio.NewWriterSize(w, 32<<10)
	lines, count, control := json.NewEncoder(out), 0, http.NewResponseController(w)
	for {
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // the writer may not support deadlines
		for i := range r.Items {
			if err := lines.Encode(&r.Items[i]); err != nil {
				return err
			}
		}
		count += len(r.Items)
		if err := out.Flush(); err != nil {
			return err
		}
		if r.Next == 0 || count >= f.query.Limit {
			break
		}
		q.FromSeq, q.Position, q.Limit = r.Next, r.Position, min(f.query.Limit-count, streamStretch)
		if r, err = s.Ledger.Generations.Flips(c.Request().Context(), q); err != nil {
			return err
		}
	}
	err = lines.Encode(wire.Trailer{
		Trailer:    true,
		Count:      count,
		NextCursor: f.cursorAt(r),
		AppliedSeq: at.AppliedSeq,
		Generation: q.Generation,
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

func (s *server) activate(c echo.Context) error {
	n, err := generationNumber(c)
	if err != nil {
		return err
	}
	var r wire.ActivateRequest
	return s.act(c, &r, &r.Op, func(ctx context.Context, meta Meta) (int, any, error) {
		if r.Diff == "" {
			return 0, nil, badParameter("diff", "is missing: the digest of the diff that was reviewed")
		}
		a, err := s.Ledger.Generations.Activate(ctx, n, r, meta)
		return http.StatusOK, a, err
	})
}

func (s *server) rollback(c echo.Context) error {
	var r wire.RollbackRequest
	return s.act(c, &r, &r.Op, func(ctx context.Context, meta Meta) (int, any, error) {
		a, err := s.Ledger.Generations.Rollback(ctx, r, meta)
		return http.StatusOK, a, err
	})
}

func (s *server) dropGeneration(c echo.Context) error {
	n, err := generationNumber(c)
	if err != nil {
		return err
	}
	p := readParams(c, "op_id", "reason", "ticket")
	about := queryAct(p)
	if err := p.err(); err != nil {
		return err
	}
	if err := takeAct(c, about); err != nil {
		return err
	}
	ctx, cancel, meta := s.acting(c)
	defer cancel()
	a, err := s.Ledger.Generations.DropGeneration(ctx, n, about, meta)
	if err != nil {
		return s.actProblem(err, c)
	}
	s.setPosition(c, s.Ledger.Views.Position())
	return writeJSON(c, http.StatusOK, a)
}

// progress streams the progress of every node as server-sent events, until all reachable nodes have finished or
// the client leaves.
func (s *server) progress(c echo.Context) error {
	n, err := generationNumber(c)
	if err != nil {
		return err
	}
	p := readParams(c, "consistency", "min_seq")
	want := p.read(wire.ConsistencyLocal)
	if err := p.err(); err != nil {
		return err
	}
	_, fresh, _, err := s.fresh(c, want)
	if err != nil {
		return err
	}
	fresh() // the stream has its own limit
	ctx, cancel := context.WithTimeout(c.Request().Context(), progressFor)
	defer cancel()
	a, err := s.Ledger.Generations.Generation(ctx, n)
	if err != nil {
		return err
	}
	w := c.Response()
	w.Header().Set(echo.HeaderContentType, wire.MediaEvents)
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	return s.progressStream(ctx, w, a)
}

// progressStream writes a and later states, one event per tick.
func (s *server) progressStream(ctx context.Context, w *echo.Response, a *wire.GenerationAnswer) error {
	tick := time.NewTicker(s.ProgressEvery)
	defer tick.Stop()
	for {
		kind := "progress"
		if allReported(a) {
			kind = "done"
		}
		if err := writeEvent(w, kind, a); err != nil || kind == "done" {
			return err
		}
		select {
		case <-tick.C:
		case <-s.stopping:
			return nil
		case <-ctx.Done():
			return nil
		}
		var err error
		if a, err = s.Ledger.Generations.Generation(ctx, a.Generation); err != nil {
			return err
		}
	}
}

func writeEvent(w *echo.Response, kind string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // the writer may not support deadlines
	if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, data); err != nil {
		return err
	}
	return control.Flush()
}

// allReported reports whether every reachable node has finished.
func allReported(a *wire.GenerationAnswer) bool {
	reachable := 0
	for _, n := range a.Nodes {
		switch n.State {
		case "building":
			return false
		case "unreachable":
		default:
			reachable++
		}
	}
	return a.State == wire.GenerationDropped || reachable > 0 && a.Reported >= reachable
}
