package frames

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Request is one call.
type Request struct {
	Path, Hello string // at most 255 bytes each
	Body        []byte // at most MaxBody. It must not change any more: a call may end while its body is written
}

// Response is the answer to a call. Code is empty if the call succeeded.
type Response struct {
	Hello, Code string
	Body        []byte
}

// ErrTooLarge is the error of a call whose body is longer than MaxBody. Nothing was sent.
var ErrTooLarge = errors.New("the body is too long")

// CodeTooLarge is the code of the answer to a request whose body is longer than MaxBody.
const CodeTooLarge = "too_large"

const (
	callerQuiet = 2 * time.Second // a caller that waits sends a ping after it
	callerGrace = 2 * time.Second // and takes the peer for dead after it
)

// Conn is the calling end of a connection.
type Conn struct {
	*link
	slots chan struct{}

	callsMu sync.Mutex
	calls   map[uint64]*call
	last    uint64        // id of the last call
	busy    time.Duration // since began: there are calls in flight since then

	// of the reader
	body unfinished
	head Response // the rest of the answer whose body is under way
}

// call is a call in flight. resp and err are set before done is closed.
type call struct {
	done chan struct{}
	gone atomic.Bool // given up, or answered
	resp Response
	err  error
}

// NewConn starts the calling end of conn and takes it over.
func NewConn(conn net.Conn) *Conn {
	c := &Conn{link: newLink(conn), slots: make(chan struct{}, MaxCalls), calls: map[uint64]*call{}}
	c.newPulse(callerQuiet, callerGrace, c.waiting)
	c.running.Go(c.write)
	c.running.Go(func() { c.end(c.read(c.take)) })
	return c
}

// Close ends the connection and all calls on it.
func (c *Conn) Close() {
	c.end(errClosed)
	c.running.Wait()
}

// Call sends a request and waits for its answer. Errors: ErrTooLarge, ctx's error, or the reason why the connection
// ended. After the last two the peer may have carried out the request.
func (c *Conn) Call(ctx context.Context, req Request) (Response, error) {
	if len(req.Body) > MaxBody {
		return Response{}, ErrTooLarge
	}
	if err := c.slot(ctx); err != nil {
		return Response{}, err
	}
	defer func() { <-c.slots }()
	id, one := c.begin()
	defer c.forget(id)
	defer one.gone.Store(true) // what is not written yet is not sent
	f := frame{kind: kindRequest, id: id, timeout: timeoutOf(ctx), path: req.Path, hello: req.Hello, body: req.Body,
		gone: &one.gone}
	if err := c.send(ctx, f, one.done); err != nil && !errors.Is(err, errAnswered) {
		return Response{}, err
	}
	select {
	case <-one.done:
		return one.resp, one.err
	case <-ctx.Done():
		c.cancel(id, &one.gone)
		return Response{}, ctx.Err()
	case <-c.ended:
	}
	select {
	case <-one.done: // the answer came first
		return one.resp, one.err
	default:
		return Response{}, c.why()
	}
}

func (c *Conn) slot(ctx context.Context) error {
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ended:
		return c.why()
	}
}

// timeoutOf returns the time that ctx has left in milliseconds, rounded up, or 0 if it has no deadline.
func timeoutOf(ctx context.Context) uint32 {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	left := time.Until(deadline).Milliseconds() + 1
	return uint32(min(max(left, 1), math.MaxUint32))
}

func (c *Conn) begin() (uint64, *call) {
	one := &call{done: make(chan struct{})}
	c.callsMu.Lock()
	c.last++
	id := c.last
	c.calls[id] = one
	first := len(c.calls) == 1
	if first {
		c.busy = time.Since(c.began)
	}
	c.callsMu.Unlock()
	if first {
		c.pulse.wake()
	}
	return id, one
}

func (c *Conn) forget(id uint64) {
	c.callsMu.Lock()
	defer c.callsMu.Unlock()
	delete(c.calls, id)
}

// waiting is the excuse of the pulse: silence counts while calls wait.
func (c *Conn) waiting() (since time.Duration, ok bool) {
	c.callsMu.Lock()
	defer c.callsMu.Unlock()
	return c.busy, len(c.calls) > 0
}

// take handles one frame of the answering end.
func (c *Conn) take(f *frame) error {
	switch f.kind {
	case kindResponse:
		return c.takeResponse(f)
	case kindPart:
		body, complete, err := c.body.add(f)
		if complete {
			c.head.Body = body
			c.finish(f.id, c.head, nil)
			c.head = Response{}
		}
		return err
	case kindCancel:
		c.body.drop(f.id)
		c.finish(f.id, Response{}, fmt.Errorf("the peer gave up its answer: %s", f.reason))
		return nil
	}
	return fmt.Errorf("%w: kind %d from the answering end", errFrame, f.kind)
}

func (c *Conn) takeResponse(f *frame) error {
	c.callsMu.Lock()
	waits, last := c.calls[f.id] != nil, c.last
	c.callsMu.Unlock()
	if f.id > last {
		return fmt.Errorf("%w: an answer to call %d, which was never made", errFrame, f.id)
	}
	if f.total > MaxBody && waits {
		c.finish(f.id, Response{}, errors.New("answer too long"))
		waits = false
	}
	body, complete := c.body.begin(f, !waits)
	head := Response{Hello: f.hello, Code: f.code, Body: body}
	if complete {
		c.finish(f.id, head, nil)
		return nil
	}
	c.head = head
	return nil
}

// finish ends a call. If nobody waits any more, nothing happens.
func (c *Conn) finish(id uint64, resp Response, err error) {
	c.callsMu.Lock()
	one := c.calls[id]
	delete(c.calls, id)
	c.callsMu.Unlock()
	if one != nil {
		one.resp, one.err = resp, err
		close(one.done)
	}
}
