package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/test/harness"
)

// batcher is an agent with one shard, which sends it in batches to a node of its own first.
type batcher struct {
	shard  string
	client *client.Client
	bodies [][]byte
	seqs   []uint64 // by record, as it was answered
}

// newBatchers makes one for each node.
func newBatchers(t *testing.T, c *harness.Cluster) (out []*batcher) {
	t.Helper()
	ca, err := os.ReadFile(filepath.Join(c.Dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.API {
		cl, err := client.New(client.Config{
			Endpoints: append(append([]string(nil), c.API[i:]...), c.API[:i]...),
			CA:        ca,
			Balance:   client.Failover,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		out = append(out, &batcher{shard: fmt.Sprintf("batch-%d", i), client: cl})
	}
	return out
}

// send sends batches until going ends. Each record must be accepted as a new one, or as one whose answer was lost.
func (s *batcher) send(ctx, going context.Context, next func(shard string) []byte, acked *atomic.Int64) error {
	for going.Err() == nil {
		batch := make([][]byte, 32)
		for i := range batch {
			batch[i] = next(s.shard)
		}
		for _, o := range client.SubmitBatch(ctx, s.client, batch) {
			r, err := o.Result()
			if err != nil {
				return err
			}
			if !r.Accepted || len(s.seqs) > 0 && r.Seq <= s.seqs[len(s.seqs)-1] {
				return fmt.Errorf("epoch %d of %s: %+v, after seq %v", r.Epoch, s.shard, r.SubmitAnswer, s.seqs[max(0, len(s.seqs)-1):])
			}
			s.seqs = append(s.seqs, r.Seq)
		}
		s.bodies = append(s.bodies, batch...)
		acked.Add(int64(len(batch)))
	}
	return nil
}

// again sends all records once more to one node. Each must get its first answer.
func (s *batcher) again(ctx context.Context, node int) error {
	for i, o := range client.SubmitBatch(ctx, s.client.At(node), s.bodies) {
		r, err := o.Result()
		if err != nil || !r.Replayed || r.Seq != s.seqs[i] {
			return fmt.Errorf("record %d of %s was seq %d, now %+v: %w", i, s.shard, s.seqs[i], r, err)
		}
	}
	return nil
}

// TestBatchesOverKills sends batches to every node and kills the leader twice. No acknowledged record is lost, none has
// two answers, and no epoch overtakes another one.
func TestBatchesOverKills(t *testing.T) {
	c, ctx := start(t, 3, "RECOUNT_ELECTION_TIMEOUT=1s")
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	src, err := harness.NewSource(root)
	if err != nil {
		t.Fatal(err)
	}
	var made sync.Mutex
	next := func(shard string) []byte {
		made.Lock()
		defer made.Unlock()
		body, err := src.Next(shard)
		if err != nil {
			t.Error(err)
		}
		return body
	}
	var acked atomic.Int64
	going, stop := context.WithCancel(ctx)
	defer stop()
	all := newBatchers(t, c)
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() {
			if err := s.send(ctx, going, next, &acked); err != nil {
				t.Error(err)
				stop()
			}
		})
	}
	for range 2 {
		awaitCount(t, going, &acked, 300)
		leader := leaderOf(t, ctx, c)
		if err := c.Kill(leader); err != nil {
			t.Fatal(err)
		}
		awaitCount(t, going, &acked, 300)
		if err := c.Restart(leader); err != nil {
			t.Fatal(err)
		}
		if err := c.AwaitReady(ctx, leader); err != nil {
			t.Fatal(err)
		}
	}
	awaitCount(t, going, &acked, 300)
	stop()
	wg.Wait()
	for node := range c.API {
		for _, s := range all {
			if err := s.again(ctx, node); err != nil {
				t.Error(err)
			}
		}
	}
	sameDigest(t, ctx, c)
	t.Logf("%d records", acked.Load())
}

// awaitCount waits for n more records.
func awaitCount(t *testing.T, ctx context.Context, acked *atomic.Int64, n int64) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for want := acked.Load() + n; acked.Load() < want; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d records more, then nothing", acked.Load()+n-want)
		}
	}
}
