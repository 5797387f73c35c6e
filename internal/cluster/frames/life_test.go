package frames

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestSlowReader: a peer that does not read costs each call its own deadline, and the connection in the end.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		c := NewConn(near)
		defer c.Close()
		var calls sync.WaitGroup
		for i := range 2 * queued { // more than wait in the queue
			calls.Go(func() {
				deadline := time.Duration(i+1) * 10 * time.Millisecond
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				defer cancel()
				began := time.Now()
				_, err := c.Call(ctx, Request{Path: "/x", Body: make([]byte, i*1000)})
				if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != deadline {
					t.Errorf("deadline %v: %v after %v", deadline, err, took)
				}
			})
		}
		began := time.Now()
		calls.Wait()
		<-c.ended
		if took := time.Since(began); took > writeTimeout {
			t.Errorf("the connection ended after %v", took)
		}
		if _, err := c.Call(t.Context(), Request{}); err == nil {
			t.Error("a call on a connection that has ended")
		}
	})
}

// TestSilence: while calls wait, a dead peer is noticed after 4 s, and a slow handler is no dead peer. Without calls a
// connection stays open.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, end := piped(t, func(_ context.Context, req Request) Response {
			if req.Path == "/slow" {
				time.Sleep(time.Minute)
			}
			return Response{}
		})
		defer end()
		for _, path := range []string{"/slow", "/fast"} {
			if _, err := c.Call(t.Context(), Request{Path: path}); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			time.Sleep(time.Hour) // of the bubble's clock
		}
		if _, err := c.Call(t.Context(), Request{}); err != nil {
			t.Errorf("after an idle hour: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		c := NewConn(near)
		defer c.Close()
		var kinds []byte
		go func() {
			for f, err := nextFrame(far); err == nil; f, err = nextFrame(far) {
				kinds = append(kinds, f.kind)
			}
		}()
		time.Sleep(time.Hour) // idle: nobody has to answer
		began := time.Now()
		if _, err := c.Call(t.Context(), Request{}); !errors.Is(err, errSilent) {
			t.Error(err)
		}
		if took := time.Since(began); took != callerQuiet+callerGrace {
			t.Errorf("noticed after %v", took)
		}
		if synctest.Wait(); string(kinds) != string([]byte{kindRequest, kindPing}) {
			t.Errorf("frames %v", kinds)
		}
	})
}

// TestCallerIsGone: the answering end notices it without any call.
func TestCallerIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		began := time.Now()
		go func() { _, _ = io.Copy(io.Discard, near) }()
		err := Serve(t.Context(), far, echo)
		if took := time.Since(began); !errors.Is(err, errSilent) || took != serverQuiet+serverGrace {
			t.Errorf("%v after %v", err, took)
		}
		_ = near.Close()
	})
}

// TestKilledConnections: all calls in flight fail when the connection dies, each once, and later ones connect again. No
// call runs twice.
func TestKilledConnections(t *testing.T) {
	var ran atomic.Int64
	dial, _ := listen(t, func(ctx context.Context, req Request) Response {
		ran.Add(1)
		return echo(ctx, req)
	})
	var mu sync.Mutex
	var last net.Conn
	var dials atomic.Int64
	c := NewCaller(func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		mu.Lock()
		defer mu.Unlock()
		last = conn
		dials.Add(1)
		return conn, err
	})
	defer c.Close()
	var calls sync.WaitGroup
	var made, failed atomic.Int64
	stop := make(chan struct{})
	for i := range 32 {
		calls.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				made.Add(1)
				if _, err := c.Call(t.Context(), Request{Path: "/x", Body: make([]byte, i*5000)}); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	for kills := 0; kills < 10; {
		before := made.Load()
		for made.Load() < before+50 {
			if _, err := c.Call(t.Context(), Request{}); err == nil {
				made.Add(1)
			}
		}
		mu.Lock()
		_ = last.Close()
		mu.Unlock()
		kills++
	}
	close(stop)
	calls.Wait()
	if failed.Load() == 0 || ran.Load() > made.Load()+failed.Load() || dials.Load() < 10 {
		t.Errorf("%d calls, %d failed, %d ran, %d connections", made.Load(), failed.Load(), ran.Load(), dials.Load())
	}
	if _, err := c.Call(t.Context(), Request{}); err != nil {
		if _, err = c.Call(t.Context(), Request{}); err != nil { // the first one may have met the dead connection
			t.Errorf("afterwards: %v", err)
		}
	}
}

// TestOneDial: calls that find no connection wait for the same dial, each until its own deadline, and a failure is not
// kept.
func TestOneDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int32
		down := errors.New("down")
		ended := make(chan struct{}, 1)
		c := NewCaller(func(ctx context.Context) (net.Conn, error) {
			time.Sleep(time.Second)
			if dials.Add(1) == 1 {
				return nil, down
			}
			near, far := net.Pipe()
			go func() { _ = Serve(context.Background(), far, echo); ended <- struct{}{} }()
			return near, nil
		})
		for round, want := range []error{down, nil} {
			var calls sync.WaitGroup
			for i := range 20 {
				calls.Go(func() {
					deadline, want := 2*time.Second, want
					if i%2 == 1 {
						deadline, want = 500*time.Millisecond, context.DeadlineExceeded
					}
					ctx, cancel := context.WithTimeout(t.Context(), deadline)
					defer cancel()
					if _, err := c.Call(ctx, Request{}); !errors.Is(err, want) {
						t.Errorf("round %d: %v, want %v", round, err, want)
					}
				})
			}
			calls.Wait()
		}
		if n := dials.Load(); n != 2 {
			t.Errorf("%d dials", n)
		}
		c.Close()
		<-ended
		if _, err := c.Call(t.Context(), Request{}); !errors.Is(err, errClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// TestCloseWhileDialling: Close ends the dial, and a connection that comes too late is closed.
func TestCloseWhileDialling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := NewCaller(func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return near, nil // all the same
		})
		failed := make(chan error, 1)
		go func() { _, err := c.Call(t.Context(), Request{}); failed <- err }()
		synctest.Wait()
		c.Close()
		if err := <-failed; !errors.Is(err, errClosed) {
			t.Error(err)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the connection is open: %v", err)
		}
	})
}

// TestRestartOfAPeer: when the peer ends, calls fail, and the first one after its return connects again.
func TestRestartOfAPeer(t *testing.T) {
	dial, stop := listen(t, echo)
	var mu sync.Mutex
	c := NewCaller(func(ctx context.Context) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		return dial(ctx)
	})
	defer c.Close()
	call := func() error { _, err := c.Call(t.Context(), Request{}); return err }
	if err := call(); err != nil {
		t.Fatal(err)
	}
	stop()
	for range 3 {
		if call() == nil {
			t.Error("a call without a peer")
		}
	}
	again, _ := listen(t, echo)
	mu.Lock()
	dial = again
	mu.Unlock()
	if err := call(); err != nil {
		t.Error(err)
	}
}
