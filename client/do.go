package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// maxAnswer bounds the size of a response, in bytes.
const maxAnswer = 64 << 20

// Request is one HTTP request to any of the endpoints. Path begins with a slash. Header overrides the defaults
// (Content-Type: application/json for all but GET). Chunked sends the body without a declared length.
type Request struct {
	Method, Path string
	Query        url.Values
	Header       map[string]string
	Body         []byte
	Chunked      bool
}

// Response is a complete HTTP response of any status that needs no repetition.
type Response struct {
	Status   int
	Header   http.Header
	Body     []byte
	Endpoint string        // that responded
	Attempts int           // requests made, at least 1
	Elapsed  time.Duration // of the last attempt
}

// Problem decodes the problem document of a response of status 400 and above. For a response without one, for
// example from a proxy, it makes a problem of the status.
func (r *Response) Problem() *wire.Problem {
	p := &wire.Problem{}
	if json.Unmarshal(r.Body, p) != nil || p.Text == "" && p.Code == "" {
		text := fmt.Sprintf("status %d without a problem document", r.Status)
		p = &wire.Problem{
			Title:     http.StatusText(r.Status),
			Detail:    text,
			Text:      text,
			RequestID: r.Header.Get(wire.HeaderRequestID),
		}
	}
	p.Status = r.Status
	return p
}

// Do sends r until a node responds with a status other than 429, 503 and 504, or 421 that names another
// endpoint, or until ctx ends or allows no further attempt. A 502 comes only from a proxy in front of the
// nodes, so Do repeats it too. Every other status is a Response, not an error. Errors are *Error.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	failure := &Error{}
	asking, done := c.watch()
	defer done()
	// endpoints with an untrusted TLS identity: repeating does not help, but another node may
	untrusted := map[*endpoint]bool{}
	for {
		e, wait := c.pick()
		if failure.Attempts == 0 {
			failure.Endpoint = e.url
		}
		if err := pause(ctx, wait); err != nil {
			if failure.Cause == nil {
				failure.Cause = err
			}
			return nil, failure
		}
		began := time.Now()
		asking(e)
		resp, sent, err := c.once(ctx, e, r)
		failure.Attempts++
		failure.Endpoint = e.url
		if err == nil && !repeatable(resp.Status) && !c.elsewhere(resp) {
			e.fails.Store(0)
			resp.Attempts, resp.Elapsed = failure.Attempts, time.Since(began)
			return resp, nil
		}
		wait = c.note(failure, e, resp, err, sent && r.Method != http.MethodGet, began)
		if isUntrusted(err) || errors.Is(err, errPlain) {
			untrusted[e] = true
		}
		if len(untrusted) == len(c.endpoints) || ctx.Err() != nil {
			return nil, failure
		}
		if pause(ctx, wait) != nil {
			return nil, failure
		}
	}
}

// Once makes a single request to the first endpoint and returns its response, of any status. Use At to choose
// the endpoint.
func (c *Client) Once(ctx context.Context, r Request) (*Response, error) {
	began := time.Now()
	resp, sent, err := c.once(ctx, c.endpoints[0], r)
	if err != nil {
		return nil, &Error{
			Endpoint: c.endpoints[0].url,
			Attempts: 1,
			Cause:    err,
			MaySent:  sent && r.Method != http.MethodGet,
		}
	}
	resp.Attempts, resp.Elapsed = 1, time.Since(began)
	return resp, nil
}

// watch calls Config.Slow while a call is slow. The caller passes the current endpoint to asking. After done
// has returned, Slow is not called any more.
func (c *Client) watch() (asking func(*endpoint), done func()) {
	if c.cfg.Slow == nil {
		return func(*endpoint) {}, func() {}
	}
	var now atomic.Pointer[endpoint]
	stop, ended, began := make(chan struct{}), make(chan struct{}), time.Now()
	go func() {
		defer close(ended)
		for wait := c.cfg.SlowAfter; ; wait *= 2 {
			timer := time.NewTimer(time.Until(began.Add(wait)))
			select {
			case <-stop:
				timer.Stop()
				return
			case <-timer.C:
			}
			if e := now.Load(); e != nil {
				c.cfg.Slow(Slow{e.url, slices.Index(c.endpoints, e) + 1, len(c.endpoints), time.Since(began)})
			}
		}
	}()
	return now.Store, func() { close(stop); <-ended }
}

// note records a failed attempt in the error and in the health of the endpoint. A freeze concerns the record
// and not the node, so other requests continue, and this one waits for the returned time.
func (c *Client) note(failure *Error, e *endpoint, resp *Response, err error, sent bool,
	began time.Time) time.Duration {
	failure.Cause = err
	var asked time.Duration
	if resp != nil {
		failure.Status, failure.Problem = resp.Status, resp.Problem()
		asked = retryAfter(resp, failure.Problem)
		failure.Problem.RetryAfterMS = asked.Milliseconds()
		sent = sent && (resp.Status == http.StatusGatewayTimeout || resp.Status == http.StatusBadGateway)
	}
	failure.MaySent = failure.MaySent || sent
	if resp != nil && failure.Problem.Code == wire.CodeFrozen {
		return max(asked, c.cfg.MinBackoff)
	}
	fails := e.fails.Load()
	// otherwise a concurrent request has already counted this outage
	if began.UnixNano() >= e.notBefore.Load() {
		fails = e.fails.Add(1)
	}
	delay := min(c.cfg.MinBackoff<<min(max(fails-1, 0), 20), c.cfg.MaxBackoff)
	delay = max(delay/2+rand.N(delay/2+1), asked)
	until := time.Now().Add(delay).UnixNano()
	for old := e.notBefore.Load(); old < until && !e.notBefore.CompareAndSwap(old, until); old = e.notBefore.Load() {
	}
	return 0
}

// pick returns an endpoint that is not backing off. If there is none, it returns the one that is ready first
// and the time to wait.
func (c *Client) pick() (*endpoint, time.Duration) {
	start := uint64(0)
	if c.cfg.Balance == RoundRobin && len(c.endpoints) > 1 {
		start = c.next.Add(1) - 1
	}
	now := time.Now().UnixNano()
	var best *endpoint
	var bestAt int64
	for i := range c.endpoints {
		e := c.endpoints[(start+uint64(i))%uint64(len(c.endpoints))]
		at := e.notBefore.Load()
		if at <= now {
			return e, 0
		}
		if best == nil || at < bestAt {
			best, bestAt = e, at
		}
	}
	return best, time.Duration(bestAt - now)
}

// pause waits for d. It fails at once if the wait would exceed the deadline.
func pause(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// elsewhere reports whether a response names the leader and the leader is another endpoint, which later
// attempts will reach.
func (c *Client) elsewhere(r *Response) bool {
	if r.Status != http.StatusMisdirectedRequest {
		return false
	}
	leader := strings.TrimRight(r.Problem().Leader, "/")
	return leader != r.Endpoint && slices.ContainsFunc(c.endpoints, func(e *endpoint) bool { return e.url == leader })
}

func repeatable(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusBadGateway:
		return true
	}
	return false
}

// retryAfter returns the retry time from the more precise member of the problem, or from the header in seconds
// or as a date (RFC 9110, 10.2.3).
func retryAfter(r *Response, p *wire.Problem) time.Duration {
	if p.RetryAfterMS > 0 {
		return time.Duration(min(p.RetryAfterMS, 3_600_000)) * time.Millisecond
	}
	text := r.Header.Get(wire.HeaderRetryAfter)
	if s, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(min(s, 3600)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(time.Until(at), 0), time.Hour)
	}
	return 0
}

// errPlain is the error for plain HTTP sent to a TLS port.
var errPlain = fmt.Errorf("%w: this port speaks TLS; write https:// instead of http://", ErrProtocol)

// once makes one attempt. sent reports whether the request began to leave, so that the node may have acted on
// it.
func (c *Client) once(ctx context.Context, e *endpoint, r Request) (resp *Response, sent bool, err error) {
	if resp, sent, err = exchange(ctx, c, e, r); err != nil {
		return nil, sent, err
	}
	return resp, sent, nil
}

// exchange is once, with the part of a response that came before it was cut.
func exchange(ctx context.Context, c *Client, e *endpoint, r Request) (resp *Response, sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	var wrote atomic.Bool // the transport writes on its own goroutine
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }})
	req, err := newRequest(ctx, &c.cfg, e, r)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	answer, err := c.http.Do(req)
	if err != nil {
		return nil, wrote.Load(), err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, c.maxAnswer+1))
	resp = &Response{Status: answer.StatusCode, Header: answer.Header, Body: body, Endpoint: e.url}
	if err != nil {
		return resp, true, fmt.Errorf("reading the answer: %w", err)
	}
	if int64(len(body)) > c.maxAnswer {
		return nil, true, fmt.Errorf("%w: more than %d bytes", ErrProtocol, c.maxAnswer)
	}
	if answer.StatusCode == http.StatusBadRequest && req.URL.Scheme == "http" &&
		bytes.HasPrefix(body, []byte("Client sent an HTTP request to an HTTPS server")) {
		return nil, false, errPlain
	}
	return resp, true, nil
}

func newRequest(ctx context.Context, cfg *Config, e *endpoint, r Request) (*http.Request, error) {
	var body io.Reader
	if len(r.Body) > 0 {
		body = bytes.NewReader(r.Body)
		if r.Chunked {
			body = struct{ io.Reader }{body}
		}
	}
	target := e.url + r.Path
	if len(r.Query) > 0 {
		target += "?" + r.Query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", cfg.UserAgent)
	if r.Method != http.MethodGet {
		req.Header.Set("Content-Type", wire.MediaJSON)
	}
	if cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+cfg.Token)
	}
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	return req, nil
}
