package api

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/wire"
)

func lookup(_ *Ledger, p *params) readFunc[*wire.PCSAnswer] {
	id := strings.ToLower(p.c.Param("pcs_id"))
	switch {
	case id == "submit" || id == "check": // the path of another route, which has no GET
		p.c.Response().Header().Set(echo.HeaderAllow, "OPTIONS, POST")
		p.problem = wire.NewProblem(wire.CodeMethod, "")
	case !isHash(id):
		p.fail("pcs_id", "must be 64 hex digits")
	}
	t := p.then()
	return func(ctx context.Context, view View) (*wire.PCSAnswer, error) { return view.Lookup(ctx, id, t) }
}

// history returns every answer that was given to a record.
func history(_ *Ledger, p *params) readFunc[*wire.PCSHistory] {
	id := strings.ToLower(p.c.Param("pcs_id"))
	if !isHash(id) {
		p.fail("pcs_id", "must be 64 hex digits")
	}
	return func(ctx context.Context, view View) (*wire.PCSHistory, error) { return view.History(ctx, id) }
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
func complete(_ *Ledger, p *params) readFunc[wire.IDsPage] {
	limit := int(p.number("limit", defaultIDs, 1, mostIDs))
	prefix := strings.ToLower(p.values.Get("prefix"))
	if len(prefix) < leastPrefix || len(prefix) > 64 || !isHex(prefix) {
		p.fail("prefix", prefixDetail)
	}
	return func(ctx context.Context, view View) (wire.IDsPage, error) {
		ids, err := view.Complete(ctx, prefix, limit+1)
		at := view.Position()
		return wire.IDsPage{
			Items:      ids[:min(len(ids), limit)],
			More:       len(ids) > limit,
			AppliedSeq: at.AppliedSeq,
			Generation: at.Generation,
		}, err
	}
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

func oneEvent(_ *Ledger, p *params) readFunc[*wire.EventAnswer] {
	seq, err := strconv.ParseUint(p.c.Param("seq"), 10, 63)
	if err != nil || seq == 0 {
		p.fail("seq", "must be a whole number, at least 1")
	}
	return func(ctx context.Context, view View) (*wire.EventAnswer, error) { return view.Event(ctx, seq) }
}

// maxSilent bounds the silence that can be asked for, in seconds.
const maxSilent = 100 * 365 * 24 * 3600

func listShards(_ *Ledger, p *params) readFunc[wire.ShardsPage] {
	q := ShardsQuery{Limit: int(p.number("limit", defaultLimit, 1, maxLimit)), Then: p.then()}
	q.Silent = time.Duration(p.number("silent", 0, 1, maxSilent)) * time.Second
	filters, byTime := shardFilters(p, q), q.Then.AsOfTime != 0
	if text := p.values.Get("cursor"); text != "" {
		if k := p.cursor(text, 's', filters, &q.Then); k != nil {
			q.After, p.minSeq = string(k.position), k.asOf
			if !q.Then.Past() { // an earlier list does not depend on the active generation
				p.generation = k.generation
			}
		}
	}
	return func(ctx context.Context, view View) (page wire.ShardsPage, err error) {
		if q.Then, err = pinned(ctx, view, q.Then); err != nil {
			return page, err
		}
		page, next, err := walkShards(ctx, view, q)
		if err == nil && next != "" {
			k := cursor{kind: 's', generation: page.Generation, filters: filters, position: []byte(next)}
			if byTime {
				k.asOf = q.Then.AsOf
			}
			page.NextCursor = k.String()
		}
		return page, err
	}
}

// shardFilters returns a digest of the parameters that must not change while a cursor continues the list.
func shardFilters(p *params, q ShardsQuery) [8]byte {
	filters := []string{"shards"}
	if q.Silent != 0 {
		filters = append(filters, q.Silent.String())
	}
	if q.Then.Past() {
		filters = append(filters, "then", p.thenText(), p.values.Get("generation"))
	}
	return digestFilters(filters...)
}

// walkShards reads at most q.Limit shards, in at most maxChunks chunks, and returns the id to continue behind.
func walkShards(ctx context.Context, view View, q ShardsQuery) (page wire.ShardsPage, next string, err error) {
	page.AppliedSeq = view.Position().AppliedSeq
	for range maxChunks {
		if err := ctx.Err(); err != nil {
			return page, "", err
		}
		r, err := view.Shards(ctx, q)
		if err != nil {
			return page, "", err
		}
		page.Items, page.LogTime = append(page.Items, r.Items...), wire.TimeNS(r.LogTime)
		page.Generation, page.AsOf = r.Generation, r.AsOf
		q.After, q.Limit = r.Next, q.Limit-len(r.Items)
		early := r.AsOf != 0 && len(r.Items) > 0 // a chunk as of an event ends early behind a shard that took many rows
		if q.After == "" || q.Limit <= 0 || early {
			break
		}
	}
	return page, q.After, nil
}

func oneShard(_ *Ledger, p *params) readFunc[*wire.ShardAnswer] {
	id, err := pathParam(p.c, "shard_id")
	p.keep(err)
	if why := pcs.CheckShardID(id); why != "" {
		p.fail("shard_id", why)
	}
	t := p.then()
	return func(ctx context.Context, view View) (*wire.ShardAnswer, error) { return view.Shard(ctx, id, t) }
}

func isPattern(id string) bool { return strings.HasSuffix(id, "*") }

// noPattern rejects a pattern where the id of one shard is expected. Nothing would be found under a pattern,
// and that looks like good news. A shard that exists under such an id is accepted.
func noPattern(ctx context.Context, view View, field, id string) error {
	if !isPattern(id) {
		return nil
	}
	_, err := view.Shard(ctx, id, Then{})
	if errors.Is(err, ErrNotFound) {
		return badParameter(field, "is a pattern; give the id of one shard")
	}
	return err
}

func describeCluster(l *Ledger, _ *params) readFunc[*wire.ClusterAnswer] {
	return func(ctx context.Context, _ View) (*wire.ClusterAnswer, error) { return l.Status.Cluster(ctx) }
}

func digest(_ *Ledger, p *params) readFunc[*wire.DigestAnswer] {
	seq, edge := p.number("seq", 0, 1, 1<<63-1), p.oneOf("edge", "", "true") != ""
	return func(ctx context.Context, view View) (*wire.DigestAnswer, error) { return view.Digest(ctx, seq, edge) }
}
