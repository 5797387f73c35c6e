package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

func generationNumber(c echo.Context) (uint32, error) {
	n, err := strconv.ParseUint(c.Param("generation"), 10, 32)
	if err != nil || n == 0 {
		return 0, badParameter("generation", "must be a whole number, at least 1")
	}
	return uint32(n), nil
}

func startGeneration(ctx context.Context, l *Ledger,
	o op[wire.GenerationRequest]) (int, *wire.GenerationAnswer, error) {
	switch r := &o.request; {
	case !isHash(r.Policy):
		return 0, nil, badParameter("policy", "must be the id of a published policy, 64 lower-case hex digits")
	case r.Keys != "" && r.Keys != wire.KeysAsOf && r.Keys != wire.KeysHindsight:
		return 0, nil, badParameter("keys", "must be "+wire.KeysAsOf+" or "+wire.KeysHindsight)
	}
	a, err := l.Generations.StartGeneration(ctx, o.request, o.meta)
	return http.StatusAccepted, a, err
}

func listGenerations(l *Ledger, _ *params) readFunc[*wire.GenerationsPage] {
	return func(ctx context.Context, _ View) (*wire.GenerationsPage, error) {
		return l.Generations.Generations(ctx)
	}
}

func oneGeneration(l *Ledger, p *params) readFunc[*wire.GenerationAnswer] {
	n, err := generationNumber(p.c)
	p.keep(err)
	return func(ctx context.Context, _ View) (*wire.GenerationAnswer, error) {
		return l.Generations.Generation(ctx, n)
	}
}

func diff(l *Ledger, p *params) readFunc[*wire.DiffAnswer] {
	n, err := generationNumber(p.c)
	p.keep(err)
	position := p.number("position", 0, 1, 1<<63-1)
	return func(ctx context.Context, _ View) (*wire.DiffAnswer, error) {
		return l.Generations.Diff(ctx, n, position)
	}
}

func activate(ctx context.Context, l *Ledger, o op[wire.ActivateRequest]) (int, *wire.ActivateAnswer, error) {
	n, err := generationNumber(o.c)
	if err != nil {
		return 0, nil, err
	}
	if o.request.Diff == "" {
		return 0, nil, badParameter("diff", "is missing: the digest of the diff that was reviewed")
	}
	return ok(l.Generations.Activate(ctx, n, o.request, o.meta))
}

func rollback(ctx context.Context, l *Ledger, o op[wire.RollbackRequest]) (int, *wire.ActivateAnswer, error) {
	return ok(l.Generations.Rollback(ctx, o.request, o.meta))
}

func dropGeneration(ctx context.Context, l *Ledger, o op[wire.Op]) (int, *wire.DropAnswer, error) {
	n, err := generationNumber(o.c)
	if err != nil {
		return 0, nil, err
	}
	return ok(l.Generations.DropGeneration(ctx, n, o.request, o.meta))
}
