package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// progressFor bounds a stream of progress.
const progressFor = 10 * time.Minute

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
	_, fresh, view, err := s.fresh(c, want)
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
	if !beginEvents(c) {
		return nil
	}
	return s.progressStream(ctx, c, view, a)
}

// progressStream writes a and later states, one event per tick, for as long as the node answers clients.
func (s *server) progressStream(ctx context.Context, c echo.Context, view View, a *wire.GenerationAnswer) error {
	tick := time.NewTicker(s.ProgressEvery)
	defer tick.Stop()
	for {
		kind := "progress"
		if allReported(a) {
			kind = "done"
		}
		if err := writeEvent(c, kind, a); err != nil || kind == "done" {
			return err
		}
		select {
		case <-tick.C:
		case <-s.stopping:
			return nil
		case <-ctx.Done():
			return nil
		}
		err := view.Answers()
		if err != nil {
			return err
		}
		if a, err = s.Ledger.Generations.Generation(ctx, a.Generation); err != nil {
			return err
		}
	}
}

// beginEvents sends the header of a stream of server-sent events. It returns false for HEAD, which has no stream.
func beginEvents(c echo.Context) bool {
	w := c.Response()
	w.Header().Set(echo.HeaderContentType, wire.MediaEvents)
	w.Header().Set("X-Accel-Buffering", "no") // a proxy would hold events back
	_, head := w.Writer.(bodyless)
	w.WriteHeader(http.StatusOK)
	return !head
}

func writeEvent(c echo.Context, kind string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := extend(c); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c.Response(), "event: %s\ndata: %s\n\n", kind, data); err != nil {
		return err
	}
	return http.NewResponseController(c.Response()).Flush()
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
