package propose

import (
	"fmt"
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
