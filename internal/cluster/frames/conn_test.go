package frames

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handler answers for tests.
type handler func(ctx context.Context, req Request) Response

func echo(_ context.Context, req Request) Response {
	return Response{Hello: "server", Body: append([]byte(req.Path+" "+req.Hello+" "), req.Body...)}
}

// listen answers on every connection that dial makes, in memory, until stop.
func listen(t *testing.T, h handler) (dial func(context.Context) (net.Conn, error), stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(stop)
	return func(context.Context) (net.Conn, error) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		near, far := net.Pipe()
		running.Go(func() { _ = Serve(ctx, far, h) })
		return near, nil
	}, stop
}

// piped is both ends over a pipe in memory, for bubbles of synctest. end closes them and waits.
func piped(t *testing.T, h handler) (c *Conn, end func()) {
	t.Helper()
	near, far := net.Pipe()
	c = NewConn(near)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = Serve(t.Context(), far, h)
	}()
	return c, func() {
		c.Close()
		<-done
	}
}

func request(id uint64, path, body string) []byte {
	return appendFrame(nil, &frame{kind: kindRequest, id: id, path: path, total: uint32(len(body)), body: []byte(body)})
}

func nextFrame(r io.Reader) (frame, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	n, err := frameLength(head[:])
	if err != nil {
		return frame{}, err
	}
	whole := append(head[:], make([]byte, n-4)...)
	if _, err := io.ReadFull(r, whole[4:]); err != nil {
		return frame{}, err
	}
	return decodeFrame(whole)
}

// TestThousandCalls: calls with bodies of all sizes run at the same time, and each gets its own answer.
func TestThousandCalls(t *testing.T) {
	dial, _ := listen(t, echo)
	c := NewCaller(dial)
	defer c.Close()
	sizes := []int{0, 1, 100, 600, 5_000, 0, 700, chunk - 1, 40, chunk, chunk + 1, 150_000}
	var calls sync.WaitGroup
	for i := range 1000 {
		calls.Go(func() {
			size := sizes[i%len(sizes)]
			if i == 500 {
				size = 3 << 20
			}
			body := bytes.Repeat([]byte{byte(i)}, size)
			resp, err := c.Call(t.Context(), Request{Path: fmt.Sprint("/", i), Hello: "me", Body: body})
			want := append(fmt.Appendf(nil, "/%d me ", i), body...)
			if err != nil || resp.Hello != "server" || resp.Code != "" || !bytes.Equal(resp.Body, want) {
				t.Errorf("call %d of %d bytes: %d bytes, %v", i, size, len(resp.Body), err)
			}
		})
	}
	calls.Wait()
}

// TestTooLong: bodies beyond the bound reach nobody, in neither direction, and the connection goes on.
func TestTooLong(t *testing.T) {
	var ran atomic.Int32
	dial, _ := listen(t, func(_ context.Context, req Request) Response {
		ran.Add(1)
		if req.Path == "/long" {
			return Response{Body: make([]byte, MaxBody+1)}
		}
		return Response{Code: "no", Body: []byte("why")}
	})
	raw, err := dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := NewConn(raw)
	defer c.Close()
	if _, err := c.Call(t.Context(), Request{Body: make([]byte, MaxBody+1)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a long request: %v", err)
	}
	id, one := c.begin() // a caller that does not look
	err = c.send(t.Context(), frame{kind: kindRequest, id: id, path: "/x", body: make([]byte, MaxBody+1),
		gone: &one.gone}, one.done)
	if err != nil && !errors.Is(err, errAnswered) {
		t.Errorf("a long request is sent: %v", err)
	}
	if <-one.done; one.err != nil || one.resp.Code != CodeTooLarge {
		t.Errorf("a long request that is sent: code %q, %v", one.resp.Code, one.err)
	}
	if ran.Load() != 0 {
		t.Error("a long request was handled")
	}
	if _, err := c.Call(t.Context(), Request{Path: "/long"}); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a long answer: %v", err)
	}
	if resp, err := c.Call(t.Context(), Request{}); err != nil || resp.Code != "no" || string(resp.Body) != "why" {
		t.Errorf("afterwards: %+v, %v", resp, err)
	}
}

// TestCancellation: the handler's context ends when the caller gives up, at the caller's deadline, and with the
// connection.
func TestCancellation(t *testing.T) {
	for name, giveUp := range map[string]func(cancel context.CancelFunc, c *Conn){
		"given up":   func(cancel context.CancelFunc, _ *Conn) { cancel() },
		"deadline":   func(context.CancelFunc, *Conn) {},
		"connection": func(_ context.CancelFunc, c *Conn) { c.end(errClosed) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				entered, left := make(chan time.Duration, 1), make(chan error, 1)
				c, end := piped(t, func(ctx context.Context, _ Request) Response {
					deadline, _ := ctx.Deadline()
					entered <- time.Until(deadline)
					<-ctx.Done()
					left <- ctx.Err()
					return Response{}
				})
				defer end()
				ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
				defer cancel()
				began := time.Now()
				failed := make(chan error, 1)
				go func() { _, err := c.Call(ctx, Request{}); failed <- err }()
				if got := <-entered; got < 1500*time.Millisecond || got > 1501*time.Millisecond {
					t.Errorf("the handler has %v", got)
				}
				giveUp(cancel, c)
				err := <-failed
				if inHandler := <-left; inHandler == nil || err == nil {
					t.Errorf("caller %v, handler %v", err, inHandler)
				}
				if took := time.Since(began); (name == "deadline") != (took >= 1500*time.Millisecond) {
					t.Errorf("ended after %v", took)
				}
				if want := ctx.Err(); want != nil && !errors.Is(err, want) {
					t.Errorf("the caller got %v, its context has %v", err, want)
				}
			})
		})
	}
}

// TestGivenUpBodies: a body that is given up half way in either direction holds up nobody.
func TestGivenUpBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := NewConn(near)
		defer c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := c.Call(ctx, Request{Path: "/big", Body: make([]byte, 10*chunk)})
			failed <- err
		}()
		if f, err := nextFrame(far); err != nil || f.total != 10*chunk {
			t.Fatalf("kind %d of %d bytes, %v", f.kind, f.total, err)
		}
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		f, err := nextFrame(far)
		for ; err == nil && f.kind == kindPart; f, err = nextFrame(far) { // what was written already
		}
		if err != nil || f.kind != kindCancel || f.id != 1 {
			t.Errorf("after the parts comes kind %d of call %d, %v", f.kind, f.id, err)
		}
		go func() {
			_, err := c.Call(t.Context(), Request{Path: "/next", Body: make([]byte, 2*chunk)})
			failed <- err
		}()
		if f, err = nextFrame(far); err != nil || f.path != "/next" {
			t.Errorf("after the cancel comes kind %d of call %d, %v", f.kind, f.id, err)
		}
		part := appendFrame(nil, &frame{kind: kindResponse, id: 2, total: 3 * chunk, body: make([]byte, chunk)})
		go func() { _, _ = far.Write(appendFrame(part, &frame{kind: kindCancel, id: 2, reason: "no more"})) }()
		for err == nil {
			_, err = nextFrame(far) // the rest of the request
			if synctest.Wait(); len(failed) > 0 {
				break
			}
		}
		if err := <-failed; err == nil || !strings.Contains(err.Error(), "no more") {
			t.Errorf("an answer that was given up: %v", err)
		}
	})
}

// TestBackPressure: MaxCalls requests run at a time. A peer that sends more is not read until one of them ends.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var running atomic.Int32
		release := make(chan struct{})
		done := make(chan error, 1)
		go func() {
			done <- Serve(t.Context(), far, func(context.Context, Request) Response {
				running.Add(1)
				<-release
				return Response{}
			})
		}()
		go func() {
			for id := range uint64(MaxCalls + 5) {
				_, _ = near.Write(request(id+1, "/x", ""))
			}
		}()
		synctest.Wait()
		if n := running.Load(); n != MaxCalls {
			t.Errorf("%d run", n)
		}
		release <- struct{}{}
		go func() { _, _ = io.Copy(io.Discard, near) }()
		synctest.Wait()
		if n := running.Load(); n != MaxCalls+1 {
			t.Errorf("%d ran after one has ended", n)
		}
		close(release)
		synctest.Wait()
		if n := running.Load(); n != MaxCalls+5 {
			t.Errorf("%d ran in the end", n)
		}
		_ = near.Close()
		<-done
	})
}

// TestCallerWaitsForASlot: a caller has at most MaxCalls in flight. Who waits for a slot gives up with its context.
func TestCallerWaitsForASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, end := piped(t, func(ctx context.Context, _ Request) Response { <-ctx.Done(); return Response{} })
		defer end()
		all, cancel := context.WithCancel(t.Context())
		for range MaxCalls {
			go func() { _, _ = c.Call(all, Request{}) }()
		}
		synctest.Wait()
		ctx, done := context.WithTimeout(t.Context(), time.Second)
		defer done()
		if _, err := c.Call(ctx, Request{}); !errors.Is(err, context.DeadlineExceeded) || c.last != MaxCalls {
			t.Errorf("%v, %d calls were made", err, c.last)
		}
		cancel()
		synctest.Wait()
	})
}

// TestSmallBesideLarge: while a long body is under way, small calls wait for one chunk of it at most.
func TestSmallBesideLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := NewConn(near)
		defer c.Close()
		for _, size := range []int{40 * chunk, 20 * chunk} { // the second one waits for the first one
			go func() { _, _ = c.Call(t.Context(), Request{Path: "/large", Body: make([]byte, size)}) }()
			synctest.Wait()
		}
		if f, err := nextFrame(far); err != nil || f.total != 40*chunk {
			t.Fatalf("kind %d of %d bytes, %v", f.kind, f.total, err)
		}
		for i := range 50 {
			go func() { _, _ = c.Call(t.Context(), Request{Path: fmt.Sprint("/", i)}) }()
		}
		synctest.Wait()
		parts := 0
		for small := 0; small < 50; {
			f, err := nextFrame(far)
			switch {
			case err != nil || f.path == "/large":
				t.Fatalf("after %d small calls: kind %d for %q, %v", small, f.kind, f.path, err)
			case f.kind == kindPart:
				parts++
			default:
				small++
			}
		}
		if parts > 2 { // one was written already, one is joined with the small ones
			t.Errorf("50 small calls waited for %d chunks", parts)
		}
	})
}
