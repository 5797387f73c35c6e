package e2e

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/recount-ledger/recount/test/harness"
)

// roundRate bounds the records a second that the 32 clients of a round submit together. At full speed the ledger would grow
// by half during every rebuild.
const roundRate = 500

// TestRecountCrashes kills nodes while a generation is built, while it is compared, and right before and after it is activated,
// with 32 clients that submit. All nodes must switch or none, and agree. A witness, which is killed too, sees one growing
// ledger.
func TestRecountCrashes(t *testing.T) {
	records, rounds := 3_000, 1
	if full {
		records, rounds = atoi("RECOUNT_E2E_RECORDS", 100_000), atoi("RECOUNT_E2E_ROUNDS", 10)
	}
	w := newWitness(t)
	env := []string{"RECOUNT_ELECTION_TIMEOUT=1s", w.env()}
	c, ctx := start(t, 3, env...)
	ledger := filepath.Join(c.Dir, "ledger.pub")
	w.start(ledger)
	r := newRecount(t, ctx, c)
	r.env = env
	src, err := harness.NewSource(root)
	r.must(err)
	var made sync.Mutex
	next := func(shard string) []byte {
		made.Lock()
		defer made.Unlock()
		b, err := src.Next(shard)
		r.must(err)
		return b
	}
	began := time.Now()
	n := r.flow(ctx, next, int64(records), rate.Inf).Load()
	t.Logf("%d records in %.0f s", n, time.Since(began).Seconds())
	tight, plain := r.publish("params: {tol_d: \"0.01\"}\n"+everyProfile), r.publish("kernel: 1\n"+everyProfile)
	policy := plain
	for round := range rounds {
		live, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { r.flow(live, next, math.MaxInt64, roundRate) })
		policy = []string{tight, plain}[round%2]
		number := r.start(policy)
		for i := range 3 { // during the build and the comparison
			r.crash(i)
		}
		r.await(number)
		w.crash(ledger)
		r.crash((round) % 3) // right before
		r.activate(number)
		r.crash((round + 1) % 3) // right after
		stop()
		wg.Wait()
		r.must(c.AwaitReady(ctx, 0, 1, 2))
		r.sameGeneration(number)
		seen := w.follows(ctx, c, sameDigest(t, ctx, c).Seq)
		t.Logf("round %d: generation %d answers everywhere, and a witness cosigned %d events", round+1, number, seen)
	}
	r.resumeSame(policy)
	w.follows(ctx, c, sameDigest(t, ctx, c).Seq)
}

// resumeSame builds the active policy once more, kills every node meanwhile, and wants what is live, to the byte.
func (r *recount) resumeSame(policy string) {
	r.t.Helper()
	number := r.start(policy)
	for i := range r.c.API {
		r.crash(i)
	}
	g := r.await(number)
	if d := r.diff(number); d.Flips != 0 {
		r.t.Errorf("the same policy flips %+v", d)
	}
	for i, n := range g.Nodes {
		if d := digestAt(r.t, r.ctx, r.c, i, g.Position); d.State != n.StateAt || n.StateAt == "" {
			r.t.Errorf("%s: generation %d, built again, has digest %s at %d, the live one %s", n.Node, number, n.StateAt, g.Position, d.State)
		}
	}
	r.t.Logf("generation %d, built again over kills, equals the live one at %d", number, g.Position)
}

// atoi reads a number from the environment.
func atoi(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return otherwise
}

func (r *recount) crash(i int) {
	r.t.Helper()
	r.must(r.c.Kill(i))
	r.must(r.c.Restart(i, r.env...))
	r.must(r.c.AwaitReady(r.ctx, i))
}

// flow submits new records from 32 clients, so many a second, until limit are accepted or ctx ends. A good record is never
// refused.
func (r *recount) flow(ctx context.Context, next func(shard string) []byte, limit int64, perSecond rate.Limit) *atomic.Int64 {
	var done atomic.Int64
	var wg sync.WaitGroup
	client, pace := r.c.HTTP(32), rate.NewLimiter(perSecond, 32)
	client.Timeout = 5 * time.Second
	defer client.CloseIdleConnections()
	for w := range 32 {
		wg.Go(func() {
			for i := w; pace.Wait(ctx) == nil && done.Load() < limit; i++ {
				text := string(next(fmt.Sprintf("flow-%02d", w)))
				k := harness.Case{Body: &text}
				for ctx.Err() == nil {
					a, err := k.Send(ctx, client, r.c.API[i%len(r.c.API)])
					if err == nil && (a.Status == 200 || a.Status == 202) {
						done.Add(1)
						break
					}
					if err == nil && a.Status != 503 && a.Status != 504 {
						r.t.Errorf("a good record was answered %d: %s", a.Status, a.Raw)
						return
					}
					i++
				}
			}
		})
	}
	wg.Wait()
	return &done
}
