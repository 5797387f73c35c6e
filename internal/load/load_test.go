package load

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// ledger is a fake ledger that takes a while for each record. What a sender sends arrives in order.
type ledger struct {
	mu     sync.Mutex
	took   func(n int) time.Duration // of record number n
	answer func(n int) Answer
	sent   []time.Duration // when, from the start
	shards map[string][]int64
	by     map[int]int // records of each sender
	start  time.Time
}

func newLedger(took time.Duration) *ledger {
	return &ledger{
		took:   func(int) time.Duration { return took },
		answer: func(int) Answer { return Answer{Outcome: Accepted} },
		shards: map[string][]int64{}, by: map[int]int{}, start: time.Now(),
	}
}

func (l *ledger) config(rate float64, senders int, duration time.Duration) Config {
	return Config{
		Rate: rate, Senders: senders, Shards: senders, Duration: duration, Prefix: "bench-x",
		Sign: func(shard string, epoch int64) ([]byte, error) { return fmt.Appendf(nil, "%s %d", shard, epoch), nil },
		Send: l.send,
	}
}

func (l *ledger) send(_ context.Context, sender int, record []byte) Answer {
	var shard string
	var epoch int64
	if _, err := fmt.Sscan(string(record), &shard, &epoch); err != nil {
		panic(err)
	}
	l.mu.Lock()
	n := len(l.sent)
	l.by[sender]++
	l.sent = append(l.sent, time.Since(l.start))
	l.shards[shard] = append(l.shards[shard], epoch)
	l.mu.Unlock()
	time.Sleep(l.took(n))
	return l.answer(n)
}

func mustRun(t *testing.T, ctx context.Context, cfg Config) *Report {
	t.Helper()
	r, err := Run(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// near reports whether a time in milliseconds is that of the histogram, which has three digits.
func near(got, want float64) bool { return got >= want*0.998 && got <= want*1.002 }

// TestOpenLoopKeepsItsRate: a record is sent every 10 ms, however long each one takes.
func TestOpenLoopKeepsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(35 * time.Millisecond)
		r := mustRun(t, t.Context(), l.config(100, 8, 10*time.Second))
		if len(l.sent) != 1000 || !r.OK() || r.Taken != 1000 || r.Sent != 1000 || r.Loop != "open" {
			t.Fatalf("%d records: %+v", len(l.sent), r)
		}
		for i, at := range l.sent {
			if want := time.Duration(i) * 10 * time.Millisecond; at != want {
				t.Fatalf("record %d left after %v, not %v", i, at, want)
			}
		}
		if len(l.by) != 5 || r.Shards != 5 {
			t.Errorf("four senders that wait and one more are enough: %v, shards %d", l.by, r.Shards)
		}
		q := r.Latency
		if !near(q.P50, 35) || !near(q.P999, 35) || !near(q.Max, 35) || !near(q.Mean, 35) || r.Waiting.Max != 0 {
			t.Errorf("%+v, waiting %+v", q, r.Waiting)
		}
		if r.Seconds != 10.025 || !near(r.PerSecond, 1000/10.025) {
			t.Errorf("%v s, %v/s", r.Seconds, r.PerSecond)
		}
	})
}

// TestStallIsMeasured: the records that become due during a stall wait, and the wait is part of their latency.
func TestStallIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(0)
		l.took = func(n int) time.Duration {
			if n == 100 {
				return time.Second // and the only sender waits
			}
			return time.Millisecond
		}
		r := mustRun(t, t.Context(), l.config(100, 1, 10*time.Second))
		if r.Taken != 1000 || !r.OK() {
			t.Fatalf("%+v", r)
		}
		// Some 110 records of 1,000 waited, for up to 990 ms. Measured from the sending, one would have.
		if q := r.Latency; !near(q.Max, 1000) || q.P99 < 800 || q.P90 < 50 || q.P90 > 150 || !near(q.P50, 1) {
			t.Errorf("%+v", q)
		}
		if w := r.Waiting; !near(w.Max, 990) || w.P50 != 0 || w.Count != 1000 {
			t.Errorf("waiting %+v", w)
		}
	})
}

// TestBehind: a ledger that takes less than the rate gets what is due for the time of grace, and the rest is counted.
func TestBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(100 * time.Millisecond) // ten a second
		cfg := l.config(20, 1, 10*time.Second)
		cfg.Grace = 5 * time.Second
		r := mustRun(t, t.Context(), cfg)
		if r.Sent != 150 || r.Unsent != 50 || r.OK() || r.Seconds != 15 || !near(r.PerSecond, 10) {
			t.Errorf("%+v", r)
		}
		if !near(r.Waiting.Max, 149*50) { // record 149 was due after 7.45 s and left after 14.9 s
			t.Errorf("%+v", r.Waiting)
		}
	})
}

// TestClosedLoop: each client sends its next record when it has the last answer, until the time is over.
func TestClosedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(30 * time.Millisecond)
		r := mustRun(t, t.Context(), l.config(0, 4, time.Second))
		if r.Loop != "closed" || r.Sent != 4*34 || !r.OK() || r.Unsent != 0 || !near(r.Latency.Max, 30) ||
			r.Seconds != 1.02 {
			t.Errorf("%+v", r)
		}
	})
}

// TestEpochsOfAShardRise: a shard gets one record at a time, and no sender keeps one for itself.
func TestEpochsOfAShardRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(25 * time.Millisecond)
		cfg := l.config(200, 8, 5*time.Second)
		cfg.Shards = 21
		r := mustRun(t, t.Context(), cfg)
		if r.Shards != len(l.shards) || r.Shards < 21-8 {
			t.Errorf("%d shards, %d in the report", len(l.shards), r.Shards)
		}
		for name, epochs := range l.shards {
			if !strings.HasPrefix(name, "bench-x-") {
				t.Errorf("shard %s", name)
			}
			for i, e := range epochs {
				if e != int64(i)+1 {
					t.Fatalf("%s: %v", name, epochs)
				}
			}
		}
	})
}

// TestInterrupted: what is under way gets its answer, nothing else is sent, and what would have become due is not missed.
func TestInterrupted(t *testing.T) {
	for _, rate := range []float64{0, 100} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			l := newLedger(30 * time.Millisecond)
			time.AfterFunc(2005*time.Millisecond, cancel)
			r := mustRun(t, ctx, l.config(rate, 4, time.Hour))
			if !r.Interrupted || !r.OK() || r.Sent != uint64(len(l.sent)) || r.Seconds < 2.005 || r.Seconds > 2.04 {
				t.Errorf("%+v", r)
			}
			if last := l.sent[len(l.sent)-1]; last > 2005*time.Millisecond {
				t.Errorf("sent after %v", last)
			}
			if rate > 0 && r.Sent != 201 {
				t.Errorf("%d sent", r.Sent)
			}
		})
	}
}

// TestInterruptedBehind: the records that were due before an interrupt and not sent are counted.
func TestInterruptedBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := newLedger(100 * time.Millisecond)
		time.AfterFunc(2050*time.Millisecond, cancel)
		r := mustRun(t, ctx, l.config(20, 1, time.Hour))
		if !r.Interrupted || r.OK() || r.Sent != 21 || r.Unsent != 41-21 {
			t.Errorf("%+v", r)
		}
	})
}

// TestCounts: every answer is counted under its outcome, and those that failed under their error, with times of their own.
func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(0)
		answers := []Answer{{Outcome: Accepted, Repeats: 2}, {Outcome: Escalated}, {Outcome: Refused, Error: "conflict", Text: "a conflict"},
			{Outcome: Unavailable, Error: "throttled"}, {Outcome: Unknown, Error: "network"}}
		l.answer = func(n int) Answer { return answers[n%len(answers)] }
		l.took = func(n int) time.Duration { return time.Duration(n%len(answers)+1) * time.Millisecond }
		r := mustRun(t, t.Context(), l.config(100, 1, 5*time.Second))
		if r.Taken != 200 || r.Failed != 300 || r.OK() || r.Repeats != 200 || len(r.Outcomes) != 5 || len(r.Errors) != 3 {
			t.Errorf("%+v", r)
		}
		if len(r.Examples) != 3 || r.Examples["conflict"] != "a conflict" {
			t.Errorf("%q", r.Examples)
		}
		for outcome, n := range r.Outcomes {
			if n != 100 {
				t.Errorf("%s: %d", outcome, n)
			}
		}
		for code, n := range r.Errors {
			if n != 100 {
				t.Errorf("%s: %d", code, n)
			}
		}
		if !near(r.Latency.Max, 2) || !near(r.Failures.Max, 5) || !near(r.Failures.P50, 4) {
			t.Errorf("%+v %+v", r.Latency, r.Failures)
		}
	})
}

// TestProgress comes once a second.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(time.Millisecond)
		cfg := l.config(100, 2, 4500*time.Millisecond)
		var all []Progress
		cfg.Progress = func(p Progress) { all = append(all, p) }
		mustRun(t, t.Context(), cfg)
		if len(all) != 4 {
			t.Fatalf("%+v", all)
		}
		if p := all[3]; p.Elapsed != 4*time.Second || p.Duration != cfg.Duration || p.Taken != 400 || !near(p.P99, 1) {
			t.Errorf("%+v", p)
		}
	})
}

// TestNoSignature: an error of the signer ends the test, and is its result.
func TestNoSignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(time.Millisecond)
		cfg := l.config(10, 4, time.Hour)
		broken := errors.New("broken")
		cfg.Sign = func(_ string, epoch int64) ([]byte, error) {
			if epoch == 5 {
				return nil, broken
			}
			return []byte("bench 1"), nil
		}
		if r, err := Run(t.Context(), cfg); !errors.Is(err, broken) {
			t.Errorf("%+v, %v", r, err)
		}
		if took := time.Since(l.start); took > time.Minute {
			t.Errorf("after %v", took)
		}
	})
}

// TestConfig: what makes no sense is refused.
func TestConfig(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"rate below zero":  func(c *Config) { c.Rate = -1 },
		"rate far too big": func(c *Config) { c.Rate = 1e7 },
		"no senders":       func(c *Config) { c.Senders = 0 },
		"no duration":      func(c *Config) { c.Duration = 0 },
		"too few shards":   func(c *Config) { c.Shards = 3 },
	} {
		cfg := newLedger(0).config(1, 4, time.Second)
		change(&cfg)
		if _, err := Run(t.Context(), cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPlanned counts the records whose due time lies in a span.
func TestPlanned(t *testing.T) {
	for _, x := range []struct {
		rate float64
		span time.Duration
		want int64
	}{
		{100, time.Second, 100}, {100, 0, 0}, {100, 1, 1}, {3, time.Second, 3}, {0.5, time.Second, 1},
		{0.5, 2 * time.Second, 1}, {0.5, 2*time.Second + 1, 2}, {7, time.Minute, 420}, {333, time.Second, 333},
	} {
		cfg := Config{Rate: x.rate}
		if got := cfg.Planned(x.span); got != x.want {
			t.Errorf("%v a second for %v: %d, want %d", x.rate, x.span, got, x.want)
		}
	}
}

// TestHistogram: three digits from a microsecond to an hour, and nothing beyond is lost.
func TestHistogram(t *testing.T) {
	h := newHistogram()
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	q := h.quantiles()
	if q.Count != 1000 || !near(q.P50, 500) || !near(q.P90, 900) || !near(q.P99, 990) || !near(q.P999, 999) || !near(q.Max, 1000) {
		t.Errorf("%+v", q)
	}
	h.add(-time.Second)
	h.add(2 * time.Hour)
	if q := h.quantiles(); q.Count != 1002 || !near(q.Max, 3.6e6) {
		t.Errorf("%+v", q)
	}
	if q := newHistogram().quantiles(); q != (Quantiles{}) {
		t.Errorf("an empty one: %+v", q)
	}
}
