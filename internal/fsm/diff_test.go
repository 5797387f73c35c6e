package fsm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
)

// recounted is the published history, then two generations: 2 under the same policy, dropped again, and 3 with a tolerance
// of a hundredth. It is activated at the end when activate is set.
func recounted(t testing.TB, activate bool) []*raft.Log {
	t.Helper()
	b := &builder{logs: history(t, 20), term: 90}
	same, tight := verify.DefaultPolicy(), verify.DefaultPolicy()
	tight.Params.TolD = 10_000_000
	sameID, tightID := same.ID(), tight.ID()
	b.pack(message(t, event.PolicyPublished, &event.PolicyPublishedV1{Policy: tight.Canonical(), Source: []byte("x"), Op: &event.OpV1{}}))
	b.pack(message(t, event.GenerationStarted, &event.GenerationStartedV1{Policy: sameID[:], Op: &event.OpV1{}}))
	b.pack(message(t, event.GenerationDropped, &event.GenerationDroppedV1{Generation: 2, Op: &event.OpV1{}}))
	b.pack(message(t, event.GenerationStarted, &event.GenerationStartedV1{Policy: tightID[:], Op: &event.OpV1{}}))
	if activate {
		b.pack(message(t, event.GenerationActivated, &event.GenerationActivatedV1{Generation: 3, From: 1, Position: 1, Diff: make([]byte, 32), Op: &event.OpV1{}}))
	}
	return b.logs
}

// openSecond opens another generation of the machine.
func (m *machine) openSecond(number uint32) *Generation {
	m.t.Helper()
	g, err := OpenGeneration(m.fs, fmt.Sprintf("generations/%d", number), number, m.log, m.derived, published(m.t).held, Observer{}, m.batch, quiet)
	m.must(err)
	return g
}

func noRest(context.Context) error { return nil }

// compare folds generation number up to the end, stopping and opening it again after every stop-th entry, and compares it.
func (m *machine) compare(number uint32, stop uint64) (diff, state [32]byte, at projections.DiffPosition) {
	m.t.Helper()
	end := m.gen.Cursor().Index
	for to := min(stop, end); ; to = min(to+stop, end) {
		g := m.openSecond(number)
		g.readBytes = min(m.batch, int(stop)*100)
		m.must(catchUp(m.t.Context(), g, to))
		c, err := NewComparison(m.gen, g, m.derived)
		m.must(err)
		m.must(c.Run(m.t.Context(), g.Cursor().Seq, noRest))
		if to == end {
			diff, state, err = c.Digest(c.Seq())
			m.must(err)
			at = c.at
		}
		m.must(g.Close())
		if to == end {
			return diff, state, at
		}
	}
}

// TestComparison: the same flips and digests after any interruption; none under the same policy.
func TestComparison(t *testing.T) {
	logs := recounted(t, false)
	m := newMachine(t, vfs.NewMem(), 30_000)
	defer m.close()
	m.store(logs)
	m.run(uint64(len(logs)))
	_, state, at := m.compare(2, 1000)
	if live := m.state(); at.Flips != 0 || state != live.State {
		t.Errorf("the same policy gives %d flips, digest %x, live %x", at.Flips, state, live.State)
	}
	diff, state, at := m.compare(3, 1000)
	if at.Flips == 0 || at.Seq != m.gen.Cursor().Seq {
		t.Fatalf("%d flips up to %d", at.Flips, at.Seq)
	}
	m.must(m.gen.Close())
	m.must(m.derived.Close())
	m.must(m.fs.RemoveAll("generations/3"))
	m.must(m.openFolds())
	again, againState, againAt := m.compare(3, 7)
	if again != diff || againState != state || againAt != at {
		t.Errorf("in pieces: %x %x %+v, at once: %x %x %+v", again, againState, againAt, diff, state, at)
	}
}

// TestHistory: what changed at an activation is kept, found by pcs_id, and the same after opening again.
func TestHistory(t *testing.T) {
	logs := recounted(t, true)
	m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
	defer m.close()
	m.store(logs)
	m.run(uint64(len(logs)))
	activations := m.derived.Control().Activations()
	if len(activations) != 1 {
		t.Fatalf("%d activations", len(activations))
	}
	g := m.openSecond(3)
	m.must(catchUp(t.Context(), g, m.gen.Cursor().Index))
	c, err := NewComparison(m.gen, g, m.derived)
	m.must(err)
	m.must(c.Run(t.Context(), activations[0].Seq, noRest))
	h, err := OpenHistory(m.fs, "history", quiet, nil)
	m.must(err)
	if _, ok, err := h.Change(activations[0].Seq); ok || err != nil {
		t.Fatal("something is recorded before it happened", err)
	}
	sum, err := h.Record(c, activations[0].Seq)
	m.must(err)
	if sum.Flips != c.at.Flips || sum.Digest != c.at.Digest || sum.Flips == 0 {
		t.Errorf("%+v, %+v", sum, c.at)
	}
	m.must(h.Close())
	h, err = OpenHistory(m.fs, "history", quiet, nil)
	m.must(err)
	defer h.Close()
	if again, ok, err := h.Change(activations[0].Seq); err != nil || !ok || again != sum {
		t.Errorf("%+v %v", again, err)
	}
	v := g.View()
	var ids []string
	m.must(projections.EachFlip(v, 1, activations[0].Seq, func(f *projections.Flip) bool { ids = append(ids, f.New.PCSID); return true }))
	m.must(v.Close())
	found, err := h.Of(ids[0], projections.Latest, 10)
	m.must(err)
	if len(found) == 0 || found[0].Activation != activations[0].Seq || found[0].Flip.New.PCSID != ids[0] {
		t.Errorf("%+v", found)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	for _, limit := range []int{1, 2, len(ids), len(ids) + 1} {
		if got, err := h.Complete("", limit); err != nil || !slices.Equal(got, ids[:min(limit, len(ids))]) {
			t.Errorf("%d ids: %v %v, want of %v", limit, got, err, ids)
		}
	}
	for prefix, want := range map[string]int{ids[0][:20]: 1, ids[len(ids)-1]: 1, "no": 0, strings.Repeat("0", 20): 0} {
		if got, err := h.Complete(prefix, 5); err != nil || len(got) != want {
			t.Errorf("%s: %v %v", prefix, got, err)
		}
	}
	m.must(g.Close())
	closed := g.View()
	if _, err := projections.DigestAt(closed, 5); !errors.Is(err, ErrDropped) {
		t.Errorf("rows of a closed generation: %v", err)
	}
	m.must(closed.Close())
	if _, _, err := c.Digest(c.Seq()); !errors.Is(err, ErrDropped) {
		t.Errorf("a comparison with a closed generation: %v", err)
	}
}

// TestCount: a generation that reads other events than the log has stops.
func TestCount(t *testing.T) {
	logs := recounted(t, false)
	m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
	defer m.close()
	m.store(logs)
	m.run(uint64(len(logs)))
	g := m.openSecond(3)
	defer g.Close()
	g.readBytes = 1
	m.must(catchUp(t.Context(), g, 10))
	cur := g.pos.get()
	cur.Index += 2 // two entries are passed over
	g.pos.set(cur)
	if err := catchUp(t.Context(), g, uint64(len(logs))); !errors.Is(err, ErrCount) {
		t.Errorf("a fold with a hole: %v", err)
	}
}
