package log

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// TestPromisesBesideWrites: answers of leaders, late ones too, arrive while the log appends, cuts stale suffixes and is
// read. Readers only ever see the committed entries, and no cut is refused.
func TestPromisesBesideWrites(t *testing.T) {
	for _, tail := range []int{0, 100} { // the second holds two entries or so in memory
		s, f := openMem(t, vfs.NewMem(), Options{TailBytes: tail})
		var mu sync.Mutex
		var truth []*raft.Log // committed
		ctx, stop := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for seed := range uint64(2) {
			wg.Go(func() { // leaders answer
				rng := rand.New(rand.NewPCG(seed, 2))
				for ctx.Err() == nil {
					mu.Lock()
					var l *raft.Log
					if n := len(truth); n > 0 {
						l = truth[n-1-rng.IntN(min(n, 8))]
					}
					mu.Unlock()
					if l != nil {
						s.CommittedAt(l.Index, l.Term)
					}
				}
			})
		}
		wg.Go(func() {
			next := uint64(1)
			for {
				if _, err := s.Wait(ctx, next-1); err != nil {
					return
				}
				var err error
				next, err = s.Read(next, 1<<20, func(e Entry) error {
					mu.Lock()
					defer mu.Unlock()
					if e.Index > uint64(len(truth)) || truth[e.Index-1].Term != e.Term {
						return errors.New("not committed")
					}
					return nil
				})
				if err != nil {
					t.Errorf("entry %d: %v", next, err)
					return
				}
			}
		})
		rng, term := rand.New(rand.NewPCG(1, 1)), uint64(1)
		for held := 0; held < 1500; {
			if rng.IntN(2) == 0 { // what a leader writes that loses its term
				n := 1 + rng.IntN(3)
				must(t, s.StoreLogs(entries(uint64(held)+1, n, term, 5)))
				term++
				more := entries(uint64(held)+1, 1+rng.IntN(5), term, 5)
				mu.Lock()
				truth = append(truth, more...)
				mu.Unlock()
				must(t, s.DeleteRange(uint64(held)+1, uint64(held+n)))
			} else {
				term++
				mu.Lock()
				truth = append(truth, entries(uint64(held)+1, 1+rng.IntN(5), term, 5)...)
				mu.Unlock()
			}
			for held < len(truth) {
				n := 1 + rng.IntN(len(truth)-held)
				must(t, s.StoreLogs(truth[held:held+n]))
				held += n
			}
			term++
		}
		stop()
		wg.Wait()
		if f.count() != 0 {
			t.Error(f.first())
		}
		must(t, s.Close())
	}
}
