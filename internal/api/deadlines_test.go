package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// TestDeadlinesAreShared: what begins in one grain has one context, and every context ends at the timeout after its
// first use or up to a grain earlier.
func TestDeadlinesAreShared(t *testing.T) {
	for name, c := range map[string]struct{ timeout, grain time.Duration }{
		"the default": {DefaultSubmitTimeout, 100 * time.Millisecond},
		"the longest": {25 * time.Second, 100 * time.Millisecond},
		"short":       {200 * time.Millisecond, 20 * time.Millisecond},
		"one tick":    {1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, seen := newDeadlines(c.timeout), map[context.Context]bool{}
				step := max(c.grain/7, 1)
				for range 70 {
					began := time.Now()
					ctx := d.at(began)
					seen[ctx] = true
					end, ok := ctx.Deadline()
					if wait := end.Sub(began); !ok || wait > c.timeout || wait < c.timeout-c.grain || ctx.Err() != nil {
						t.Fatalf("a wait of %v, %v", wait, ctx.Err())
					}
					time.Sleep(step)
				}
				if want := 70 * step / max(c.grain, 1); len(seen) > int(want)+1 {
					t.Errorf("%d contexts in %v", len(seen), 70*step)
				}
				time.Sleep(c.timeout)
				for ctx := range seen {
					if ctx.Err() != context.DeadlineExceeded {
						t.Errorf("after its deadline: %v", ctx.Err())
					}
				}
			})
		})
	}
}

// TestSubmitTimeout: a submission whose outcome does not come is answered by SubmitTimeout, and at most a grain
// earlier, whenever it came.
func TestSubmitTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestServer(t, nil)
		r.fake.hold = make(chan struct{})
		var waits []<-chan held
		for range 5 {
			waits = append(waits, r.hold(t.Context(), record("s", len(waits), nil)))
			time.Sleep(30 * time.Millisecond)
		}
		for i, done := range waits {
			h := <-done
			if h.took > DefaultSubmitTimeout || h.took < DefaultSubmitTimeout-maxGrain {
				t.Errorf("submission %d was answered after %v", i, h.took)
			}
			if p := decode[wire.Problem](t, h.ResponseRecorder, 504); p.Code != wire.CodeOutcomeUnknown {
				t.Errorf("submission %d: %+v", i, p)
			}
		}
	})
}

// TestClientThatHangsUp: the handler of a client that is gone waits for the outcome. Its record is committed, and is
// there when the client sends it again. Without an outcome the handler ends at the deadline.
func TestClientThatHangsUp(t *testing.T) {
	for name, c := range map[string]struct {
		comes  bool // the outcome, a second after the client has gone
		status int
		took   time.Duration
	}{
		"the outcome comes":         {true, http.StatusOK, time.Second},
		"the outcome does not come": {false, http.StatusGatewayTimeout, DefaultSubmitTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, body := newTestServer(t, nil), record("s", 1, nil)
				hold := make(chan struct{})
				r.fake.hold = hold
				ctx, hangUp := context.WithCancel(t.Context())
				done := r.hold(ctx, body)
				hangUp()
				synctest.Wait()
				select {
				case h := <-done:
					t.Fatalf("the wait ended with the client: %d", h.Code)
				default:
				}
				time.Sleep(time.Second)
				if c.comes {
					close(hold)
				}
				if h := <-done; h.Code != c.status || h.took != c.took {
					t.Errorf("%d after %v", h.Code, h.took)
				}
				r.fake.hold = nil
				if a := decode[wire.SubmitAnswer](t, r.post(body), 200); a.Replayed != c.comes || a.Seq != 1 {
					t.Errorf("sent again: %+v", a)
				}
			})
		})
	}
}

// held is the response to a submission that waited.
type held struct {
	*httptest.ResponseRecorder
	took time.Duration
}

// hold submits a record and returns when its handler waits.
func (r *testServer) hold(ctx context.Context, body string) <-chan held {
	done := make(chan held, 1)
	go func() {
		began, w := time.Now(), httptest.NewRecorder()
		req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/pcs/submit", strings.NewReader(body))
		req.Header.Set("Content-Type", wire.MediaJSON)
		r.handler.ServeHTTP(w, req)
		done <- held{w, time.Since(began)}
	}()
	synctest.Wait()
	return done
}
