package propose

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recount-ledger/recount/internal/event"
)

func TestFlushWhenIdle(t *testing.T) {
	bubble(t, 1, 1<<20, func(t *testing.T, w *world) {
		start := time.Now()
		submit(t.Context(), w.nodes[0].packer, "one").good(t, w)
		if d := time.Since(start); d != 0 {
			t.Errorf("an idle packer waited %v", d)
		}
		synctest.Wait()
		if queued, packs := w.nodes[0].packer.Stats(); queued != 0 || packs != 1 {
			t.Errorf("%d bytes queued, %d packs", queued, packs)
		}
		if p := w.entries()[0]; p.ProposedAt != 7 {
			t.Errorf("proposed at %d", p.ProposedAt)
		}
	})
}

func TestPackUnderLoad(t *testing.T) {
	bubble(t, 1, 1<<20, func(t *testing.T, w *world) {
		open := gate(w.nodes[0])
		calls := []*call{submit(t.Context(), w.nodes[0].packer, "first")}
		synctest.Wait()
		for i := range 20 {
			calls = append(calls, submit(t.Context(), w.nodes[0].packer, fmt.Sprint("later ", i)))
		}
		synctest.Wait()
		if _, packs := w.nodes[0].packer.Stats(); packs != 1 {
			t.Errorf("%d packs before the wait is over", packs)
		}
		<-time.After(minBeside)
		synctest.Wait()
		if _, packs := w.nodes[0].packer.Stats(); packs != 2 {
			t.Errorf("%d packs after it", packs)
		}
		open()
		for _, c := range calls {
			c.good(t, w)
		}
		if s := sizes(w); len(s) != 2 || s[0]+s[1] != 21 {
			t.Errorf("packs of %v events", s)
		}
	})
}

func TestLimits(t *testing.T) {
	for name, tc := range map[string]struct{ n, size, atOnce int }{
		"count": {n: 3 * maxPackEvents, size: event.SaltSize, atOnce: 3 * maxPackEvents},
		"bytes": {n: 15, size: 60 << 10, atOnce: 8},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, 8<<20, func(t *testing.T, w *world) {
				n := w.nodes[0]
				open := gate(n)
				first := submit(t.Context(), n.packer, "first")
				synctest.Wait()
				var wg sync.WaitGroup
				for range tc.n {
					wg.Go(func() {
						if _, _, err := n.packer.Submit(t.Context(), sized(tc.size)); err != nil {
							t.Error(err)
						}
					})
				}
				synctest.Wait()
				if _, packs := n.packer.Stats(); packs < 2 {
					t.Errorf("a full pack waits")
				}
				open()
				wg.Wait()
				first.good(t, w)
				total := 0
				for _, p := range w.entries() {
					bytes := 0
					for _, e := range p.Events {
						bytes += len(e.Payload)
					}
					if total += len(p.Events); len(p.Events) > maxPackEvents || bytes > maxPackBytes {
						t.Errorf("a pack of %d events and %d bytes", len(p.Events), bytes)
					}
				}
				if total != tc.n+1 {
					t.Errorf("%d events in the log", total)
				}
			})
		})
	}
}

func TestInFlightBound(t *testing.T) {
	bubble(t, 1, 1<<20, func(t *testing.T, w *world) {
		open := gate(w.nodes[0])
		var calls []*call
		for i := range maxInFlight + 3 {
			calls = append(calls, submit(t.Context(), w.nodes[0].packer, fmt.Sprint(i)))
			<-time.After(minBeside)
			synctest.Wait()
		}
		if _, packs := w.nodes[0].packer.Stats(); packs != maxInFlight {
			t.Errorf("%d packs in flight", packs)
		}
		open()
		for _, c := range calls {
			c.good(t, w)
		}
	})
}

func TestOperatorEventsAlone(t *testing.T) {
	bubble(t, 1, 1<<20, func(t *testing.T, w *world) {
		n := w.nodes[0]
		open := gate(n)
		calls := []*call{submit(t.Context(), n.packer, "first")}
		synctest.Wait()
		next := func(text string) {
			calls = append(calls, submit(t.Context(), n.packer, text))
			synctest.Wait()
		}
		next("a")
		next("b")
		operator := make(chan error, 1)
		go func() {
			ev := submission("key")
			ev.Kind = event.KeyAdded
			place, err := n.packer.SubmitAlone(t.Context(), ev)
			if err == nil && place.Offset != 0 {
				err = fmt.Errorf("at %+v", place)
			}
			operator <- err
		}()
		synctest.Wait()
		next("c")
		next("d")
		open()
		if err := <-operator; err != nil {
			t.Fatal(err)
		}
		for _, c := range calls {
			c.good(t, w)
		}
		for _, p := range w.entries() {
			for _, e := range p.Events {
				if e.Kind == event.KeyAdded && len(p.Events) != 1 {
					t.Errorf("an operator's event among %d", len(p.Events))
				}
			}
		}
		if s := sizes(w); len(s) != 4 {
			t.Errorf("packs of %v events", s)
		}
	})
}

func TestErrors(t *testing.T) {
	lost := func(context.Context) error { return errors.New("connection lost") }
	full := func(context.Context) error { return ErrOverloaded }
	for name, tc := range map[string]struct {
		leader int
		set    func(w *world)
		want   error
	}{
		"no leader":              {leader: -1, set: func(*world) {}, want: ErrNoLeader},
		"leader refuses":         {leader: 0, set: func(w *world) { w.nodes[1].set(nil, nil, full) }, want: ErrOverloaded},
		"lost on the way":        {leader: 0, set: func(w *world) { w.nodes[1].set(nil, nil, lost) }, want: ErrUnknown},
		"lost after commit":      {leader: 1, set: func(w *world) { w.nodes[1].set(nil, lost, nil) }, want: ErrUnknown},
		"stuck":                  {leader: 1, set: func(w *world) { gate(w.nodes[1]) }, want: ErrUnknown},
		"lost, then no leader":   {leader: 0, set: func(w *world) { w.nodes[1].set(nil, nil, lostThen(w, ErrNoLeader)) }, want: ErrUnknown},
		"lost, then overloaded":  {leader: 0, set: func(w *world) { w.nodes[1].set(nil, nil, lostThen(w, ErrOverloaded)) }, want: ErrUnknown},
		"the leader got no fate": {leader: 0, set: func(w *world) { w.nodes[0].set(nil, lost, nil) }, want: ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 2, 1<<20, func(t *testing.T, w *world) {
				w.elect(tc.leader)
				tc.set(w)
				start := time.Now()
				c := submit(t.Context(), w.nodes[1].packer, "x")
				<-c.done
				fails(t, c.err, tc.want)
				if d := time.Since(start); d > deadline {
					t.Errorf("answered after %v", d)
				}
				synctest.Wait()
				if queued, _ := w.nodes[1].packer.Stats(); queued != 0 {
					t.Errorf("%d bytes still count", queued)
				}
			})
		})
	}
}

func lostThen(w *world, err error) func(context.Context) error {
	var once sync.Once
	return func(context.Context) error {
		lost := false
		once.Do(func() { lost = true })
		if lost {
			return errors.New("connection lost")
		}
		return err
	}
}

func TestOutcomesFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		answers := [][]string{nil, {}}
		w.nodes[0].packer = New(Options[string]{Log: w.nodes[0], MaxQueue: 1 << 20, Deadline: deadline, Now: func() int64 { return 0 },
			Outcomes: func(context.Context, uint64) ([]string, error) {
				a := answers[0]
				answers = answers[1:]
				if a == nil {
					return nil, ErrNoLeader
				}
				return a, nil
			}})
		defer w.stop()
		for range 2 {
			c := submit(t.Context(), w.nodes[0].packer, "x")
			<-c.done
			fails(t, c.err, ErrUnknown)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	bubble(t, 1, 10_000, func(t *testing.T, w *world) {
		n := w.nodes[0]
		open := gate(n)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, _, err := n.packer.Submit(t.Context(), sized(1000)); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if queued, _ := n.packer.Stats(); queued != 10_000 {
			t.Errorf("%d bytes", queued)
		}
		_, _, err := n.packer.Submit(t.Context(), sized(event.SaltSize))
		fails(t, err, ErrOverloaded)
		open()
		wg.Wait()
		synctest.Wait()
		submit(t.Context(), n.packer, "room again").good(t, w)
	})
}
