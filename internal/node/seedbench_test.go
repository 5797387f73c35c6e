package node_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
)

// live sends records at a steady rate and remembers how long each took.
type live struct {
	mu    sync.Mutex
	times []time.Duration
	stop  context.CancelFunc
	wg    sync.WaitGroup
}

// startLive runs 8 clients that send 25 records a second each, if they get their answers in time.
func startLive(b *testing.B, c *nodetest.Cluster, f *nodetest.Records, name string) *live {
	ctx, cancel := context.WithCancel(b.Context())
	l := &live{stop: cancel}
	cl := c.Client
	for agent := range 8 {
		l.wg.Go(func() {
			tick := time.NewTicker(40 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ctx.Err() == nil; i++ {
				body := f.Sign(nodetest.Record{Shard: fmt.Sprintf("%s-%d", name, agent), Epoch: int64(i), Root: "r"})
				began := time.Now()
				if _, err := cl.Submit(context.WithoutCancel(ctx), body); err != nil {
					b.Errorf("submit: %v", err)
				}
				l.mu.Lock()
				l.times = append(l.times, time.Since(began))
				l.mu.Unlock()
				<-tick.C
			}
		})
	}
	return l
}

// p99 ends the clients and returns the time within which 99 of 100 answers came.
func (l *live) p99() time.Duration {
	l.stop()
	l.wg.Wait()
	slices.Sort(l.times)
	return l.times[len(l.times)*99/100]
}

// fillLedger puts n records into the ledger, in batches.
func fillLedger(b *testing.B, c *nodetest.Cluster, f *nodetest.Records, n int) {
	var senders sync.WaitGroup
	for sender := range 4 {
		senders.Go(func() {
			for i := 0; i < n/4; i += 250 {
				var bodies [][]byte
				for k := range 250 {
					bodies = append(bodies, f.Sign(nodetest.Record{Shard: fmt.Sprintf("fill-%d", sender), Epoch: int64(i + k), Root: "r"}))
				}
				for _, o := range client.SubmitBatch(b.Context(), c.Client, bodies) {
					if _, err := o.Result(); err != nil {
						b.Errorf("fill: %v", err)
						return
					}
				}
			}
		})
	}
	senders.Wait()
}

// BenchmarkSeed lets one node join a ledger of EVENTS records (default 20,000) with a copy of the log, and another one with
// entries from Raft alone, while clients send records. It reports for both how long it took until the log was there and
// until the node was ready, and the p99 of the clients in both parts beside that of the same clients before. All nodes and
// clients share one process, so that what the new node folds takes processor time from the others.
func BenchmarkSeed(b *testing.B) {
	events, err := strconv.Atoi(os.Getenv("EVENTS"))
	if err != nil {
		events = 20_000
	}
	c := nodetest.Start(b, 3, func(cfg *node.Config) {
		cfg.SeedFrom = 1
		if cfg.NodeID == "replayed" {
			cfg.SeedFrom = -1
		}
	})
	f := nodetest.NewRecords(b)
	fillLedger(b, c, f, events)
	for b.Loop() {
		took := map[string]time.Duration{}
		for _, name := range []string{"seeded", "replayed"} {
			took[name] = joinUnderLoad(b, c, f, name)
		}
		b.ReportMetric(took["replayed"].Seconds()/took["seeded"].Seconds(), "replay/seed")
	}
}

// joinUnderLoad adds a node and returns how long it took until it had the log.
func joinUnderLoad(b *testing.B, c *nodetest.Cluster, f *nodetest.Records, name string) time.Duration {
	calm := startLive(b, c, f, "calm-"+name)
	<-time.After(10 * time.Second)
	before := calm.p99()
	i := c.Grow(name)
	id, peer := c.Place(i)
	last := c.Node(c.Leader()).LastEntry()
	busy := startLive(b, c, f, "busy-"+name)
	began := time.Now()
	c.Await("the new node", func() error { return c.Node(c.Leader()).Cluster().AddLearner(b.Context(), id, peer) })
	c.Await("the log", func() error {
		if _, err := os.Stat(filepath.Join(c.Dir(i), "events.seed", "ready")); err == nil {
			return nil
		}
		if at := c.Node(i).LastEntry(); at < last {
			return fmt.Errorf("entry %d of %d", at, last)
		}
		return nil
	})
	took, during := time.Since(began), busy.p99()
	folding := startLive(b, c, f, "fold-"+name)
	c.AwaitReady(i)
	ready, folded := time.Since(began), folding.p99()
	mb := float64(c.Node(i).LogBytes()) / 1e6
	b.Logf("%-9s %.1f MB on its disk, %d entries: there after %.2f s (%.1f MB/s), ready after %.2f s. p99 before %.1f ms, "+
		"until the log is there %.1f ms, until ready %.1f ms", name, mb, last, took.Seconds(), mb/took.Seconds(),
		ready.Seconds(), before.Seconds()*1e3, during.Seconds()*1e3, folded.Seconds()*1e3)
	c.Stop(i)
	return took
}
