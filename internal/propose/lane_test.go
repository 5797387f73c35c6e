package propose

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recount-ledger/recount/internal/event"
)

// batch submits a group of n events and sends its error to the channel.
func batch(p *Packer[string], n int) chan error {
	done := make(chan error, 1)
	go func() {
		_, _, err := p.Submit(context.Background(), many("line", n)...)
		done <- err
	}()
	synctest.Wait()
	return done
}

// TestSinglesPassGroups: while groups hold all of their places in flight and more of them wait, on a follower and on the
// leader, single events of both nodes still reach the log at once. They have packs of their own, and all groups come too.
func TestSinglesPassGroups(t *testing.T) {
	bubble(t, 2, 8<<20, func(t *testing.T, w *world) {
		leader, follower := w.nodes[0], w.nodes[1]
		open := gate(leader)
		var groups []chan error
		for range 3 * maxInFlight {
			for _, n := range w.nodes {
				groups = append(groups, batch(n.packer, 300))
				<-time.After(2 * maxBeside)
			}
		}
		if got := leader.attempts(); !slices.Equal(got, []int{300, 300}) {
			t.Fatalf("packs before the singles: %v", got)
		}
		if got := follower.forwarded(); got != maxInFlight {
			t.Fatalf("%d packs forwarded", got)
		}
		own := submit(t.Context(), leader.packer, "own")
		<-time.After(maxBeside)
		foreign := []*call{submit(t.Context(), follower.packer, "a")}
		<-time.After(maxBeside)
		foreign = append(foreign, submit(t.Context(), follower.packer, "b"))
		<-time.After(maxBeside)
		synctest.Wait()
		if got := leader.attempts(); !slices.Equal(got, []int{300, 300, 1, 1}) { // both places of single events are taken then
			t.Errorf("packs with the singles: %v", got)
		}
		open()
		for _, c := range append(foreign, own) {
			c.good(t, w)
		}
		for _, done := range groups {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if got := sizes(w); len(got) != len(groups)+3 {
			t.Errorf("packs of %v events", got)
		}
	})
}

// TestLanes: what another node forwards is small by its size. Of the node's own groups only those of one event are.
func TestLanes(t *testing.T) {
	var p Packer[string]
	for name, c := range map[string]struct {
		events    []event.Event
		forwarded bool
		want      int
	}{
		"one event":               {many("a", 1), false, fewLane},
		"one large event":         {[]event.Event{sized(maxPackBytes)}, false, fewLane},
		"two events":              {many("a", 2), false, manyLane},
		"forwarded, one large":    {[]event.Event{sized(maxPackBytes)}, true, fewLane},
		"forwarded, small":        {many("a", smallEvents), true, fewLane},
		"forwarded, many events":  {many("a", smallEvents+1), true, manyLane},
		"forwarded, many bytes":   {[]event.Event{sized(smallBytes), sized(event.SaltSize)}, true, manyLane},
		"forwarded, just so many": {[]event.Event{sized(smallBytes / 2), sized(smallBytes / 2)}, true, fewLane},
	} {
		g := &group[string]{run: event.NewRun(c.events...), forwarded: c.forwarded}
		if got := p.laneOf(g); got != &p.lanes[c.want] {
			t.Errorf("%s: not in lane %d", name, c.want)
		}
	}
}

// TestForwardedSinglesStaySmall: however many singles wait on a follower, their packs are small, so that the leader takes them
// for what they are. The leader joins them to large packs.
func TestForwardedSinglesStaySmall(t *testing.T) {
	bubble(t, 2, 8<<20, func(t *testing.T, w *world) {
		open := gate(w.nodes[0])
		var calls []*call
		for i := range 5 * smallEvents {
			calls = append(calls, submit(t.Context(), w.nodes[1].packer, fmt.Sprint(i)))
		}
		synctest.Wait()
		<-time.After(2 * maxBeside)
		synctest.Wait()
		if got := w.nodes[0].attempts(); len(got) != 2 || max(got[0], got[1]) > smallEvents {
			t.Errorf("packs of %v events", got)
		}
		for i := range 3 * smallEvents {
			calls = append(calls, submit(t.Context(), w.nodes[0].packer, fmt.Sprint("own ", i)))
		}
		synctest.Wait()
		open()
		for _, c := range calls {
			c.good(t, w)
		}
		if most := slices.Max(w.nodes[0].attempts()); most <= smallEvents {
			t.Errorf("packs of the leader have %d events at most", most)
		}
	})
}

// oneByOne makes the commits of a node take d each, one after the other.
func oneByOne(n *fakeLog, d time.Duration) {
	turn := make(chan struct{}, 1)
	n.set(func(ctx context.Context) error {
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		<-time.After(d)
		<-turn
		return nil
	}, nil, nil)
}

// clients runs n clients on each node until the time is over. It returns what each request took.
func (w *world) clients(wg *sync.WaitGroup, n, events int, span time.Duration) func() []time.Duration {
	var mu sync.Mutex
	var took []time.Duration
	until := time.Now().Add(span)
	for _, node := range w.nodes {
		for range n {
			wg.Go(func() {
				for time.Now().Before(until) {
					start := time.Now()
					_, _, err := node.packer.Submit(context.Background(), many("x", events)...)
					mu.Lock()
					if took = append(took, time.Since(start)); err != nil {
						took = append(took, time.Hour)
					}
					mu.Unlock()
				}
			})
		}
	}
	return func() []time.Duration { return took }
}

// TestNeitherLaneStarves: singles and batches of three nodes together. A single waits for the packs in flight and for some
// of its own kind, whatever batches wait. The batches get about half of the packs, however many singles come.
func TestNeitherLaneStarves(t *testing.T) {
	const commit = 10 * time.Millisecond
	for name, c := range map[string]struct{ singles, batches int }{
		"few singles":  {1, 3},
		"few batches":  {60, 1},
		"many of both": {60, 6},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 3, 64<<20, func(t *testing.T, w *world) {
				oneByOne(w.nodes[0], commit)
				const span = 3 * time.Second
				var wg sync.WaitGroup
				singles := w.clients(&wg, c.singles, 1, span)
				batches := w.clients(&wg, c.batches, 300, span)
				wg.Wait()
				if worst := slices.Max(singles()); worst > 10*commit {
					t.Errorf("a single took %v", worst)
				}
				packs := 0
				for _, n := range sizes(w) {
					if n == 300 {
						packs++
					}
				}
				if all := len(w.entries()); packs != len(batches()) || packs < all/3 {
					t.Errorf("%d packs of batches among %d, %d batches answered", packs, all, len(batches()))
				}
			})
		})
	}
}
