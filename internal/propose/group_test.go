package propose

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recount-ledger/recount/internal/event"
)

// many makes n events with texts that begin with a name.
func many(name string, n int) []event.Event {
	out := make([]event.Event, n)
	for i := range out {
		out[i] = submission(fmt.Sprint(name, " ", i))
	}
	return out
}

// TestGroupStaysTogether: the events of a group are next to each other in one entry, whoever leads, and each has its own
// outcome.
func TestGroupStaysTogether(t *testing.T) {
	bubble(t, 2, 1<<20, func(t *testing.T, w *world) {
		open := gate(w.nodes[0])
		first := submit(t.Context(), w.nodes[0].packer, "first")
		synctest.Wait()
		type reply struct {
			out []string
			at  LogPosition
			err error
		}
		replies := map[string]chan reply{}
		for _, name := range []string{"a", "b", "c"} {
			replies[name] = make(chan reply, 1)
			node := w.nodes[strings.Index("abc", name)%2]
			go func() {
				out, at, err := node.packer.Submit(t.Context(), many(name, 200)...)
				replies[name] <- reply{out, at, err}
			}()
			synctest.Wait()
		}
		<-time.After(2 * maxBeside)
		open()
		first.good(t, w)
		for name, ch := range replies {
			r := <-ch
			if r.err != nil || len(r.out) != 200 {
				t.Fatalf("%s: %d outcomes, %v", name, len(r.out), r.err)
			}
			pack := w.entries()[r.at.Index-1]
			for i, out := range r.out {
				if want := fmt.Sprintf("%s %d@%d", name, i, r.at.Index); out != want {
					t.Errorf("%s, not %s", out, want)
				}
				if text := string(pack.Events[r.at.Offset+i].Payload[event.SaltSize:]); text != fmt.Sprint(name, " ", i) {
					t.Errorf("event %d of %s is %s", i, name, text)
				}
			}
		}
		if out, _, err := w.nodes[0].packer.Submit(t.Context()); len(out) != 0 || err != nil {
			t.Errorf("no event: %v %v", out, err)
		}
	})
}

// TestSinglesPassGroups: a pack takes the group that has waited longest, then the single events, then other groups. So
// neither waits for all of the others.
func TestSinglesPassGroups(t *testing.T) {
	bubble(t, 1, 1<<20, func(t *testing.T, w *world) {
		n := w.nodes[0]
		open := gate(n)
		first := submit(t.Context(), n.packer, "first")
		synctest.Wait()
		done := make(chan error, 8)
		group := func(name string, events int) {
			go func() {
				_, _, err := n.packer.Submit(context.Background(), many(name, events)...)
				done <- err
			}()
			synctest.Wait()
		}
		second := submit(t.Context(), n.packer, "second")
		synctest.Wait()
		<-time.After(2 * maxBeside) // both places are taken
		for _, name := range []string{"a", "b", "c"} {
			group(name, 200)
		}
		single := submit(t.Context(), n.packer, "single")
		synctest.Wait()
		group("d", 2)
		open()
		for range 4 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		first.good(t, w)
		second.good(t, w)
		single.good(t, w)
		var packs []string
		for _, p := range w.entries() {
			var names []string
			for _, e := range p.Events {
				name, _, _ := strings.Cut(string(e.Payload[event.SaltSize:]), " ")
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
			packs = append(packs, strings.Join(names, "+"))
		}
		if got := strings.Join(packs[2:], " "); got != "a+single+b c+d" { // the first two were in flight together
			t.Errorf("packs: %s", got)
		}
	})
}
