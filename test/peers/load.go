package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// recordBytes is the size of a record, that of the records of Recount's benchmark.
const recordBytes = 700

// figures are the results of one order.
type figures struct {
	Records int     `json:"records"`
	Seconds float64 `json:"seconds"`
	P50     float64 `json:"p50"` // milliseconds
	P99     float64 `json:"p99"`
}

// run stores records on so many connections, one after another on each, for a while.
func run(s system, conns int, span time.Duration) (f figures, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), span+time.Minute)
	defer cancel()
	stores := make([]func(context.Context, []byte) error, conns)
	for i := range stores {
		store, done, err := s.connect(ctx, i)
		if err != nil {
			return f, fmt.Errorf("connection %d: %w", i, err)
		}
		defer done()
		if err := store(ctx, record(i, 0)); err != nil { // opens what is opened late
			return f, err
		}
		stores[i] = store
	}
	var stop atomic.Bool
	var clients sync.WaitGroup
	took, errs := make([][]time.Duration, conns), make([]error, conns)
	start := time.Now()
	timer := time.AfterFunc(span, func() { stop.Store(true) })
	defer timer.Stop()
	for i, store := range stores {
		clients.Go(func() {
			for n := 1; !stop.Load() && errs[i] == nil; n++ {
				body, began := record(i, n), time.Now()
				errs[i] = store(ctx, body)
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	clients.Wait()
	seconds := time.Since(start).Seconds()
	if err := errors.Join(errs...); err != nil {
		return f, err
	}
	return summary(slices.Concat(took...), seconds), nil
}

func summary(all []time.Duration, seconds float64) figures {
	slices.Sort(all)
	at := func(q float64) float64 { return all[int(q*float64(len(all)-1))].Seconds() * 1e3 }
	return figures{Records: len(all), Seconds: seconds, P50: at(0.5), P99: at(0.99)}
}

// record makes a record that no other one equals.
func record(conn, n int) []byte {
	b := fmt.Appendf(make([]byte, 0, recordBytes), `{"shard_id":"bench-%03d","epoch":%d,"at":%d,"body":"`, conn, n, time.Now().UnixNano())
	for len(b) < recordBytes-2 {
		b = append(b, "0123456789abcdef"[(len(b)*7+n)%16])
	}
	return append(b, `"}`...)
}

// version returns the version of a system as it is linked here.
func version(name string) string {
	module := map[string]string{
		"etcd": "go.etcd.io/etcd/server/v3",
		"nats": "github.com/nats-io/nats-server/v2",
	}[name]
	info, _ := debug.ReadBuildInfo()
	if info == nil || module == "" {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version
		}
	}
	return ""
}
