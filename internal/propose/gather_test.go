package propose

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestDelay: how long a queue waits, by what is in flight, what waits and what packs are like.
func TestDelay(t *testing.T) {
	now := time.Unix(100, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	big := usual{events: 40, took: 8 * time.Millisecond} // gathers for maxGather
	for name, c := range map[string]struct {
		l    *lane[string]
		want time.Duration
	}{
		"one alone":            {&lane[string]{events: 1, oldest: now}, 0},
		"small packs":          {&lane[string]{events: 1, oldest: now, usual: usual{events: gatherLeast - 1}}, 0},
		"large packs":          {&lane[string]{events: 1, oldest: now, usual: big}, maxGather},
		"most of a large pack": {&lane[string]{events: 30, oldest: now, usual: big}, 0},
		"almost most of it":    {&lane[string]{events: 29, oldest: now, usual: big}, maxGather},
		"after a while":        {&lane[string]{events: 1, oldest: ago(400 * time.Microsecond), usual: big}, 600 * time.Microsecond},
		"freed a while ago": {&lane[string]{events: 1, oldest: ago(time.Second), free: ago(300 * time.Microsecond),
			usual: big}, 700 * time.Microsecond},
		"fast packs": {&lane[string]{events: 1, oldest: now, usual: usual{events: 40, took: 400 * time.Microsecond}},
			100 * time.Microsecond},
		"free for long": {&lane[string]{events: 1, oldest: now, free: ago(time.Second), usual: big}, maxGather},
		"beside one":    {&lane[string]{events: 300, oldest: ago(3 * time.Millisecond), inFlight: 1, usual: usual{events: 40, took: 6 * time.Millisecond}}, 6 * time.Millisecond},
		"beside, new":   {&lane[string]{events: 1, oldest: now, inFlight: 1}, minBeside},
		"beside a very slow one": {&lane[string]{events: 1, oldest: now, inFlight: 1,
			usual: usual{took: time.Hour}}, maxBeside},
		"full of events": {&lane[string]{events: maxPackEvents, oldest: now, inFlight: 1, usual: big}, 0},
		"full of bytes":  {&lane[string]{events: 2, waiting: maxPackBytes, oldest: now, inFlight: 1, usual: big}, 0},
	} {
		if got := c.l.delay(now); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestUsual: the averages reach what packs have become, in both directions.
func TestUsual(t *testing.T) {
	var u usual
	for range 40 {
		u.note(64, 9*time.Millisecond)
	}
	if u.events != 64 || u.took < 8*time.Millisecond || u.enough() != 48 {
		t.Errorf("after large packs: %+v, enough are %d", u, u.enough())
	}
	for range 10 {
		u.note(1, time.Millisecond)
	}
	if u.enough() != 1 || u.took > 2*time.Millisecond {
		t.Errorf("after small packs: %+v, enough are %d", u, u.enough())
	}
}

// slowly makes every commit of a node take d.
func slowly(n *fakeLog, d time.Duration) {
	n.set(func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, nil, nil)
}

// TestPacksAreFull: clients that each wait for their answer, think for a moment and send again share entries, most of
// them the same one.
func TestPacksAreFull(t *testing.T) {
	const clients, each = 64, 40
	bubble(t, 1, 8<<20, func(t *testing.T, w *world) {
		slowly(w.nodes[0], 5*time.Millisecond)
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() {
				for j := range each {
					<-time.After(time.Duration(i*7%11) * 80 * time.Microsecond)
					if _, _, err := w.nodes[0].packer.Submit(t.Context(), submission(fmt.Sprint(i, " ", j))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		// Without the wait for company the clients split into two halves that take turns: 32 in an entry.
		if packs := len(w.entries()); packs > clients*each/36 {
			t.Errorf("%d records in %d entries: %v", clients*each, packs, sizes(w))
		}
	})
}

// TestLoneClientNeverWaits: one client gets its answer after the time of the commit, also soon after a crowd.
func TestLoneClientNeverWaits(t *testing.T) {
	bubble(t, 1, 8<<20, func(t *testing.T, w *world) {
		slowly(w.nodes[0], 5*time.Millisecond)
		took := func() time.Duration {
			start := time.Now()
			submit(t.Context(), w.nodes[0].packer, "alone").good(t, w)
			synctest.Wait()
			return time.Since(start)
		}
		for range 20 {
			if d := took(); d != 5*time.Millisecond {
				t.Fatalf("a lone client waited %v", d)
			}
		}
		for range 10 {
			var crowd []*call
			for i := range 64 {
				crowd = append(crowd, submit(t.Context(), w.nodes[0].packer, fmt.Sprint(i)))
			}
			for _, c := range crowd {
				c.good(t, w)
			}
		}
		delayed := 0
		for range 20 {
			if took() > 5*time.Millisecond {
				delayed++
			}
		}
		if d := took(); d != 5*time.Millisecond || delayed > 10 {
			t.Errorf("after a crowd a lone client waited %d times, and still %v", delayed, d)
		}
	})
}

// TestLongWay: on a path that takes 40 ms two packs are in flight, so the second half of the clients does not wait
// for the first half to come back.
func TestLongWay(t *testing.T) {
	bubble(t, 1, 8<<20, func(t *testing.T, w *world) {
		slowly(w.nodes[0], 40*time.Millisecond)
		for range 20 {
			submit(t.Context(), w.nodes[0].packer, "before").good(t, w)
		}
		start := time.Now()
		first := submit(t.Context(), w.nodes[0].packer, "first")
		<-time.After(time.Millisecond)
		second := submit(t.Context(), w.nodes[0].packer, "second")
		first.good(t, w)
		second.good(t, w)
		if d := time.Since(start); d > time.Millisecond+maxBeside+40*time.Millisecond {
			t.Errorf("two records took %v", d)
		}
	})
}
