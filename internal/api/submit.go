package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/internal/laps"
	"github.com/recount-ledger/recount/internal/limit"
	"github.com/recount-ledger/recount/wire"
)

// submit accepts one record. The ledger interprets the bytes.
func (s *server) submit(c echo.Context) error {
	start := time.Now()
	s.follow(c, start)
	answer, err := s.takeAndSubmit(c, false)
	if err != nil {
		p := s.operationProblem(err, c)
		explain(c, nil, p)
		s.metrics.submission(problemLabel(p), p.Code, time.Since(start))
		if receipt := s.receiptOf(c, p.PCSID, p.Seq); receipt != "" {
			own := *p // problems may be shared
			own.Receipt = receipt
			return &own
		}
		return p
	}
	status, label := s.answered(c, answer)
	explain(c, answer, nil)
	s.metrics.submission(label, "", time.Since(start))
	answer.Receipt = s.receiptOf(c, answer.PCSID, answer.Seq)
	return writeAnswer(c, status, answer)
}

// check returns the response that submit would give now. The record takes the same path, including limits, and
// nothing of it is kept. The response contains everything that a response to a submission contains. Therefore
// it needs a credential: others must not find out without a trace what a policy accepts.
func (s *server) check(c echo.Context) error {
	answer, err := s.takeAndSubmit(c, true)
	if err != nil {
		p := *s.problemOf(err, c) // problems may be shared
		p.DryRun = true
		s.metrics.check(problemLabel(&p), p.Code)
		return &p
	}
	status, label := s.answered(c, answer)
	s.metrics.check(label, "")
	return writeJSON(c, status, wire.CheckAnswer{SubmitAnswer: *answer, Seq: answer.Seq, DryRun: true})
}

// answered completes a response and its headers, and returns its status and the label under which it is
// counted.
func (s *server) answered(c echo.Context, answer *wire.SubmitAnswer) (status int, label string) {
	status, label = statusOf(answer)
	if answer.Replayed {
		c.Response().Header().Set(wire.HeaderReplayed, "true")
	}
	at := s.Ledger.Views.Position()
	at.AppliedSeq = max(at.AppliedSeq, answer.Seq)
	setPosition(c, at)
	return status, label
}

// statusOf returns the status of a response and the label under which it is counted.
func statusOf(answer *wire.SubmitAnswer) (status int, label string) {
	status, label = http.StatusOK, answer.Outcome
	if answer.Outcome == wire.OutcomeEscalated {
		status = http.StatusAccepted
	}
	if answer.Replayed {
		label = labelReplayed
	}
	return status, label
}

// neither returns an error if the ledger gave neither an answer nor a problem.
func neither(answer *wire.SubmitAnswer, err error) error {
	if err == nil && (answer == nil ||
		answer.Outcome != wire.OutcomeAccepted && answer.Outcome != wire.OutcomeEscalated) {
		return fmt.Errorf("the ledger gave neither an answer nor a problem: %+v", answer)
	}
	return err
}

func (s *server) takeAndSubmit(c echo.Context, dry bool) (*wire.SubmitAnswer, error) {
	watch := watchOf(c)
	if err := checkMedia(c.Request().Header, wire.MediaJSON); err != nil {
		return nil, err
	}
	remote := c.RealIP()
	if err := s.allowAddress(remote); err != nil {
		return nil, err
	}
	if c.Request().ContentLength > s.MaxBody {
		return nil, s.tooLarge(c, s.MaxBody)
	}
	r := &meteredBody{Reader: c.Request().Body, held: &s.bodies}
	defer r.release()
	body, err := s.readFrom(c, r)
	if err != nil {
		return nil, err
	}
	watch.Lap(laps.Read)
	meta := Meta{RequestID: currentID(c), Remote: remote, DryRun: dry}
	answer, err := s.Ledger.Submitter.Submit(watch.In(s.deadlines.at(time.Now())), body, meta)
	watch.Lap(laps.Answered)
	watch.Report(c.Response().Header())
	if err = neither(answer, err); err != nil {
		return nil, err
	}
	return answer, nil
}

// operationProblem is like problemOf, except that a record or an operation may have been committed if its context has
// ended or this node cannot read its outcome.
func (s *server) operationProblem(err error, c echo.Context) *wire.Problem {
	var p *wire.Problem
	ended := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	if !errors.As(err, &p) && (ended || s.Explain(err) != nil) {
		return wire.NewProblem(wire.CodeOutcomeUnknown, "").WithRetry(time.Second)
	}
	return s.problemOf(err, c)
}

// checkMedia rejects a body that is encoded, has another type or is not in UTF-8.
func checkMedia(h http.Header, allowed ...string) error {
	for _, coding := range h.Values("Content-Encoding") {
		if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
			return wire.NewProblem(wire.CodeEncoding,
				"send the body as it is, without Content-Encoding").WithField(echo.HeaderContentEncoding)
		}
	}
	declared := h.Get(echo.HeaderContentType)
	if declared == allowed[0] {
		return nil
	}
	media, params, err := mime.ParseMediaType(declared)
	charset, has := params["charset"]
	if err != nil || !slices.Contains(allowed, media) || has && !strings.EqualFold(charset, "utf-8") {
		return wire.NewProblem(wire.CodeMediaType, mediaHint(declared, allowed[0])).WithField(echo.HeaderContentType)
	}
	return nil
}

// mediaHint returns what to send instead of what was declared.
func mediaHint(declared, want string) string {
	if declared == "" {
		return "send Content-Type: " + want + "; there was none"
	}
	return "send Content-Type: " + want + ", in UTF-8"
}

// addresses is the number of addresses that are told apart. Their buckets use addresses*limit.SlotBytes, 2.1
// MiB.
const addresses = 1 << 16

// allowAddress draws one token from the address's bucket, before any of the body is read.
func (s *server) allowAddress(address string) error {
	wait, ok := s.from.Take(limit.Prefix(address))
	if ok {
		return nil
	}
	s.metrics.throttled.Add(1)
	p := wire.NewProblem(wire.CodeThrottled, "too many submissions from this address").WithRetry(wait)
	p.Status = s.ThrottleStatus
	return p
}

// maxPrealloc caps the buffer that is allocated up front for a declared Content-Length.
const maxPrealloc = 16 << 10

// maxBodies bounds the bytes of all submissions that are being read or judged at a time. Anybody can send
// submissions. The bodies of operations are not counted, because their senders are authenticated and a flood
// must not block a freeze.
const maxBodies = 64 << 20

// errBodies means that the bodies of all submissions together use too much memory.
var errBodies = errors.New("too many bytes in submissions")

// meteredBody is a body that counts its bytes as they arrive.
type meteredBody struct {
	io.Reader
	held *atomic.Int64 // bytes held by all submissions
	took int64         // bytes read
	kept int64         // of these, bytes that are counted in held
}

func (r *meteredBody) Read(p []byte) (n int, err error) {
	n, err = r.Reader.Read(p)
	r.took += int64(n)
	r.kept += int64(n)
	if r.held.Add(int64(n)) > maxBodies {
		return n, errBodies
	}
	return n, err
}

// release counts what was read as no longer held.
func (r *meteredBody) release() {
	r.held.Add(-r.kept)
	r.kept = 0
}

// readBody reads at most MaxBody bytes into a new slice, because the ledger may hold it beyond this request.
func (s *server) readBody(c echo.Context) ([]byte, error) { return s.readFrom(c, c.Request().Body) }

func (s *server) readFrom(c echo.Context, r io.Reader) (body []byte, err error) {
	if size := c.Request().ContentLength; size >= 0 && size <= maxPrealloc {
		body = make([]byte, size)
		_, err = io.ReadFull(r, body)
	} else { // memory grows with the bytes that arrive, not with the announced length
		body, err = io.ReadAll(io.LimitReader(r, s.MaxBody+1))
	}
	switch {
	case err != nil:
		return nil, unreadable(err)
	case int64(len(body)) > s.MaxBody:
		return nil, s.tooLarge(c, s.MaxBody)
	case len(body) == 0:
		return nil, emptyBody()
	}
	s.decide(c)
	return body, nil
}

// unreadable returns the problem of a body that cannot be read to its end.
func unreadable(err error) *wire.Problem {
	switch {
	case errors.Is(err, errBodies):
		return wire.NewProblem(wire.CodeOverloaded, "").WithRetry(time.Second)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return wire.NewProblem(wire.CodeTimeout, "")
	}
	return wire.NewProblem(wire.CodeBadRequest, "the body ended before its declared length")
}

func emptyBody() *wire.Problem { return wire.NewProblem(wire.CodeMalformed, "the body is empty") }

// decide counts a request among those that have a body and no response yet.
func (s *server) decide(c echo.Context) {
	if x, ok := c.(*call); ok && !x.deciding {
		x.deciding = true
		s.Deciding.Add(1)
	}
}

// tooLarge continues to read for a while, since most clients read no response before they have sent everything.
// A client that asked first (Expect: 100-continue, RFC 9110, 10.1.1) waits for the response and has sent
// nothing: a read would tell it to send.
func (s *server) tooLarge(c echo.Context, most int64) error {
	if c.Request().Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, c.Request().Body, 4*s.MaxBody)
	}
	return wire.NewProblem(wire.CodeTooLarge, fmt.Sprintf("the body is larger than %d bytes", most))
}
