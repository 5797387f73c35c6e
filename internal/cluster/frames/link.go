package frames

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// MaxCalls bounds the calls in flight on one connection.
	MaxCalls = 1024

	queued       = 128       // frames with whole bodies that wait to be written
	batch        = 2 * chunk // bytes that one write joins, exceeded by at most two frames
	writeTimeout = 5 * time.Second
)

var (
	errClosed   = errors.New("connection closed")
	errSilent   = errors.New("the peer is silent")
	errAnswered = errors.New("answered before the whole request was sent")
)

// link carries the frames of one connection, at both ends: one goroutine reads and another one writes.
//
// A body of one chunk or less is one frame in small. Whoever holds bulk sends a longer body through parts, a chunk at
// a time. Each write takes at most one chunk from there, so that the frames in small never wait for more than one.
type link struct {
	conn  net.Conn
	small chan frame
	parts chan frame    // unbuffered: a chunk leaves its sender when the writer takes it
	bulk  chan struct{} // held by the one body that is sent in parts
	hurry chan struct{} // something stands in urgent
	ended chan struct{}

	mu     sync.Mutex
	urgent urgent
	cause  error // of the end
	pulse  *pulse

	running sync.WaitGroup
	began   time.Time
	heard   atomic.Int64 // time since began at which the last bytes came
}

// urgent are the frames that go before all others, and that nobody waits to send.
type urgent struct {
	cancels    []uint64 // at most one for each frame that was queued since the last write
	ping, pong bool
	pongID     uint64 // of the last ping that came
}

func newLink(conn net.Conn) *link {
	return &link{
		conn:  conn,
		small: make(chan frame, queued),
		parts: make(chan frame),
		bulk:  make(chan struct{}, 1),
		hurry: make(chan struct{}, 1),
		ended: make(chan struct{}),
		began: time.Now(),
	}
}

// end closes the connection. The first cause stays.
func (l *link) end(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return
	}
	l.cause = cause
	close(l.ended)
	if l.pulse != nil {
		l.pulse.stop()
	}
	hangUp(l.conn)
}

// why returns the cause of the end.
func (l *link) why() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// hangUp closes a connection at once. The Close of TLS may wait for a peer that does not read.
func hangUp(conn net.Conn) {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	_ = conn.Close()
}

// send queues a request or a response with its whole body, at most MaxBody, and gone. It returns an error if ctx or the
// connection ends or over is closed first. The peer then learns that the rest does not come.
func (l *link) send(ctx context.Context, f frame, over <-chan struct{}) error {
	rest := f.body
	f.total = uint32(len(rest))
	if len(rest) <= chunk {
		return l.put(ctx, l.small, f, nil)
	}
	select {
	case l.bulk <- struct{}{}:
		defer func() { <-l.bulk }()
	case <-ctx.Done():
		return ctx.Err()
	case <-l.ended:
		return l.why()
	}
	for first := true; len(rest) > 0; first = false {
		f.body, rest = rest[:min(len(rest), chunk)], rest[min(len(rest), chunk):]
		if err := l.put(ctx, l.parts, f, over); err != nil {
			if !first {
				l.cancel(f.id, f.gone)
			}
			return err
		}
		f = frame{kind: kindPart, id: f.id, gone: f.gone}
	}
	return nil
}

func (l *link) put(ctx context.Context, queue chan<- frame, f frame, over <-chan struct{}) error {
	select {
	case queue <- f:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-over:
		return errAnswered
	case <-l.ended:
		return l.why()
	}
}

// cancel tells the peer that this end gives the call up. It does not wait. The frames of the call with the same gone
// that are not written yet are not sent, so that none follows the cancel.
func (l *link) cancel(id uint64, gone *atomic.Bool) {
	gone.Store(true)
	l.soon(func(u *urgent) { u.cancels = append(u.cancels, id) })
}

func (l *link) soon(add func(*urgent)) {
	l.mu.Lock()
	add(&l.urgent)
	l.mu.Unlock()
	select {
	case l.hurry <- struct{}{}:
	default:
	}
}

// write writes frames that wait, several with one call, until the connection ends.
func (l *link) write() {
	buf := make([]byte, 0, batch+2*maxFrame)
	for {
		parts := l.parts
		buf = buf[:0]
		select {
		case <-l.ended:
			return
		case <-l.hurry:
			buf = l.appendUrgent(buf)
		case f := <-l.small:
			buf = l.join(buf, &f)
		case f := <-parts:
			buf, parts = l.join(buf, &f), nil
		}
		buf = l.joinWaiting(buf, parts)
		if len(buf) == 0 {
			continue
		}
		_ = l.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := l.conn.Write(buf); err != nil {
			l.end(fmt.Errorf("write: %w", err))
			return
		}
	}
}

// joinWaiting appends frames that wait now: small ones, and at most one from parts.
func (l *link) joinWaiting(buf []byte, parts <-chan frame) []byte {
	for len(buf) < batch {
		select {
		case f := <-l.small:
			buf = l.join(buf, &f)
			continue
		default:
		}
		select {
		case f := <-parts:
			return l.join(buf, &f)
		default:
			return buf
		}
	}
	return buf
}

// join appends a frame. A cancel that was queued before its sender freed bulk goes before the next body.
func (l *link) join(buf []byte, f *frame) []byte {
	buf = l.appendUrgent(buf)
	if f.gone != nil && f.gone.Load() {
		return buf
	}
	return appendFrame(buf, f)
}

func (l *link) appendUrgent(buf []byte) []byte {
	l.mu.Lock()
	u := l.urgent
	l.urgent = urgent{}
	l.mu.Unlock()
	if u.ping {
		buf = appendFrame(buf, &frame{kind: kindPing})
	}
	if u.pong {
		buf = appendFrame(buf, &frame{kind: kindPong, id: u.pongID})
	}
	for _, id := range u.cancels {
		buf = appendFrame(buf, &frame{kind: kindCancel, id: id})
	}
	return buf
}

// Read reads from the connection and notes the time.
func (l *link) Read(p []byte) (int, error) {
	n, err := l.conn.Read(p)
	if n > 0 {
		l.heard.Store(int64(time.Since(l.began)))
	}
	return n, err
}

// read gives frames to take until the connection or take fails. The body of a frame is valid during take.
func (l *link) read(take func(*frame) error) error {
	r := bufio.NewReaderSize(l, maxFrame)
	for {
		head, err := r.Peek(4)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		n, err := frameLength(head)
		if err != nil {
			return err
		}
		whole, err := r.Peek(n)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		f, err := decodeFrame(whole)
		switch {
		case err != nil:
			return err
		case f.kind == kindPing:
			l.soon(func(u *urgent) { u.pong, u.pongID = true, f.id })
		case f.kind == kindPong:
		default:
			err = take(&f)
		}
		if err != nil {
			return err
		}
		_, _ = r.Discard(n) // was peeked
	}
}
