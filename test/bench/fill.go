package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// The shape of a ledger that is filled.
const (
	fillShards  = 256 // shards that the records belong to
	fillSenders = 6   // connections that send batches, two for each node
	fillLines   = 256 // records in a batch
	fillWait    = time.Minute
)

// retryWait is the time before a batch that a node was too busy for is replaced by another one.
const retryWait = 100 * time.Millisecond

// progressEvery is the time between two lines about a ledger that is being filled.
const progressEvery = 10 * time.Second

// shardName names a shard. Single submissions on as many connections continue the shards of a filled ledger.
func shardName(i int) string { return fmt.Sprintf("bench-%03d", i) }

// filling is a ledger that is being filled. The senders sign their next batch when the last one is answered, so the memory
// does not depend on the number of records.
type filling struct {
	mu       sync.Mutex
	src      *harness.Source
	progress progress
	left     int // records that are in no batch
}

// take signs the next batch of a sender. It has at most lines records.
func (f *filling) take(shards *turns, lines int) (request []byte, records int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	records = min(lines, f.left)
	f.left -= records
	if records == 0 {
		return nil, 0, nil
	}
	request, err = f.src.Batch(shards.next(records))
	return request, records, err
}

// answered counts the records of a batch. Those that a node was too busy for are replaced by others.
func (f *filling) answered(accepted, refused int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left += refused
	f.progress.add(accepted, refused, time.Now())
}

// turns gives the shards of one sender in turn, so that no shard has records of two senders on their way.
type turns struct {
	shards []string
	at     int
}

// shardsOf returns the shards of a sender.
func shardsOf(sender int) *turns {
	t := &turns{}
	for i := sender; i < fillShards; i += fillSenders {
		t.shards = append(t.shards, shardName(i))
	}
	return t
}

func (t *turns) next(n int) (out []string) {
	for range n {
		out = append(out, t.shards[t.at%len(t.shards)])
		t.at++
	}
	return out
}

// fill sends n records in batches and returns when all of them are accepted and folded.
func (b *bench) fill(ctx context.Context, n int) error {
	if err := b.nodesAt.fill(ctx, b.src, n, os.Stderr); err != nil {
		return fmt.Errorf("fill the ledger: %w", err)
	}
	_, err := settle(ctx, b.cluster, b.client)
	return err
}

// fill sends n records in batches, prints how far it is, and returns when all of them are accepted.
func (t *target) fill(ctx context.Context, src *harness.Source, n int, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	links, err := t.open(ctx, make([][][]byte, fillSenders))
	if err != nil {
		return err
	}
	defer closeAll(links)
	defer context.AfterFunc(ctx, func() { closeAll(links) })()
	f := &filling{src: src, left: n, progress: newProgress(out, n, time.Now())}
	errs := make([]error, len(links))
	var senders sync.WaitGroup
	for i, l := range links {
		senders.Go(func() {
			if errs[i] = l.fill(ctx, f, shardsOf(i), t.want); errs[i] != nil {
				cancel() // the others would go on for hours
			}
		})
	}
	senders.Wait()
	if err := first(errs); err != nil {
		return err
	}
	f.progress.print(time.Now())
	return nil
}

// first returns the error that made the others stop.
func first(errs []error) (out error) {
	for _, err := range errs {
		if out == nil || err != nil && errors.Is(out, context.Canceled) {
			out = err
		}
	}
	return out
}

// fill sends batches until there are none left.
func (l *link) fill(ctx context.Context, f *filling, shards *turns, want []byte) error {
	for ctx.Err() == nil {
		request, records, err := f.take(shards, fillLines)
		if err != nil || records == 0 {
			return err
		}
		refused, err := l.batch(request, records, want)
		if err != nil {
			return errors.Join(ctx.Err(), err)
		}
		f.answered(records-refused, refused)
		if refused > 0 {
			wait(ctx, retryWait)
		}
	}
	return ctx.Err()
}

// overloaded is in the answer to each record that a node was too busy for.
var overloaded = []byte(`"code":"overloaded"`)

// batch sends one batch and returns the number of records that the node was too busy for. All others are accepted.
func (l *link) batch(request []byte, records int, want []byte) (refused int, err error) {
	if err := l.conn.SetDeadline(time.Now().Add(fillWait)); err != nil {
		return 0, err
	}
	status, err := l.exchange(request)
	if err != nil {
		return 0, err
	}
	refused = bytes.Count(l.body, overloaded)
	switch {
	case status == "503" && refused == 1:
		return records, nil
	case status != "200" || bytes.Count(l.body, want)+refused != records:
		return 0, fmt.Errorf("answer %s: %s", status, l.body)
	}
	return refused, nil
}

// wait returns after a time, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// progress prints now and then how far a ledger is filled.
type progress struct {
	to          io.Writer
	of          int // records in the end
	began, last time.Time
	before      int // records at the last line
	done        int
	refused     int
}

func newProgress(to io.Writer, of int, now time.Time) progress {
	return progress{to: to, of: of, began: now, last: now}
}

// add counts records, and prints a line if the last one is old.
func (p *progress) add(accepted, refused int, now time.Time) {
	p.done, p.refused = p.done+accepted, p.refused+refused
	if took := now.Sub(p.last); took >= progressEvery {
		rate := float64(p.done-p.before) / took.Seconds()
		left := time.Duration(float64(p.of-p.done) / max(rate, 1) * float64(time.Second))
		fmt.Fprintf(p.to, "  %d of %d records, %.0f records/s, %v left\n", p.done, p.of, rate, left.Round(time.Second))
		p.before, p.last = p.done, now
	}
}

// print prints the line at the end.
func (p *progress) print(now time.Time) {
	took := now.Sub(p.began)
	fmt.Fprintf(p.to, "  filled with %d records in %v, %.0f records/s, %d refused as overload and replaced\n", p.done,
		took.Round(100*time.Millisecond), float64(p.done)/max(took.Seconds(), 1e-3), p.refused)
}
