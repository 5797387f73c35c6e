package api

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// acting returns the context of an operation with its time limit, and what is known of the request and its
// sender.
func (s *server) acting(c echo.Context) (context.Context, context.CancelFunc, Meta) {
	ctx, cancel := context.WithTimeout(c.Request().Context(), writeTimeout-actMargin)
	return ctx, cancel, Meta{RequestID: currentID(c), Remote: c.RealIP(), Via: viaOf(c), Identity: identityOf(c)}
}

func (s *server) publishPolicy(c echo.Context) error {
	r, err := s.policyRequest(c)
	if err != nil {
		return err
	}
	if err := takeAct(c, r.Op); err != nil {
		return err
	}
	ctx, cancel, meta := s.acting(c)
	defer cancel()
	a, created, err := s.Ledger.Policies.PublishPolicy(ctx, r, meta)
	if err != nil {
		return s.actProblem(err, c)
	}
	s.setPosition(c, s.Ledger.Views.Position())
	c.Response().Header().Set(echo.HeaderLocation, "/v1/policies/"+a.ID)
	if created {
		return writeJSON(c, http.StatusCreated, a)
	}
	return writeJSON(c, http.StatusOK, a)
}

// policyRequest reads a request as JSON, or the document itself as YAML.
func (s *server) policyRequest(c echo.Context) (r wire.PolicyRequest, err error) {
	media, _, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	if err != nil || !slices.Contains(yamlTypes, media) {
		p := readParams(c)
		if err := p.err(); err != nil {
			return r, err
		}
		return r, s.decodeBody(c, &r)
	}
	p := readParams(c, "op_id", "reason", "ticket")
	r.Op = queryAct(p)
	if err := p.err(); err != nil {
		return r, err
	}
	if err := checkMedia(c.Request().Header, yamlTypes...); err != nil {
		return r, err
	}
	body, err := s.readBody(c)
	r.Document = string(body)
	return r, err
}

func (s *server) policies(c echo.Context) error {
	return serveRead(s, c, wire.ConsistencyLinearizable, func(ctx context.Context, view View) (any, error) {
		items, err := s.Ledger.Policies.Policies(ctx)
		if items == nil {
			items = []wire.PolicyAnswer{}
		}
		return wire.PoliciesPage{Items: items, AppliedSeq: view.Position().AppliedSeq}, err
	})
}

// serveRead serves a read that has no parameters except its freshness.
func serveRead(s *server, c echo.Context, otherwise string, read func(context.Context, View) (any, error)) error {
	p := readParams(c, "consistency", "min_seq")
	want := p.read(otherwise)
	if err := p.err(); err != nil {
		return err
	}
	ctx, cancel, view, err := s.fresh(c, want)
	if err != nil {
		return err
	}
	defer cancel()
	v, err := read(ctx, view)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, v)
}

// policyID reads the id of a policy in the path.
func policyID(c echo.Context) (string, error) {
	id := strings.ToLower(c.Param("policy_id"))
	if !isHash(id) {
		return "", badParameter("policy_id", "must be 64 hex digits")
	}
	return id, nil
}

func (s *server) policy(c echo.Context) error {
	id, err := policyID(c)
	if err != nil {
		return err
	}
	return serveRead(s, c, wire.ConsistencyLinearizable, func(ctx context.Context, _ View) (any, error) {
		return s.Ledger.Policies.Policy(ctx, id)
	})
}

func (s *server) applyPolicy(c echo.Context) error {
	id, err := policyID(c)
	if err != nil {
		return err
	}
	var r wire.ApplyRequest
	return s.act(c, &r, &r.Op, func(ctx context.Context, meta Meta) (int, any, error) {
		a, err := s.Ledger.Policies.ApplyPolicy(ctx, id, r, meta)
		return http.StatusOK, a, err
	})
}

// act decodes the request of an operator, carries it out and responds.
func (s *server) act(c echo.Context, request any, about *wire.Op,
	do func(context.Context, Meta) (int, any, error)) error {
	p := readParams(c)
	if err := p.err(); err != nil {
		return err
	}
	if err := s.decodeBody(c, request); err != nil {
		return err
	}
	if err := takeAct(c, *about); err != nil {
		return err
	}
	ctx, cancel, meta := s.acting(c)
	defer cancel()
	status, v, err := do(ctx, meta)
	if err != nil {
		return s.actProblem(err, c)
	}
	s.setPosition(c, s.Ledger.Views.Position())
	if g, ok := v.(*wire.GenerationAnswer); ok {
		c.Response().Header().Set(echo.HeaderLocation, fmt.Sprintf("/v1/generations/%d", g.Generation))
	}
	return writeJSON(c, status, v)
}
