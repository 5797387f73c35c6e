package propose

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recount-ledger/recount/internal/event"
)

// TestOutcomesMatch: under load, changes of leader and lost answers, an outcome is always that of the caller's own event,
// and an event that was called not proposed is not in the log.
func TestOutcomesMatch(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) { storm(t, seed) })
	}
}

func storm(t *testing.T, seed uint64) {
	w := newWorld(3)
	w.start(16 << 10)
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 1))
	draw := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(n)
	}
	flaky := func(ctx context.Context) error {
		select {
		case <-time.After(time.Duration(draw(3000)) * time.Microsecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		if draw(8) == 0 {
			return errors.New("lost")
		}
		return nil
	}
	for _, n := range w.nodes {
		n.set(flaky, flaky, flaky)
	}
	stop := make(chan struct{})
	var elections sync.WaitGroup
	elections.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(draw(40)) * time.Millisecond):
				w.elect(draw(4) - 1)
			}
		}
	})
	var callers sync.WaitGroup
	var counts sync.Map
	for i := range 60 {
		callers.Go(func() {
			for j := range 10 {
				c := submit(t.Context(), w.nodes[draw(3)].packer, fmt.Sprintf("%d/%d", i, j))
				<-c.done
				counts.Store(c.text, c)
			}
		})
	}
	callers.Wait()
	close(stop)
	elections.Wait()
	w.stop()
	checkStorm(t, w, &counts)
}

func checkStorm(t *testing.T, w *world, calls *sync.Map) {
	logged := map[string]bool{}
	for _, p := range w.entries() {
		for _, e := range p.Events {
			logged[string(e.Payload[event.SaltSize:])] = true
		}
	}
	good := 0
	calls.Range(func(_, v any) bool {
		c := v.(*call)
		switch {
		case c.err == nil:
			c.good(t, w)
			good++
		case errors.Is(c.err, ErrUnknown):
		case logged[c.text]:
			t.Errorf("%s is in the log and was answered %v", c.text, c.err)
		}
		return true
	})
	if good < 300 {
		t.Errorf("only %d of 600 got an outcome", good)
	}
}
