package api

import (
	"context"
	"mime"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

func publishPolicy(ctx context.Context, l *Ledger, o op[wire.PolicyRequest]) (int, *wire.PolicyAnswer, error) {
	return okOrCreated(l.Policies.PublishPolicy(ctx, o.request, o.meta))
}

// policyRequest reads a request as JSON, or the document itself as YAML.
func policyRequest(s *server, c echo.Context) (r wire.PolicyRequest, err error) {
	media, _, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	if err != nil || !slices.Contains(yamlTypes, media) {
		return fromBody[wire.PolicyRequest](s, c)
	}
	if r.Op, err = fromQuery(s, c); err != nil {
		return r, err
	}
	if err := checkMedia(c.Request().Header, yamlTypes...); err != nil {
		return r, err
	}
	body, err := s.readBody(c)
	r.Document = string(body)
	return r, err
}

func listPolicies(l *Ledger, p *params) readFunc[wire.PoliciesPage] {
	return asOf(p, func(ctx context.Context, view View, seq uint64) (wire.PoliciesPage, error) {
		items, err := l.Policies.Policies(ctx, seq)
		return wire.PoliciesPage{Items: items, AppliedSeq: view.Position().AppliedSeq, AsOf: seq}, err
	})
}

// policyID reads the id of a policy in the path.
func policyID(c echo.Context) (string, error) {
	id := strings.ToLower(c.Param("policy_id"))
	if !isHash(id) {
		return "", badParameter("policy_id", "must be 64 hex digits")
	}
	return id, nil
}

func onePolicy(l *Ledger, p *params) readFunc[*wire.PolicyAnswer] {
	id, err := policyID(p.c)
	p.keep(err)
	return asOf(p, func(ctx context.Context, _ View, seq uint64) (*wire.PolicyAnswer, error) {
		a, err := l.Policies.Policy(ctx, id, seq)
		if err == nil {
			a.AsOf = seq
		}
		return a, err
	})
}

func applyPolicy(ctx context.Context, l *Ledger, o op[wire.ApplyRequest]) (int, *wire.ApplyAnswer, error) {
	id, err := policyID(o.c)
	if err != nil {
		return 0, nil, err
	}
	return ok(l.Policies.ApplyPolicy(ctx, id, o.request, o.meta))
}
