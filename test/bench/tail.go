package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/recount-ledger/recount/client"
)

// tailReaders is the number of live tails, a third of them at each node.
const tailReaders = 12

// runTail measures how long a submission takes to the readers of live tails: from its log time, which the leader takes before
// it commits, until a reader has decoded the row. 32 clients send 200 records a second meanwhile.
func runTail(ctx context.Context, o options) (err error) {
	b, err := newBench(ctx, o, "recount-tail-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.startCluster(ctx, b.bin, filepath.Join(b.tmp, "cluster")); err != nil {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	late := make([][]time.Duration, tailReaders)
	errs := make([]error, tailReaders)
	var readers sync.WaitGroup
	for i := range late {
		readers.Go(func() { late[i], errs[i] = b.readTail(reading, i%3) })
	}
	s, err := b.whileLive(ctx, func() error { wait(ctx, time.Duration(o.rounds)*o.span); return ctx.Err() })
	stop()
	readers.Wait()
	if err = errors.Join(err, first(errs)); err != nil {
		return err
	}
	var all []time.Duration
	for i, l := range late {
		if len(l) == 0 {
			return fmt.Errorf("reader %d has read nothing", i+1)
		}
		all = append(all, l...)
	}
	rows := sampleOf(all, s.seconds)
	fmt.Printf("bench-tail: readers=%d submissions=%d rows=%d submit_p99_ms=%.1f tail_p50_ms=%.1f tail_p99_ms=%.1f tail_max_ms=%.1f\n",
		tailReaders, s.records, rows.records, s.p99, rows.p50, rows.p99, all[len(all)-1].Seconds()*1e3)
	return nil
}

// readTail reads the live tail of a node until ctx ends.
func (b *bench) readTail(ctx context.Context, node int) (late []time.Duration, err error) {
	ca, err1 := os.ReadFile(filepath.Join(b.cluster.Dir, "ca.pem"))
	token, err2 := os.ReadFile(filepath.Join(b.cluster.Dir, "tokens", "operator.token"))
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	c, err := client.New(client.Config{Endpoints: b.cluster.API[node : node+1], CA: ca, Token: strings.TrimSpace(string(token))})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for row, err := range c.Tail(ctx, client.AuditQuery{}) {
		if ctx.Err() != nil {
			return late, nil
		}
		if err != nil {
			return nil, err
		}
		at, err := time.Parse(time.RFC3339Nano, row.LogTime)
		if err != nil {
			return nil, err
		}
		late = append(late, time.Since(at))
	}
	return late, nil
}
