package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// renderError writes any error as a problem document. After the first byte of a response it can only log.
func (s *server) renderError(err error, c echo.Context) {
	if c.Response().Committed {
		s.Logger.Debug("error after the answer had begun", "error", err, "request_id", currentID(c))
		return
	}
	p := s.problemFor(err, c)
	h := c.Response().Header()
	if p.RetryAfterMS > 0 {
		h.Set(wire.HeaderRetryAfter, strconv.FormatInt(p.RetryAfterSeconds(), 10))
	}
	if p.Replayed {
		h.Set(wire.HeaderReplayed, "true")
	}
	if p.Code == wire.CodeEncoding {
		h.Set(echo.HeaderAcceptEncoding, "identity") // RFC 9110, 15.5.16
	}
	allowHead(h)
	if h.Get(wire.HeaderAppliedSeq) == "" {
		setPosition(c, s.Ledger.Views.Position())
	}
	if err := c.Blob(p.Status, wire.MediaProblem, s.problemText(p)); err != nil {
		s.Logger.Debug("answer not sent", "error", err, "request_id", p.RequestID)
	}
}

// problemFor returns the problem in err as this request gets it.
func (s *server) problemFor(err error, c echo.Context) wire.Problem {
	p := *s.problemOf(err, c) // problems may be shared
	p.RequestID = currentID(c)
	if p.First != nil {
		first := *p.First
		fillEmpty(&first)
		p.First = &first
	}
	return p
}

func (s *server) problemText(p wire.Problem) []byte {
	body, err := json.Marshal(&p)
	if err != nil {
		s.Logger.Error("problem does not encode", "error", err, "request_id", p.RequestID)
		body = []byte(`{"error":"Internal error"}`)
	}
	return body
}

// allowHead adds HEAD wherever GET is allowed, because every GET route serves it.
func allowHead(h http.Header) {
	if allow := h.Get(echo.HeaderAllow); strings.Contains(allow, http.MethodGet) &&
		!strings.Contains(allow, http.MethodHead) {
		h.Set(echo.HeaderAllow, strings.Replace(allow, http.MethodGet, http.MethodGet+", "+http.MethodHead, 1))
	}
}

// replacedBy names the generation that replaced another one, as far as it is known.
func replacedBy(err error) string {
	var r *Replaced
	if errors.As(err, &r) {
		return r.Error()
	}
	return ""
}

// problemOf returns the problem in err. Unexpected errors are logged and become 500 without detail.
func (s *server) problemOf(err error, c echo.Context) *wire.Problem {
	var p *wire.Problem
	var he *echo.HTTPError
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, ErrNotFound):
		return wire.NewProblem(wire.CodeNotFound, notThere(c))
	case errors.Is(err, ErrGenerationGone):
		return wire.NewProblem(wire.CodeReplaced, replacedBy(err))
	case errors.As(err, &he):
		return frameworkProblem(he)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return wire.NewProblem(wire.CodeBehind, "").WithRetry(time.Second)
	}
	if p := s.Explain(err); p != nil {
		s.Logger.Warn("request not answered", "error", err, "route", c.Path(), "request_id", currentID(c))
		return p
	}
	s.Logger.Error("request failed", "error", err, "route", c.Path(), "request_id", currentID(c))
	return wire.NewProblem(wire.CodeInternal, "")
}

// notThere describes the object that a request asks for and the ledger does not have: there is no shard
// "lab-7". It returns "" if neither the path nor ?seq= names one.
func notThere(c echo.Context) string {
	what, value := "seq", c.QueryParam("seq")
	if names := c.ParamNames(); len(names) > 0 {
		what, value = strings.TrimSuffix(names[0], "_id"), c.ParamValues()[0]
	}
	switch {
	case value == "":
		return ""
	case what == "seq":
		return fmt.Sprintf("there is no event %.100s yet", value)
	case what == "pcs":
		what = "record"
	case what == "slug":
		what = "problem"
	}
	return fmt.Sprintf("there is no %s %.100q", what, value)
}

// frameworkProblem maps echo's own errors: no such route, wrong method.
func frameworkProblem(he *echo.HTTPError) *wire.Problem {
	switch he.Code {
	case http.StatusNotFound:
		return wire.NewProblem(wire.CodeNotFound, "no such route")
	case http.StatusMethodNotAllowed:
		return wire.NewProblem(wire.CodeMethod, "")
	case http.StatusRequestEntityTooLarge:
		return wire.NewProblem(wire.CodeTooLarge, "")
	case http.StatusUnsupportedMediaType:
		return wire.NewProblem(wire.CodeMediaType, "")
	}
	p := wire.NewProblem(wire.CodeInternal, "")
	if he.Code >= 400 && he.Code < 500 {
		p = wire.NewProblem(wire.CodeBadRequest, "")
	}
	return p
}

func setPosition(c echo.Context, at Position) {
	h := c.Response().Header()
	values := []string{strconv.FormatUint(at.AppliedSeq, 10), strconv.FormatUint(uint64(at.Generation), 10)}
	h[wire.HeaderAppliedSeq], h[wire.HeaderGeneration] = values[:1:1], values[1:]
}

func badParameter(name, detail string) *wire.Problem {
	return wire.NewProblem(wire.CodeBadRequest, name+": "+detail).WithField(name)
}
