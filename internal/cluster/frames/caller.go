package frames

import (
	"context"
	"net"
	"sync"
)

// Caller keeps a connection to one peer. The first call connects, and the first one after the connection has ended.
// It repeats no call.
type Caller struct {
	dial func(context.Context) (net.Conn, error)
	stop context.Context // of dial
	end  context.CancelFunc

	mu      sync.Mutex
	conn    *Conn    // nil before the first
	attempt *attempt // nil unless one is under way
	closed  bool
	running sync.WaitGroup
}

// attempt is one dial, for all calls that wait for it. conn and err are set before done is closed.
type attempt struct {
	done chan struct{}
	conn *Conn
	err  error
}

// NewCaller returns a Caller that connects with dial. dial must bound its own time: it goes on after the call that
// began it has given up.
func NewCaller(dial func(context.Context) (net.Conn, error)) *Caller {
	c := &Caller{dial: dial}
	c.stop, c.end = context.WithCancel(context.Background())
	return c
}

// Call calls the peer. Its errors are those of Conn.Call and of dial.
func (c *Caller) Call(ctx context.Context, req Request) (Response, error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return Response{}, err
	}
	return conn.Call(ctx, req)
}

func (c *Caller) connect(ctx context.Context) (*Conn, error) {
	conn, a, err := c.current()
	if conn != nil || err != nil {
		return conn, err
	}
	select {
	case <-a.done:
		return a.conn, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// current returns the connection that stands, or else the attempt under way.
func (c *Caller) current() (*Conn, *attempt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, errClosed
	}
	if c.conn != nil {
		select {
		case <-c.conn.ended:
			c.conn = nil
		default:
			return c.conn, nil, nil
		}
	}
	if c.attempt == nil {
		a := &attempt{done: make(chan struct{})}
		c.attempt = a
		c.running.Go(func() { c.try(a) })
	}
	return nil, c.attempt, nil
}

func (c *Caller) try(a *attempt) {
	raw, err := c.dial(c.stop)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		a.err = err
	case c.closed:
		hangUp(raw)
		a.err = errClosed
	default:
		a.conn = NewConn(raw)
		c.conn = a.conn
	}
	c.attempt = nil
	close(a.done)
}

// Drop ends the connection and its calls. The next call connects again.
func (c *Caller) Drop() {
	c.mu.Lock()
	conn := c.conn
	c.conn = nil
	c.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
}

// Close ends the connection and all calls. Later calls fail.
func (c *Caller) Close() {
	c.mu.Lock()
	c.closed = true
	conn := c.conn
	c.mu.Unlock()
	c.end()
	if conn != nil {
		conn.Close()
	}
	c.running.Wait()
}
