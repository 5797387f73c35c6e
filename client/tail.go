package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// tailSilence is the time without any byte after which a stream counts as cut. Nodes send a sign of life every ten
// seconds. tailOpening bounds the wait for the header.
const (
	tailSilence = 25 * time.Second
	tailOpening = 15 * time.Second
)

// tailLine bounds a line of a stream, in bytes.
const tailLine = 1 << 20

// Tail iterates over the submissions as they are folded, beginning with q.FromSeq (0: with the next one), until ctx ends,
// the caller stops, or q.Limit items are there (0: no bound). It reads the stream of one node. When the stream ends, it
// goes on at any node, without a gap and without a repetition. The rows say what the generation says that is active
// when they are sent. It waits while no node is available. Other errors end it.
//
// Of the query it heeds what selects rows, FromSeq, Limit and the freshness. It ignores Cursor, ToSeq, Newest, Since,
// Until, AsOf and Generation, which are about what was there before.
func (c *Client) Tail(ctx context.Context, q AuditQuery) iter.Seq2[wire.AuditItem, error] {
	q = AuditQuery{Shard: q.Shard, Key: q.Key, Outcome: q.Outcome, Reason: q.Reason, UnknownShards: q.UnknownShards,
		PCS: q.PCS, Policy: q.Policy, Remote: q.Remote, Filter: q.Filter, FromSeq: q.FromSeq, Limit: q.Limit, Read: q.Read.Now()}
	if q.Consistency == "" {
		q.Consistency = c.cfg.Consistency
	}
	return func(yield func(wire.AuditItem, error) bool) {
		w := &tail{c: c, q: q, left: q.Limit, yield: yield, found: func() {}}
		defer func() { w.found() }()
		w.q.Limit = 0
		for ctx.Err() == nil && !w.done {
			w.follow(ctx)
		}
		if !w.done {
			yield(wire.AuditItem{}, context.Cause(ctx))
		}
	}
}

// tail is the state of one Tail.
type tail struct {
	c     *Client
	q     AuditQuery
	last  string // id of the last event, empty before the first one
	seq   uint64 // of the last item
	left  int    // 0 for no bound
	done  bool   // the iteration is over
	yield func(wire.AuditItem, error) bool

	asking func(*endpoint) // for Config.Slow, nil while a stream is open
	found  func()
}

// errStreamCut means that a stream ended without its last event, or was silent for too long.
var errStreamCut = errors.New("the stream was cut")

// follow reads one stream to its end. An endpoint that was of no use is left alone for a while.
func (w *tail) follow(ctx context.Context) {
	if w.asking == nil {
		w.asking, w.found = w.c.watch()
	}
	e, wait := w.c.pick()
	w.asking(e)
	if pause(ctx, wait) != nil {
		<-ctx.Done()
		return
	}
	began := time.Now()
	resp, s, err := w.open(ctx, e)
	if resp == nil && err == nil {
		w.found()
		w.asking, w.found = nil, func() {}
		e.fails.Store(0)
		err = w.read(s.body, s.alive)
	}
	s.close()
	switch {
	case w.done || ctx.Err() != nil:
	case resp != nil && !repeatable(resp.Status):
		w.fail(resp.decode(nil, http.MethodGet))
	case isUntrusted(err) || errors.Is(err, ErrProtocol):
		w.fail(&Error{Endpoint: e.url, Attempts: 1, Cause: err})
	case resp != nil || err != nil:
		_ = pause(ctx, w.c.note(&Error{}, e, resp, err, false, began)) // the caller looks at ctx
	}
}

func (w *tail) fail(err error) {
	w.done = true
	w.yield(wire.AuditItem{}, err)
}

// stream is an open response. alive must be called for every sign of life, else the stream is cut.
type stream struct {
	body  io.Reader
	alive func()
	close func()
}

// open asks one node for the stream. A response that is none comes back whole.
func (w *tail) open(ctx context.Context, e *endpoint) (*Response, stream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(tailOpening, func() { cancel(errStreamCut) })
	s := stream{close: func() { timer.Stop(); cancel(nil) }, alive: func() { timer.Reset(w.c.silence) }}
	r := Request{Method: http.MethodGet, Path: "/v1/audit/stream", Query: w.q.query(),
		Header: map[string]string{"Accept": wire.MediaEvents}}
	if w.last != "" {
		r.Header[wire.HeaderLastEventID] = w.last
	}
	req, err := newRequest(ctx, &w.c.cfg, e, r)
	if err != nil {
		return nil, s, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	answer, err := w.c.http.Do(req)
	if err != nil {
		return nil, s, err
	}
	s.close = func() { timer.Stop(); cancel(nil); answer.Body.Close() }
	if answer.StatusCode == http.StatusOK {
		if kind := answer.Header.Get("Content-Type"); !strings.HasPrefix(kind, wire.MediaEvents) {
			return nil, s, fmt.Errorf("%w: a stream of %q", ErrProtocol, kind)
		}
		s.body = answer.Body
		return nil, s, nil
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, tailLine))
	if err != nil {
		return nil, s, err
	}
	return &Response{Status: answer.StatusCode, Header: answer.Header, Body: text, Endpoint: e.url, Attempts: 1}, s, nil
}

// read passes the items of a stream on, until it ends. It returns nil if the next stream may begin at once.
func (w *tail) read(body io.Reader, alive func()) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 16<<10), tailLine)
	var id, kind, data string
	for lines.Scan() && !w.done {
		alive()
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			id = value
		case "event":
			kind = value
		case "data":
			data = value
		case "":
			if lines.Text() != "" { // a comment
				continue
			}
			if id != "" { // the event is whole: before, a cut would lose it
				w.last = id
			}
			if kind == wire.StreamEnd {
				return ended(data)
			}
			if err := w.item(kind, data); err != nil {
				return err
			}
			id, kind, data = "", "", ""
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errStreamCut
}

// ended returns the reason why a node ended a stream, nil if the same node can go on.
func ended(data string) error {
	var end wire.StreamEnded
	if err := json.Unmarshal([]byte(data), &end); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if end.Reason == wire.EndedGeneration || end.Reason == wire.EndedSlow {
		return nil
	}
	return fmt.Errorf("the node ended the stream (%s): %s", end.Reason, end.Detail)
}

// item passes one item on, unless it came before.
func (w *tail) item(kind, data string) error {
	if kind != wire.StreamSubmission {
		return nil
	}
	var item wire.AuditItem
	if err := json.Unmarshal([]byte(data), &item); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if w.last != strconv.FormatUint(item.Seq, 10) {
		return fmt.Errorf("%w: submission %d has the id %q", ErrProtocol, item.Seq, w.last)
	}
	if item.Seq <= w.seq {
		return nil
	}
	w.seq = item.Seq
	if !w.yield(item, nil) {
		w.done = true
		return nil
	}
	if w.left--; w.left == 0 {
		w.done = true
	}
	return nil
}
