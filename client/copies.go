package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// Copies makes and reads copies of the log of one node, for backups. A copy belongs to the node that made it.
type Copies struct{ c *Client }

// CopiesOf returns the copies of the node at the i-th endpoint of c.
func CopiesOf(c *Client, i int) Copies { return Copies{c.At(i)} }

// Create makes a copy of the log. With wire.ConsistencyLinearizable it has everything that was
// acknowledged before the call, with wire.ConsistencyLocal what the node has.
func (k Copies) Create(ctx context.Context, consistency string) (*wire.CopyAnswer, error) {
	q := Read{Consistency: consistency}.query()
	slow := *k.c // the node writes a memtable first, and a repeated request would make another copy
	slow.cfg.AttemptTimeout = max(slow.cfg.AttemptTimeout, createTimeout)
	return operate[wire.CopyAnswer](ctx, &slow, http.MethodPost, "/v1/copies", q, nil)
}

// List lists the copies.
func (k Copies) List(ctx context.Context) (*wire.CopiesPage, error) {
	return get[wire.CopiesPage](ctx, k.c, "/v1/copies", nil)
}

// Get returns a copy, with its files as soon as it is ready. Asking keeps the copy from expiring.
func (k Copies) Get(ctx context.Context, id string) (*wire.CopyAnswer, error) {
	return get[wire.CopyAnswer](ctx, k.c, "/v1/copies/"+url.PathEscape(id), nil)
}

// Remove removes a copy.
func (k Copies) Remove(ctx context.Context, id string) error {
	resp, err := k.c.Do(ctx, Request{Method: http.MethodDelete, Path: "/v1/copies/" + url.PathEscape(id)})
	if err != nil {
		return err
	}
	if resp.Status == http.StatusNoContent {
		return nil
	}
	return resp.decode(&struct{}{}, http.MethodGet)
}

// createTimeout bounds one request for a new copy. A node gives up earlier.
const createTimeout = 130 * time.Second

// fruitless is the number of attempts without a byte after which File gives up.
const fruitless = 5

// errSink wraps an error of the writer that File was given, which repeating does not help.
var errSink = errors.New("writing what was read")

// File writes a file of a copy to w, from byte from on. When the connection breaks, it continues behind what it has
// written, until several attempts in a row bring nothing. It returns the number of bytes written. The caller compares
// the hash.
func (k Copies) File(ctx context.Context, id, name string, from int64, w io.Writer) (written int64, err error) {
	path := "/v1/copies/" + url.PathEscape(id) + "/files/" + url.PathEscape(name)
	for failed := 0; ; {
		n, err := readFile(ctx, k.c, path, from+written, w)
		written += n
		var answered *Error
		if err == nil || ctx.Err() != nil || errors.Is(err, errSink) ||
			errors.As(err, &answered) && !repeatable(answered.Status) {
			return written, err
		}
		if failed++; n > 0 {
			failed = 1
		}
		if failed >= fruitless || pause(ctx, k.c.cfg.MinBackoff<<failed) != nil {
			return written, err
		}
	}
}

// readFile makes one attempt at the first endpoint. It ends when nothing arrives for AttemptTimeout.
func readFile(ctx context.Context, c *Client, path string, from int64, w io.Writer) (n int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	idle := time.AfterFunc(c.cfg.AttemptTimeout, cancel)
	defer idle.Stop()
	r := Request{Method: http.MethodGet, Path: path}
	want := http.StatusOK
	if from > 0 {
		want = http.StatusPartialContent
		r.Header = map[string]string{"Range": "bytes=" + strconv.FormatInt(from, 10) + "-"}
	}
	req, err := newRequest(ctx, &c.cfg, c.endpoints[0], r)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	answer, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != want {
		body, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<20)) // a part of a problem is no worse than none
		resp := &Response{Status: answer.StatusCode, Header: answer.Header, Body: body, Endpoint: c.endpoints[0].url,
			Attempts: 1}
		if answer.StatusCode < 300 {
			return 0, fmt.Errorf("%w: status %d to a request for a part of a file", ErrProtocol, answer.StatusCode)
		}
		return 0, resp.decode(nil, http.MethodGet)
	}
	n, err = io.Copy(sink{w}, &watched{answer.Body, idle, c.cfg.AttemptTimeout})
	if n == 0 && err == nil {
		// net/http may give out the empty answer of a server that saw the end of a call that was given up
		err = ctx.Err()
	}
	return n, err
}

// sink marks the errors of a writer.
type sink struct{ w io.Writer }

func (s sink) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	if err != nil {
		err = fmt.Errorf("%w: %w", errSink, err)
	}
	return n, err
}

// watched restarts a timer with every byte that arrives.
type watched struct {
	r    io.Reader
	idle *time.Timer
	wait time.Duration
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	w.idle.Reset(w.wait)
	return n, err
}
