package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// growthFirst is the size of the ledger at the first measurement.
const growthFirst = 10_000

// growthSteps are the sizes at which a ledger that grows to n records is measured: 10,000, 100,000 and so on, and n.
func growthSteps(n int) (steps []int) {
	for at := growthFirst; at < n; at *= 10 {
		steps = append(steps, at)
	}
	return append(steps, n)
}

// runGrowth fills a ledger up to n records. At each step it measures the cost of more records, memory, reads and restarts.
func runGrowth(ctx context.Context, o options, n int) (err error) {
	b, err := newBench(ctx, o, "recount-growth-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.startCluster(ctx, b.bin, filepath.Join(b.tmp, "cluster")); err != nil {
		return err
	}
	held := 0
	for _, size := range growthSteps(n) {
		sent, err := b.growthStep(ctx, held, max(0, size-held))
		if err != nil {
			return fmt.Errorf("at %d records: %w", max(size, held), err)
		}
		held += sent
	}
	return nil
}

// growthStep adds records to a ledger of so many, measures, and returns how many it has added in all.
func (b *bench) growthStep(ctx context.Context, held, more int) (sent int, err error) {
	first, err := settle(ctx, b.cluster, b.client)
	if err != nil {
		return 0, err
	}
	if more > 0 {
		if err := b.fill(ctx, more); err != nil {
			return 0, err
		}
	}
	held += more
	requests, err := b.src.Requests(fillShards, int(float64(b.most)*b.span.Seconds())/fillShards)
	if err != nil {
		return 0, err
	}
	var before usage
	s, err := b.nodesAt.cell(ctx, requests, b.span, func() (err error) {
		before, err = settle(ctx, b.cluster, b.client)
		return err
	})
	if err != nil {
		return 0, err
	}
	at, err := b.sizes(ctx, held+s.records)
	if err != nil {
		return 0, err
	}
	after, err := settle(ctx, b.cluster, b.client)
	if err != nil {
		return 0, err
	}
	used, n := after.minus(before), float64(s.records)
	fmt.Printf("\n%d records\n  %d connections: %.0f/s, p50 %.1f ms, p99 %.1f ms, %.2f CPU s for 10,000 records, "+
		"%.0f bytes written for a record on each node\n",
		held, fillShards, s.rate(), s.p50, s.p99, used.cpu/n*1e4, used.written/n/3)
	used, n = after.minus(first), n+float64(more)
	fmt.Printf("  since the size before, %.0f records: %.2f CPU s for 10,000 records, %.0f bytes written for a record on each node\n",
		n, used.cpu/n*1e4, used.written/n/3)
	printSizes(at)
	if err := b.printReads(ctx, held); err != nil {
		return 0, err
	}
	r, err := b.restart(ctx)
	if err != nil {
		return 0, fmt.Errorf("restart: %w", err)
	}
	r.print()
	return more + s.records, nil
}
