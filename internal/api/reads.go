package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/wire"
)

func (s *server) lookup(c echo.Context) error {
	id := strings.ToLower(c.Param("pcs_id"))
	if id == "submit" || id == "check" { // the path of another route, which has no GET
		c.Response().Header().Set(echo.HeaderAllow, "OPTIONS, POST")
		return wire.NewProblem(wire.CodeMethod, "")
	}
	p := readParams(c, "consistency", "min_seq")
	want := p.read(wire.ConsistencyLinearizable)
	if !isHash(id) {
		p.fail("pcs_id", "must be 64 hex digits")
	}
	if err := p.err(); err != nil {
		return err
	}
	ctx, cancel, view, err := s.fresh(c, want)
	if err != nil {
		return err
	}
	defer cancel()
	answer, err := view.Lookup(ctx, id)
	if err != nil {
		return err
	}
	if answer.Reasons == nil {
		answer.Reasons = []string{}
	}
	if answer.Events == nil {
		answer.Events = []uint64{}
	}
	if answer.History == nil {
		answer.History = []wire.HistoryEntry{}
	}
	return writeJSON(c, http.StatusOK, answer)
}

// The bounds of a list of ids. A person who sees more than five of them types another digit.
const (
	leastPrefix  = 8
	defaultIDs   = 5
	mostIDs      = 100
	prefixDetail = "must be 8 to 64 hex digits"
)

// complete lists the ids with a prefix. Lookups of whole ids are public, but this is not, because prefixes
// allow to guess ids.
func (s *server) complete(c echo.Context) error {
	p := readParams(c, "prefix", "limit", "consistency", "min_seq")
	want := p.read(wire.ConsistencyLocal)
	limit := int(p.number("limit", defaultIDs, 1, mostIDs))
	prefix := strings.ToLower(p.values.Get("prefix"))
	if len(prefix) < leastPrefix || len(prefix) > 64 || !isHex(prefix) {
		p.fail("prefix", prefixDetail)
	}
	if err := p.err(); err != nil {
		return err
	}
	ctx, cancel, view, err := s.fresh(c, want)
	if err != nil {
		return err
	}
	defer cancel()
	ids, err := view.Complete(ctx, prefix, limit+1)
	if err != nil {
		return err
	}
	at := view.Position()
	page := wire.IDsPage{
		Items:      append([]string{}, ids[:min(len(ids), limit)]...),
		More:       len(ids) > limit,
		AppliedSeq: at.AppliedSeq,
		Generation: at.Generation,
	}
	return writeJSON(c, http.StatusOK, page)
}

func isHex(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isHash(s string) bool { return len(s) == 64 && isHex(s) }

func (s *server) event(c echo.Context) error {
	seq, err := strconv.ParseUint(c.Param("seq"), 10, 63)
	if err != nil || seq == 0 {
		return badParameter("seq", "must be a whole number, at least 1")
	}
	return serveRead(s, c, wire.ConsistencyLocal, func(ctx context.Context, view View) (any, error) {
		answer, err := view.Event(ctx, seq)
		if err != nil {
			return nil, err
		}
		if answer.Payload == nil {
			answer.Payload = []byte{}
		}
		if answer.Summary == nil {
			answer.Summary = map[string]any{}
		}
		return answer, nil
	})
}

func (s *server) shard(c echo.Context) error {
	id, err := pathParam(c, "shard_id")
	if err != nil {
		return err
	}
	if why := pcs.CheckShardID(id); why != "" {
		return badParameter("shard_id", why)
	}
	return serveRead(s, c, wire.ConsistencyLocal, func(ctx context.Context, view View) (any, error) {
		return view.Shard(ctx, id)
	})
}

func (s *server) cluster(c echo.Context) error {
	return serveRead(s, c, wire.ConsistencyLocal, func(ctx context.Context, _ View) (any, error) {
		answer, err := s.Ledger.Status.Cluster(ctx)
		if err == nil && answer.Members == nil {
			answer.Members = []wire.Member{}
		}
		return answer, err
	})
}

func (s *server) digest(c echo.Context) error {
	p := readParams(c, "seq", "edge", "consistency", "min_seq")
	want := p.read(wire.ConsistencyLocal)
	seq, edge := p.number("seq", 0, 1, 1<<63-1), p.oneOf("edge", "", "true") != ""
	if err := p.err(); err != nil {
		return err
	}
	ctx, cancel, view, err := s.fresh(c, want)
	if err != nil {
		return err
	}
	defer cancel()
	answer, err := view.Digest(ctx, seq, edge)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, answer)
}
