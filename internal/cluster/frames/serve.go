package frames

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	serverQuiet = 15 * time.Second // an answering end sends a ping after it, whether calls wait or not
	serverGrace = 5 * time.Second
)

// Serve answers the calls on conn until the connection or ctx ends, and returns why. It calls handle for each request
// on a goroutine of its own, for at most MaxCalls and for bodies of at most MaxBody bytes in all at a time. The context of
// handle ends with the time that the caller gave, when the caller gives up, and when the connection ends. Serve does
// not wait for handle.
func Serve(ctx context.Context, conn net.Conn, handle func(context.Context, Request) Response) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &server{
		link:   newLink(conn),
		ctx:    ctx,
		handle: handle,
		left:   make(chan struct{}, 1),
		calls:  map[uint64]context.CancelFunc{},
	}
	s.newPulse(serverQuiet, serverGrace, s.excused)
	s.pulse.wake()
	stop := context.AfterFunc(ctx, func() { s.end(errClosed) })
	defer stop()
	s.running.Go(s.write)
	s.end(s.read(s.take))
	s.running.Wait()
	return s.why()
}

// server is the answering end of a connection.
type server struct {
	*link
	ctx    context.Context
	handle func(context.Context, Request) Response
	left   chan struct{} // a handler has ended
	full   atomic.Bool   // the reader waits for handlers and hears nothing

	callsMu  sync.Mutex
	calls    map[uint64]context.CancelFunc
	handlers int // that run
	held     int // bytes in their bodies

	// of the reader
	body unfinished
	head frame // the rest of the request whose body is under way
}

// excused is the excuse of the pulse.
func (s *server) excused() (time.Duration, bool) {
	if s.full.Load() {
		return time.Since(s.began), true
	}
	return 0, true
}

// take handles one frame of the calling end.
func (s *server) take(f *frame) error {
	switch f.kind {
	case kindRequest:
		return s.takeRequest(f)
	case kindPart:
		body, complete, err := s.body.add(f)
		if complete {
			err = s.start(&s.head, body)
			s.head = frame{}
		}
		return err
	case kindCancel:
		s.body.drop(f.id)
		s.callsMu.Lock()
		cancel := s.calls[f.id]
		s.callsMu.Unlock()
		if cancel != nil {
			cancel()
		}
		return nil
	}
	return fmt.Errorf("%w: kind %d from the calling end", errFrame, f.kind)
}

func (s *server) takeRequest(f *frame) error {
	if f.total > MaxBody {
		s.body.begin(f, true)
		return s.start(f, nil)
	}
	body, complete := s.body.begin(f, false)
	if complete {
		return s.start(f, body)
	}
	s.head = *f
	s.head.body = nil
	return nil
}

// start runs one request. It waits while too many run.
func (s *server) start(f *frame, body []byte) error {
	if err := s.wait(len(body)); err != nil {
		return err
	}
	ctx, cancel := s.contextOf(f)
	id, tooLong, req := f.id, f.total > MaxBody, Request{Path: f.path, Hello: f.hello, Body: body}
	s.callsMu.Lock()
	known := s.calls[id] != nil
	if !known {
		s.calls[id] = cancel
	}
	s.callsMu.Unlock()
	if known {
		cancel()
		return fmt.Errorf("%w: call %d comes twice", errFrame, id)
	}
	go func() {
		defer s.finish(id, len(body), cancel)
		if tooLong {
			s.respond(ctx, id, Response{Code: CodeTooLarge, Body: []byte(ErrTooLarge.Error())})
			return
		}
		s.respond(ctx, id, s.handle(ctx, req))
	}()
	return nil
}

// wait waits until another handler may run with a body of that size.
func (s *server) wait(size int) error {
	if s.enter(size) {
		return nil
	}
	s.full.Store(true)
	defer s.full.Store(false)
	for {
		select {
		case <-s.left:
			if s.enter(size) {
				s.heard.Store(int64(time.Since(s.began))) // the reader goes on
				return nil
			}
		case <-s.ended:
			return s.why()
		}
	}
}

// enter counts another handler and its body, if it may run now.
func (s *server) enter(size int) bool {
	s.callsMu.Lock()
	defer s.callsMu.Unlock()
	if s.handlers == MaxCalls || s.held+size > MaxBody {
		return false
	}
	s.handlers++
	s.held += size
	return true
}

func (s *server) finish(id uint64, size int, cancel context.CancelFunc) {
	s.callsMu.Lock()
	delete(s.calls, id)
	s.handlers--
	s.held -= size
	s.callsMu.Unlock()
	cancel()
	select {
	case s.left <- struct{}{}:
	default:
	}
}

func (s *server) contextOf(f *frame) (context.Context, context.CancelFunc) {
	if f.timeout == 0 {
		return context.WithCancel(s.ctx)
	}
	return context.WithTimeout(s.ctx, time.Duration(f.timeout)*time.Millisecond)
}

// respond queues the answer. If it cannot, the caller or the connection is gone.
func (s *server) respond(ctx context.Context, id uint64, r Response) {
	if len(r.Body) > MaxBody {
		_ = s.put(ctx, s.small, frame{kind: kindCancel, id: id, reason: "answer too long"}, nil)
		return
	}
	f := frame{kind: kindResponse, id: id, hello: r.Hello, code: r.Code, body: r.Body}
	if len(r.Body) > chunk {
		f.gone = new(atomic.Bool)
	}
	_ = s.send(ctx, f, nil)
}
