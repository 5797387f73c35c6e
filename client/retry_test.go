package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// nodes is a client for endpoints that nobody asks: the tests below look at its choice alone.
func nodes(t *testing.T, balance Balance, n int) *Client {
	t.Helper()
	var urls []string
	for i := range n {
		urls = append(urls, fmt.Sprintf("https://node%d:9440", i+1))
	}
	return connect(t, Config{Endpoints: urls, Balance: balance})
}

// picks lists the numbers of the endpoints that the next n requests start at.
func picks(c *Client, n int) (out []int) {
	for range n {
		e, _ := c.pick()
		out = append(out, slices.Index(c.endpoints, e)+1)
	}
	return out
}

// TestPick: which endpoint a request starts at, and how long it waits when none is ready.
func TestPick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := nodes(t, RoundRobin, 3)
		if got := picks(c, 7); !slices.Equal(got, []int{1, 2, 3, 1, 2, 3, 1}) {
			t.Errorf("in turn: %v", got)
		}
		away := func(i int, d time.Duration) { c.endpoints[i-1].notBefore.Store(time.Now().Add(d).UnixNano()) }
		away(2, time.Second)
		if got := picks(c, 6); slices.Contains(got, 2) || !slices.Contains(got, 1) || !slices.Contains(got, 3) {
			t.Errorf("2 backs off: %v", got)
		}
		away(1, 3*time.Second)
		away(3, 2*time.Second)
		if e, wait := c.pick(); e != c.endpoints[1] || wait != time.Second {
			t.Errorf("all back off: %s in %s", e.url, wait)
		}
		time.Sleep(time.Second)
		if got := picks(c, 3); !slices.Equal(got, []int{2, 2, 2}) {
			t.Errorf("2 is ready again: %v", got)
		}
		one := c.At(2)
		if e, wait := one.pick(); e != c.endpoints[2] || wait != time.Second {
			t.Errorf("a client of node 3 alone: %s in %s", e.url, wait)
		}
		fixed := nodes(t, Failover, 3)
		if got := picks(fixed, 3); !slices.Equal(got, []int{1, 1, 1}) {
			t.Errorf("in order: %v", got)
		}
		fixed.endpoints[0].notBefore.Store(time.Now().Add(time.Minute).UnixNano())
		if got := picks(fixed, 3); !slices.Equal(got, []int{2, 2, 2}) {
			t.Errorf("without the first: %v", got)
		}
		if got := fixed.Endpoints(); len(got) != 3 || got[2] != "https://node3:9440" {
			t.Errorf("endpoints: %v", got)
		}
	})
}

// TestBackoff: an endpoint that fails again and again is left alone twice as long each time, up to the longest
// pause, or as long as it asks. A request that began before the endpoint failed counts nothing.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Config{Endpoints: []string{"https://a"}, MinBackoff: 100 * time.Millisecond, MaxBackoff: time.Second})
		e := c.endpoints[0]
		left := func() time.Duration { return time.Until(time.Unix(0, e.notBefore.Load())) }
		for i, longest := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
			longest *= time.Millisecond
			began := time.Now()
			if wait := c.note(&Error{}, e, nil, errors.New("refused"), false, began); wait != 0 {
				t.Errorf("failure %d: the call itself waits %s", i+1, wait)
			}
			if got := left(); got < longest/2 || got > longest {
				t.Errorf("failure %d: %s, want between half of %s and that", i+1, got, longest)
			}
			c.note(&Error{}, e, nil, errors.New("refused"), false, began) // began before the first one was known
			if got := e.fails.Load(); got != int32(i+1) {
				t.Errorf("two requests of one outage count %d failures, want %d", got, i+1)
			}
			time.Sleep(max(left(), 0))
		}
		asks := &Response{Status: 503, Header: http.Header{wire.HeaderRetryAfter: {"40"}}}
		failure := &Error{}
		c.note(failure, e, asks, nil, true, time.Now())
		if got := left(); got != 40*time.Second || failure.RetryAfter() != got || failure.MaySent {
			t.Errorf("asked for 40 s: %s, %+v", got, failure)
		}
		before := left()
		c.note(&Error{}, e, nil, errors.New("refused"), false, time.Now())
		if got := left(); got != before {
			t.Errorf("a shorter pause takes the place of a longer one: %s", got)
		}
		e.fails.Store(math.MaxInt32 - 5)
		time.Sleep(before)
		if c.note(&Error{}, e, nil, errors.New("refused"), false, time.Now()); left() < 500*time.Millisecond || left() > time.Second {
			t.Errorf("after very many failures: %s", left())
		}
	})
}

// TestFreezeHoldsNoEndpoint: the record that is frozen waits, and its endpoint stays good for others.
func TestFreezeHoldsNoEndpoint(t *testing.T) {
	c := nodes(t, RoundRobin, 1)
	for asked, want := range map[time.Duration]time.Duration{
		30 * time.Second: 30 * time.Second,
		0:                50 * time.Millisecond, // the shortest pause of the client
	} {
		p := wire.NewProblem(wire.CodeFrozen, "")
		if asked > 0 {
			p = p.WithRetry(asked)
		}
		r := &Response{Status: 503, Header: http.Header{}, Body: problemBody(t, p)}
		if got := c.note(&Error{}, c.endpoints[0], r, nil, true, time.Now()); got != want {
			t.Errorf("asked for %s: waits %s, want %s", asked, got, want)
		}
		if e := c.endpoints[0]; e.fails.Load() != 0 || e.notBefore.Load() != 0 {
			t.Errorf("the endpoint backs off: %d failures", e.fails.Load())
		}
	}
}

// TestMaySent: whether a submission may have been committed, by what the node or the proxy last said. Once it
// may have, it stays so.
func TestMaySent(t *testing.T) {
	c := nodes(t, RoundRobin, 1)
	for _, x := range []struct {
		name   string
		status int // 0: no response
		sent   bool
		want   bool
	}{
		{"not connected", 0, false, false},
		{"connection broke after the request had left", 0, true, true},
		{"no leader, nothing was proposed", 503, true, false},
		{"too many", 429, true, false},
		{"the node does not know", 504, true, true},
		{"a proxy lost its node", 502, true, true},
		{"a read", 504, false, false},
	} {
		var r *Response
		if x.status != 0 {
			r = &Response{Status: x.status, Header: http.Header{}}
		}
		failure := &Error{}
		c.note(failure, c.endpoints[0], r, errors.New("x"), x.sent, time.Now())
		if failure.MaySent != x.want {
			t.Errorf("%s: %v", x.name, failure.MaySent)
		}
		c.note(failure, c.endpoints[0], &Response{Status: 503, Header: http.Header{}}, nil, true, time.Now())
		if failure.MaySent != x.want {
			t.Errorf("%s, then unavailable: %v", x.name, failure.MaySent)
		}
	}
}

// TestRetryAfter reads every form in which a node or a proxy asks for patience. Nobody makes a client wait for more
// than an hour.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
		for _, c := range []struct {
			header string
			ms     int64
			want   time.Duration
		}{
			{"", 0, 0},
			{"0", 0, 0},
			{"7", 0, 7 * time.Second},
			{"7", 250, 250 * time.Millisecond}, // the more precise one
			{"7", -5, 7 * time.Second},
			{"", 3_600_001, time.Hour},
			{"", math.MaxInt64, time.Hour},
			{"3601", 0, time.Hour},
			{"2147483647", 0, time.Hour},
			{"99999999999999999999", 0, 0},
			{"-1", 0, 0},
			{"+1", 0, 0},
			{"1.5", 0, 0},
			{" 2", 0, 0},
			{"soon", 0, 0},
			{date(90 * time.Second), 0, 90 * time.Second},
			{date(-time.Minute), 0, 0},
			{date(3 * time.Hour), 0, time.Hour},
			{strings.TrimSuffix(date(time.Minute), "GMT"), 0, 0},
		} {
			r := &Response{Header: http.Header{wire.HeaderRetryAfter: {c.header}}}
			if got := retryAfter(r, &wire.Problem{RetryAfterMS: c.ms}); got != c.want {
				t.Errorf("%q and %d ms: %s, want %s", c.header, c.ms, got, c.want)
			}
		}
	})
}

// TestPause: a pause that would outlast the deadline is not begun, and the end of a context ends it.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bounded, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		ended, end := context.WithCancel(t.Context())
		soon, stop := context.WithCancel(t.Context())
		end()
		time.AfterFunc(3*time.Second, stop)
		for _, c := range []struct {
			name string
			ctx  context.Context
			d    time.Duration
			took time.Duration
			want error
		}{
			{"no bound", t.Context(), 5 * time.Second, 5 * time.Second, nil},
			{"nothing to wait for", t.Context(), 0, 0, nil},
			{"an endpoint that was ready long ago", t.Context(), -time.Hour, 0, nil},
			{"nothing to wait for, and over", ended, 0, 0, context.Canceled},
			{"over", ended, time.Second, 0, context.Canceled},
			{"ends in between", soon, time.Hour, 0, context.Canceled},
			{"within the deadline", bounded, 4 * time.Second, 4 * time.Second, nil},
			{"up to the deadline", bounded, time.Second, 0, context.DeadlineExceeded},
			{"beyond the deadline", bounded, time.Hour, 0, context.DeadlineExceeded},
		} {
			began := time.Now()
			err := pause(c.ctx, c.d)
			if got := time.Since(began); !errors.Is(err, c.want) || got != c.took {
				t.Errorf("%s: %v after %s, want %v after %s", c.name, err, got, c.want, c.took)
			}
		}
	})
}

// TestSlowCalls: a call that takes long is told again and again, with longer pauses, with the endpoint that it is
// at. Nothing is told once it is over, and nothing of a short one.
func TestSlowCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []Slow
		c := connect(t, Config{Endpoints: []string{"https://a", "https://b"}, SlowAfter: time.Second,
			Slow: func(s Slow) { told = append(told, s) }})
		asking, done := c.watch()
		time.Sleep(1500 * time.Millisecond) // no endpoint is asked yet
		asking(c.endpoints[1])
		time.Sleep(8 * time.Second) // 2 s and 4 s and 8 s after the beginning
		done()
		time.Sleep(time.Hour)
		want := []Slow{{"https://b", 2, 2, 2 * time.Second}, {"https://b", 2, 2, 4 * time.Second},
			{"https://b", 2, 2, 8 * time.Second}}
		if !slices.Equal(told, want) {
			t.Errorf("told %+v", told)
		}
		asking, done = c.watch()
		asking(c.endpoints[0])
		time.Sleep(999 * time.Millisecond)
		done()
		if time.Sleep(time.Hour); len(told) != len(want) {
			t.Errorf("a short call: %+v", told[len(want):])
		}
		asking, done = nodes(t, RoundRobin, 1).watch()
		asking(nil)
		done()
	})
}
