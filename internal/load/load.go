// Package load sends signed records to a ledger at a constant rate, or as fast as some clients get answers, and
// measures how long the answers take.
//
// Two loops answer two questions:
//
//	open    Rate records a second become due, whether answers come or not: how long do agents wait at this rate?
//	closed  each of the senders sends its next record when it has the last answer: how much can the ledger take?
//
// In the open loop the latency of a record begins when the record is due, not when it is sent. While a ledger
// stalls, the records that become due wait, and their wait is measured. A generator that measures from the sending
// hides such stalls, because it sends nothing during them. This mistake is known as coordinated omission.
//
//	due      0 ms      10 ms     20 ms     30 ms
//	sent     0 ms                          30 ms, 31 ms, 32 ms     one client, and a stall of 30 ms
//	latency  30 ms     21 ms     12 ms     3 ms                    and not 30 ms once and 1 ms three times
//
// A number of senders share the work. In an open loop the one that was busy last sends the next record, so a low rate
// needs few senders, and few connections. Each record goes to the shard that has waited longest. A shard gets its next
// record when the last one is answered, so its epochs rise in the order of the log. Failed records are counted and not
// sent again, unless the caller's Send does so.
//
//	report, err := load.Run(ctx, load.Config{Rate: 200, Senders: 64, Duration: time.Minute, ...})
//
// The package refuses to decide where to send: the caller gives a function that signs and one that sends.
package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recount-ledger/recount/internal/pause"
)

// Config describes one load test. All fields but Rate and Progress are required.
type Config struct {
	Rate     float64       // records that become due in a second, or 0 for a closed loop
	Senders  int           // of a closed loop: the clients. With a rate: the most records under way at once
	Duration time.Duration // after it no record becomes due
	Grace    time.Duration // how long behind Duration records that are due are still sent
	Shards   int           // number of shards, at least one for each sender
	Prefix   string        // of the names of the shards

	Sign func(shard string, epoch int64) ([]byte, error)
	Send func(ctx context.Context, sender int, record []byte) Answer

	Progress func(Progress) // called each second, nil for nobody
}

// ErrConfig is wrapped by the error of a Config that makes no sense.
var ErrConfig = errors.New("load test")

func (c *Config) check() error {
	switch {
	case c.Rate < 0 || c.Rate > 1e6:
		return fmt.Errorf("%w: a rate of %v, not 0 to 1000000 records a second", ErrConfig, c.Rate)
	case c.Senders < 1:
		return fmt.Errorf("%w: %d senders, not one or more", ErrConfig, c.Senders)
	case c.Duration <= 0:
		return fmt.Errorf("%w: a duration of %v", ErrConfig, c.Duration)
	case c.Shards < c.Senders:
		return fmt.Errorf("%w: %d shards for %d senders; each needs one at a time", ErrConfig, c.Shards, c.Senders)
	}
	return nil
}

// Shard returns the name of a shard of the test.
func (c *Config) Shard(n int) string { return fmt.Sprintf("%s-%d", c.Prefix, n) }

// Planned returns how many records become due in a span of an open loop.
func (c *Config) Planned(span time.Duration) int64 {
	whole := int64(c.Rate * span.Seconds())
	if c.due(whole) < span {
		whole++
	}
	return whole
}

// due returns when record number i becomes due, from the start of an open loop.
func (c *Config) due(i int64) time.Duration {
	return time.Duration(math.Round(float64(i) / c.Rate * float64(time.Second)))
}

// run is one load test under way.
type run struct {
	Config
	start  time.Time
	turn   turn         // of an open loop: to wait for the next record that becomes due
	next   atomic.Int64 // number of that record
	shards chan shard   // those that wait for no answer
	used   atomic.Int64 // shards that got a record
	tally  *tally

	failed atomic.Pointer[error] // the first error of Sign
}

// shard is the number of a shard and the epoch of its last record.
type shard struct {
	number int
	epoch  int64
}

// Run sends records until the duration is over or ctx ends, then waits for the answers that are under way, and
// reports. An error means that nothing could be measured. Failed records are no error of Run.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &run{Config: cfg, start: time.Now(), tally: newTally(), shards: make(chan shard, cfg.Shards)}
	for n := range cfg.Shards {
		r.shards <- shard{number: n}
	}
	var senders, watch sync.WaitGroup
	for k := range cfg.Senders {
		senders.Go(func() { r.sender(ctx, k, cancel) })
	}
	over := make(chan struct{})
	if cfg.Progress != nil {
		watch.Go(func() { r.watch(over) })
	}
	stopped := make(chan time.Duration, 1) // when ctx ended
	forget := context.AfterFunc(ctx, func() { stopped <- time.Since(r.start) })
	senders.Wait()
	interrupted := !forget()
	close(over)
	watch.Wait()
	if err := r.failed.Load(); err != nil {
		return nil, *err
	}
	span := cfg.Duration
	if interrupted {
		span = min(span, <-stopped)
	}
	return r.report(span, interrupted && span < cfg.Duration), nil
}

// sender sends records one after the other.
func (r *run) sender(ctx context.Context, k int, stop func()) {
	for {
		to := <-r.shards // there are as many as senders
		to.epoch++
		body, err := r.Sign(r.Shard(to.number), to.epoch)
		if err != nil {
			r.failed.CompareAndSwap(nil, &err)
			stop()
			return
		}
		due, ok := r.await(ctx)
		if !ok {
			return
		}
		if to.epoch == 1 {
			r.used.Add(1)
		}
		sent := time.Now()
		answer := r.Send(context.WithoutCancel(ctx), k, body)
		r.tally.add(answer, sent.Sub(due), time.Since(due))
		r.shards <- to
	}
}

// await returns when the next record became due, and false if no other one is to be sent.
func (r *run) await(ctx context.Context) (due time.Time, ok bool) {
	if r.Rate == 0 {
		now := time.Now()
		return now, now.Sub(r.start) < r.Duration && ctx.Err() == nil
	}
	r.turn.take()
	defer r.turn.pass()
	if ctx.Err() != nil || time.Since(r.start) >= r.Duration+r.Grace {
		return due, false
	}
	after := r.due(r.next.Add(1) - 1)
	if due = r.start.Add(after); after >= r.Duration || pause.For(ctx, time.Until(due)) != nil {
		return due, false
	}
	return due, true
}

// turn belongs to one sender at a time. Of those that wait for it, the one that came last gets it next.
type turn struct {
	mu      sync.Mutex
	taken   bool
	waiting []chan struct{}
}

func (t *turn) take() {
	t.mu.Lock()
	if !t.taken {
		t.taken = true
		t.mu.Unlock()
		return
	}
	mine := make(chan struct{})
	t.waiting = append(t.waiting, mine)
	t.mu.Unlock()
	<-mine
}

func (t *turn) pass() {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := len(t.waiting) - 1
	if last < 0 {
		t.taken = false
		return
	}
	close(t.waiting[last])
	t.waiting = t.waiting[:last]
}
