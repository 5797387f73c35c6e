package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// batchMost is the number of records per second that are signed in advance for batches.
const batchMost = 24000

// way is a way to send records: connections, and records in a request.
type way struct {
	name           string
	conns, records int
	samples        []sample
	used           usage
}

// runBatches compares batches with single submissions, on one cluster and in turn.
func runBatches(ctx context.Context, o options) (err error) {
	b, err := newBench(ctx, o, "recount-bench-batches-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.startCluster(ctx, b.bin, filepath.Join(b.tmp, "cluster")); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	ways := []*way{
		{name: "single", conns: 64},
		{name: "single", conns: 256},
		{name: "batches of 1", conns: 64, records: 1},
		{name: "batches of 64", conns: 64, records: 64},
		{name: "batches of 256", conns: 64, records: 256},
	}
	for i := range o.rounds {
		for _, w := range ways {
			if err := b.way(ctx, i, w); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
		if err := b.beside(ctx, i); err != nil {
			return err
		}
	}
	fmt.Println()
	single := median(ways[1].samples, sample.rate)
	for _, w := range ways {
		n, refused := 0.0, 0
		for _, s := range w.samples {
			n, refused = n+float64(s.records), refused+s.refused
		}
		fmt.Printf("%-14s %3d conns: %6.0f records/s, %.2f of single, p50 %.1f ms, p99 %.1f ms, %.2f CPU s per 10,000 records, "+
			"%.1f records per append, %d refused as overload\n", w.name, w.conns, median(w.samples, sample.rate), median(w.samples, sample.rate)/single,
			b.p50(w.samples), b.p99(w.samples), w.used.cpu/n*1e4, 3*n/w.used.appends, refused)
	}
	return nil
}

// requestsOf makes the requests for a time, and the target that takes them.
func (b *bench) requestsOf(w *way, span time.Duration) (*target, [][][]byte, error) {
	t := *b.nodesAt
	t.each = w.records
	if w.records == 0 {
		requests, err := b.src.Requests(w.conns, int(float64(b.most)*span.Seconds())/w.conns)
		return &t, requests, err
	}
	requests, err := b.src.Batches(w.conns, 1+int(batchMost*span.Seconds())/w.conns/w.records, w.records)
	return &t, requests, err
}

// way measures one way to send records.
func (b *bench) way(ctx context.Context, number int, w *way) error {
	t, requests, err := b.requestsOf(w, b.span)
	if err != nil {
		return err
	}
	got, used, err := b.settled(ctx, t, requests, b.span)
	if err != nil {
		return err
	}
	w.samples, w.used = append(w.samples, got), w.used.plus(used)
	printSample(number, w.name, w.conns, got)
	return nil
}

// beside measures 16 clients with single submissions while 16 others send batches.
func (b *bench) beside(ctx context.Context, number int) error {
	single, batches := &way{conns: 16}, &way{conns: 16, records: 256}
	at, requests, err := b.requestsOf(single, b.span)
	if err != nil {
		return err
	}
	many, load, err := b.requestsOf(batches, b.span)
	if err != nil {
		return err
	}
	type result struct {
		sample
		error
	}
	done := make(chan result, 1)
	go func() {
		s, err := many.cell(ctx, load, b.span, nil)
		done <- result{s, err}
	}()
	got, err := at.cell(ctx, requests, b.span, nil)
	other := <-done
	if err = errors.Join(err, other.error); err != nil {
		return err
	}
	printSample(number, "single beside batches", single.conns, got)
	printSample(number, "batches of 256", batches.conns, other.sample)
	return nil
}
