package frames

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func response(id uint64, body string) []byte {
	return appendFrame(nil, &frame{kind: kindResponse, id: id, total: uint32(len(body)), body: []byte(body)})
}

func raw(kind byte, length uint32) []byte {
	return append(binary.BigEndian.AppendUint32(nil, length), kind, 0, 0, 0, 0, 0, 0, 0, 1)
}

func join(all ...[]byte) (out []byte) {
	for _, b := range all {
		out = append(out, b...)
	}
	return out
}

// hostile are bytes that no peer of this release sends. Each ends the connection at once, or after a silence.
func hostile() map[string][]byte {
	half := frame{kind: kindRequest, id: 1, path: "/x", total: 3 * chunk, body: make([]byte, chunk)}
	return map[string][]byte{
		"garbage":            []byte("GET / HTTP/1.1\r\nHost: n1\r\n\r\n"),
		"length of 4 GiB":    raw(kindRequest, 1<<32-1),
		"length beyond":      raw(kindPart, maxFrame),
		"length 0":           raw(kindPing, 0),
		"unknown kind":       raw(99, minLength),
		"part of nothing":    appendFrame(nil, &frame{kind: kindPart, id: 1, body: []byte("x")}),
		"half a frame":       raw(kindPart, 100),
		"half a length":      {0, 0},
		"half a body":        appendFrame(nil, &half),
		"a part of one byte": appendFrame(appendFrame(nil, &half), &frame{kind: kindPart, id: 1, body: []byte("x")}),
	}
}

// TestHostileCaller: whatever a caller sends, the answering end ends the connection and runs no handler.
func TestHostileCaller(t *testing.T) {
	all := hostile()
	all["an answer"] = response(1, "ok")
	long := frame{kind: kindRequest, id: 1, total: MaxBody + 1, body: make([]byte, chunk)}
	all["too long a body"] = appendFrame(nil, &long)
	for name, bytes := range all {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				done := make(chan error, 1)
				go func() {
					done <- Serve(t.Context(), far, func(context.Context, Request) Response {
						t.Error("a handler ran")
						return Response{}
					})
				}()
				go func() { _, _ = io.Copy(io.Discard, near) }()
				began := time.Now()
				_, _ = near.Write(bytes)
				err := <-done
				late := time.Since(began) >= serverQuiet+serverGrace
				if waits := strings.HasPrefix(name, "half") || name == "too long a body"; waits != late || err == nil ||
					waits != errors.Is(err, errSilent) || waits == errors.Is(err, errFrame) {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
				_ = near.Close()
			})
		})
	}
}

// TestCallTwice: a call whose id is in flight ends the connection. The handler that runs learns it.
func TestCallTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		done, left := make(chan error, 1), make(chan struct{})
		go func() {
			done <- Serve(t.Context(), far, func(ctx context.Context, _ Request) Response {
				<-ctx.Done()
				close(left)
				return Response{}
			})
		}()
		_, _ = near.Write(join(request(7, "/x", "a"), request(7, "/x", "b")))
		if err := <-done; !errors.Is(err, errFrame) {
			t.Error(err)
		}
		<-left
		_ = near.Close()
	})
}

// TestHostileServer: whatever an answering end sends, the caller gets no answer, and the connection ends.
func TestHostileServer(t *testing.T) {
	all := hostile()
	delete(all, "half a body")
	delete(all, "a part of one byte")
	all["an answer that nobody asked for"] = response(2, "ok")
	all["a request"] = request(1, "/x", "")
	half := frame{kind: kindResponse, id: 1, total: 2 * chunk, body: make([]byte, chunk)}
	all["half an answer"] = appendFrame(nil, &half)
	for name, bytes := range all {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				c := NewConn(near)
				defer c.Close()
				go func() {
					_, _ = nextFrame(far)
					_, _ = far.Write(bytes)
					_, _ = io.Copy(io.Discard, far)
				}()
				began := time.Now()
				resp, err := c.Call(t.Context(), Request{Path: "/x"})
				late := time.Since(began) == callerQuiet+callerGrace
				if waits := strings.HasPrefix(name, "half"); waits != late || err == nil || resp.Body != nil ||
					waits != errors.Is(err, errSilent) || waits == errors.Is(err, errFrame) {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
				<-c.ended
			})
		})
	}
}

// TestLateAnswers: a second answer, and one to a call that was given up, are ignored.
func TestLateAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := NewConn(near)
		defer c.Close()
		go func() {
			for id := uint64(1); ; id++ {
				f, err := nextFrame(far)
				for err == nil && f.kind == kindCancel {
					f, err = nextFrame(far)
				}
				if err != nil {
					return
				}
				if f.path == "/none" {
					continue
				}
				long := frame{kind: kindResponse, id: 1, total: chunk + 1, body: make([]byte, chunk)}
				_, _ = far.Write(join(response(f.id, "first"), response(f.id, "second"), response(1, "late"),
					appendFrame(nil, &long), appendFrame(nil, &frame{kind: kindPart, id: 1, body: []byte("x")})))
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Call(ctx, Request{Path: "/none"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		for range 3 {
			if resp, err := c.Call(t.Context(), Request{Path: "/x"}); err != nil || string(resp.Body) != "first" {
				t.Errorf("%q, %v", resp.Body, err)
			}
		}
	})
}

// TestAnswerBeforeTheRequest: a call that is answered before its request is written is over, and the request is not sent.
func TestAnswerBeforeTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := NewConn(near)
		defer c.Close()
		call := func(path string) chan error {
			failed := make(chan error, 1)
			go func() {
				_, err := c.Call(t.Context(), Request{Path: path, Body: []byte("body")})
				failed <- err
			}()
			synctest.Wait()
			return failed
		}
		first, second := call("/first"), call("/second") // the writer waits with the first one
		_, _ = far.Write(response(2, "early"))
		if err := <-second; err != nil {
			t.Error(err)
		}
		third := call("/third")
		for _, want := range []string{"/first", "/third"} {
			if f, err := nextFrame(far); err != nil || f.path != want {
				t.Errorf("call %d %s comes, want %s, %v", f.id, f.path, want, err)
			}
		}
		_, _ = far.Write(join(response(1, ""), response(3, "")))
		if err := errors.Join(<-first, <-third); err != nil {
			t.Error(err)
		}
	})
}

// TestBodiesOfHandlers: the bodies that a caller makes the answering end keep stay within MaxBody, however many handlers
// may run. The other calls go on when the handlers end.
func TestBodiesOfHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var held, most atomic.Int64
		release := make(chan struct{})
		c, end := piped(t, func(_ context.Context, req Request) Response {
			most.Store(max(most.Load(), held.Add(int64(len(req.Body)))))
			<-release
			held.Add(-int64(len(req.Body)))
			return Response{}
		})
		defer end()
		body := make([]byte, MaxBody/4)
		var calls sync.WaitGroup
		for range 6 {
			calls.Go(func() {
				if _, err := c.Call(t.Context(), Request{Path: "/x", Body: body}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(release)
		calls.Wait()
		if got := most.Load(); got > MaxBody {
			t.Errorf("%d bytes in bodies at a time", got)
		}
	})
}
