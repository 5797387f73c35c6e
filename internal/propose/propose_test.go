package propose

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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
		<-time.After(maxWait)
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
			<-time.After(maxWait)
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

func TestForward(t *testing.T) {
	bubble(t, 3, 1<<20, func(t *testing.T, w *world) {
		open := gate(w.nodes[0])
		calls := []*call{submit(t.Context(), w.nodes[0].packer, "own")}
		synctest.Wait()
		for i := range 10 {
			calls = append(calls, submit(t.Context(), w.nodes[1+i%2].packer, fmt.Sprint("forwarded ", i)))
		}
		synctest.Wait()
		<-time.After(2 * maxWait)
		open()
		for _, c := range calls {
			c.good(t, w)
		}
		if w.nodes[0].forwarded() != 0 || w.nodes[1].forwarded() == 0 || w.nodes[2].forwarded() == 0 {
			t.Error("who forwarded is wrong")
		}
	})
}

// TestForwardOnce: a pack that reaches a node which stops leading is refused, not sent on; its sender finds the new leader.
func TestForwardOnce(t *testing.T) {
	bubble(t, 3, 1<<20, func(t *testing.T, w *world) {
		old := w.nodes[0]
		old.set(func(context.Context) error {
			w.elect(2)
			return nil
		}, nil, nil)
		c := submit(t.Context(), w.nodes[1].packer, "wanderer")
		c.good(t, w)
		if n := old.forwarded(); n != 0 {
			t.Errorf("the old leader sent on %d packs", n)
		}
		if n := w.nodes[1].forwarded(); n < 2 {
			t.Errorf("%d forwards", n)
		}
		_, err := old.packer.Accept(t.Context(), event.Pack{Events: []event.Event{submission("x")}})
		fails(t, err, ErrNoLeader)
	})
}

// TestMixedPackLosesLeader: when a leader loses its place with a pack of its own and forwarded groups, its own go on and
// the forwarded ones go back.
func TestMixedPackLosesLeader(t *testing.T) {
	for name, tc := range map[string]struct {
		before, after error
		want          error
	}{
		"not proposed": {before: ErrNoLeader, want: ErrNoLeader},
		"unknown":      {after: errors.New("leadership lost"), want: ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 2, 1<<20, func(t *testing.T, w *world) {
				n := w.nodes[0]
				open := gate(n)
				first := submit(t.Context(), n.packer, "first")
				synctest.Wait()
				own := submit(t.Context(), n.packer, "own")
				foreign := make(chan error, 1)
				go func() {
					_, err := n.packer.Accept(t.Context(), event.Pack{Events: []event.Event{submission("foreign"), submission("too")}})
					foreign <- err
				}()
				synctest.Wait()
				step := func(err error) func(context.Context) error {
					return func(context.Context) error {
						if err != nil {
							w.elect(1)
						}
						return err
					}
				}
				n.set(step(tc.before), step(tc.after), nil)
				<-time.After(maxWait)
				fails(t, <-foreign, tc.want)
				n.set(nil, nil, nil)
				own.good(t, w)
				open()
				first.good(t, w)
			})
		})
	}
}

func TestRetryWithNewLeader(t *testing.T) {
	bubble(t, 2, 1<<20, func(t *testing.T, w *world) {
		w.elect(-1)
		c := submit(t.Context(), w.nodes[1].packer, "patient")
		synctest.Wait()
		start := time.Now()
		w.elect(0)
		c.good(t, w)
		if d := time.Since(start); d != 0 {
			t.Errorf("the new leader was noticed after %v", d)
		}
	})
}

// TestRetryAfterUnknown: a pack that may be in the log is sent again; the caller gets an outcome of the later entry.
func TestRetryAfterUnknown(t *testing.T) {
	bubble(t, 1, 1<<20, func(t *testing.T, w *world) {
		n := w.nodes[0]
		n.set(nil, func(context.Context) error {
			n.set(nil, nil, nil)
			return errors.New("leadership lost")
		}, nil)
		c := submit(t.Context(), n.packer, "twice")
		c.good(t, w)
		if len(w.entries()) != 2 || c.at.Index != 2 || !c.at.Resent {
			t.Errorf("%d entries, outcome at %+v", len(w.entries()), c.at)
		}
		once := submit(t.Context(), n.packer, "once")
		if once.good(t, w); once.at.Resent {
			t.Errorf("sent once: %+v", once.at)
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

// TestCallerLeaves: what no attempt has carried is taken back and never proposed; what may be in the log is unknown.
func TestCallerLeaves(t *testing.T) {
	bubble(t, 1, 1<<20, func(t *testing.T, w *world) {
		n := w.nodes[0]
		open := gate(n)
		ctx, cancel := context.WithCancel(t.Context())
		sent := submit(ctx, n.packer, "sent")
		synctest.Wait()
		waiting := submit(ctx, n.packer, "waiting")
		synctest.Wait()
		cancel()
		<-sent.done
		<-waiting.done
		fails(t, sent.err, ErrUnknown)
		fails(t, waiting.err, ErrOverloaded)
		open()
		synctest.Wait()
		<-time.After(maxWait)
		synctest.Wait()
		if s := sizes(w); !slices.Equal(s, []int{1}) {
			t.Errorf("packs of %v events", s)
		}
		if queued, _ := n.packer.Stats(); queued != 0 {
			t.Errorf("%d bytes still count", queued)
		}
		w.elect(-1)
		ctx, cancel = context.WithCancel(t.Context())
		idle := submit(ctx, n.packer, "idle")
		synctest.Wait()
		cancel()
		<-idle.done
		fails(t, idle.err, ErrNoLeader)
		w.elect(0)
		synctest.Wait()
		if len(w.entries()) != 1 {
			t.Error("a pack that was called not proposed was proposed")
		}
	})
}

func TestCloseWithWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		w.start(1 << 20)
		n := w.nodes[0]
		gate(n)
		sent := submit(t.Context(), n.packer, "sent")
		synctest.Wait()
		waiting := submit(t.Context(), n.packer, "waiting")
		synctest.Wait()
		w.stop()
		<-sent.done
		<-waiting.done
		fails(t, sent.err, ErrUnknown)
		fails(t, waiting.err, ErrClosed)
		late := submit(t.Context(), n.packer, "late")
		<-late.done
		fails(t, late.err, ErrClosed)
		if queued, _ := n.packer.Stats(); queued != 0 || len(w.entries()) != 0 {
			t.Errorf("%d bytes still count, %d entries", queued, len(w.entries()))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		w.elect(-1)
		w.start(1 << 20)
		c := submit(t.Context(), w.nodes[0].packer, "x")
		synctest.Wait()
		w.stop()
		<-c.done
		fails(t, c.err, ErrClosed)
	})
}

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

// TestHold: nothing is in flight when a hold begins; until its release submissions wait, and events alone leave.
func TestHold(t *testing.T) {
	bubble(t, 1, 1<<20, func(t *testing.T, w *world) {
		n := w.nodes[0]
		open := gate(n)
		before := submit(t.Context(), n.packer, "before")
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), deadline/10)
		defer cancel()
		if _, err := n.packer.Hold(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a hold while a pack is in flight: %v", err)
		}
		held := make(chan func(), 1)
		go func() {
			release, err := n.packer.Hold(t.Context())
			if err != nil {
				t.Error(err)
			}
			held <- release
		}()
		synctest.Wait()
		during := submit(t.Context(), n.packer, "during")
		open()
		release := <-held
		before.good(t, w)
		<-time.After(deadline)
		if len(w.entries()) != 1 {
			t.Errorf("%d entries under a hold", len(w.entries()))
		}
		ev := submission("act")
		ev.Kind = event.KeyAdded
		if place, err := n.packer.SubmitAlone(t.Context(), ev); err != nil || place.Index != 2 {
			t.Errorf("an event alone under a hold: %+v %v", place, err)
		}
		release()
		release()
		during.good(t, w)
		if during.at.Index != 3 {
			t.Errorf("held back to entry %d", during.at.Index)
		}
	})
}
