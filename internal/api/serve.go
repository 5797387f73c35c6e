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

// handler serves one route.
type handler func(*server, echo.Context) error

// readFunc answers a read from a view. ctx ends after Config.ReadWait.
type readFunc[T any] func(ctx context.Context, view View) (T, error)

// serveRead returns the handler of a read whose response is one JSON object. Without the parameter consistency
// the read is as fresh as otherwise says. parse reads path and query, whose parameters are known besides
// consistency and min_seq, and keeps faults in p.
func serveRead[T any](otherwise string, parse func(l *Ledger, p *params) readFunc[T], known ...string) handler {
	known = append(known, "consistency", "min_seq")
	return func(s *server, c echo.Context) error {
		p := readParams(c, known...)
		read, want := parse(&s.Ledger, p), p.read(otherwise)
		if err := p.err(); err != nil {
			return err
		}
		ctx, cancel, view, err := s.fresh(c, want)
		if err != nil {
			return err
		}
		defer cancel()
		answer, err := read(ctx, view)
		if err != nil {
			return err
		}
		return writeJSON(c, http.StatusOK, answer)
	}
}

// fresh opens a view that is fresh enough and sets the position headers. The returned context bounds the whole
// read, except that streams take longer.
func (s *server) fresh(c echo.Context, r Read) (context.Context, context.CancelFunc, View, error) {
	ctx, cancel := context.WithTimeout(c.Request().Context(), s.ReadWait)
	view, err := s.Ledger.Views.View(ctx, r)
	if err != nil {
		cancel()
		return nil, nil, nil, err
	}
	setPosition(c, view.Position())
	return ctx, cancel, view, nil
}

// request is the decoded request of an operation.
type request interface {
	Common() wire.Op // the members that every operation has
}

// op is an operation that an operator asks for.
type op[REQ request] struct {
	c       echo.Context // for the path
	request REQ
	meta    Meta
}

// opFunc carries out an operation. status is that of the response, if err is nil.
type opFunc[REQ request, RESP any] func(ctx context.Context, l *Ledger, o op[REQ]) (status int, answer RESP, err error)

// decoder reads the request of an operation.
type decoder[REQ request] func(s *server, c echo.Context) (REQ, error)

// serveOp returns the handler of an operation. It decodes the request, checks its common members, carries the
// operation out and responds.
func serveOp[REQ request, RESP any](decode decoder[REQ], do opFunc[REQ, RESP]) handler {
	return func(s *server, c echo.Context) error {
		r, err := decode(s, c)
		if err != nil {
			return err
		}
		if err := takeOp(c, r.Common()); err != nil {
			return err
		}
		ctx, cancel, meta := acting(c)
		defer cancel()
		status, answer, err := do(ctx, &s.Ledger, op[REQ]{c: c, request: r, meta: meta})
		if err != nil {
			return s.operationProblem(err, c)
		}
		setPosition(c, s.Ledger.Views.Position())
		if at := location(answer); at != "" {
			c.Response().Header().Set(echo.HeaderLocation, at)
		}
		return writeJSON(c, status, answer)
	}
}

// operationMargin is the part of the write limit that remains when an operation has used up its time.
const operationMargin = 5 * time.Second

// acting returns the context of an operation with its time limit, and what is known of the request and its
// sender.
func acting(c echo.Context) (context.Context, context.CancelFunc, Meta) {
	ctx, cancel := context.WithTimeout(c.Request().Context(), writeTimeout-operationMargin)
	return ctx, cancel, Meta{RequestID: currentID(c), Remote: c.RealIP(), Via: viaOf(c), Identity: identityOf(c)}
}

// fromBody decodes a request from a JSON object. The query must be empty.
func fromBody[REQ request](s *server, c echo.Context) (r REQ, err error) {
	p := readParams(c)
	if err := p.err(); err != nil {
		return r, err
	}
	return r, s.decodeBody(c, &r)
}

// fromQuery reads the common members from the query, for a request without a body.
func fromQuery(_ *server, c echo.Context) (wire.Op, error) {
	p := readParams(c, "op_id", "reason", "ticket")
	return queryOp(p), p.err()
}

// ok is the result of an operation that responds 200.
func ok[T any](answer T, err error) (int, T, error) { return http.StatusOK, answer, err }

// okOrCreated is the result of an operation that responds 201 if it created something.
func okOrCreated[T any](answer T, created bool, err error) (int, T, error) {
	if created {
		return http.StatusCreated, answer, err
	}
	return http.StatusOK, answer, err
}

// location returns the path of what an operation has created, if it has one.
func location(answer any) string {
	switch a := answer.(type) {
	case *wire.GenerationAnswer:
		return fmt.Sprintf("/v1/generations/%d", a.Generation)
	case *wire.PolicyAnswer:
		return "/v1/policies/" + a.ID
	}
	return ""
}

// writeJSON encodes v before anything is sent, so that a failure can still become a problem.
func writeJSON[T any](c echo.Context, status int, v T) error {
	fillEmpty(&v)
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.Blob(status, wire.MediaJSON, body)
}
