package recount

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
)

// flips lists the submissions that have another outcome in generation number than in the one it is compared with.
func (r *testNode) flips(number uint32) (out []projections.Flip) {
	r.t.Helper()
	v := r.running(number).View()
	defer v.Close()
	r.must(projections.EachFlip(v, 1, r.seq, func(f *projections.Flip) bool {
		out = append(out, *f)
		return true
	}))
	return out
}

// reported waits until so many outcomes have reached the node. The last one is of the generation that serves.
func (r *testNode) reported(n int, serving uint32) {
	r.t.Helper()
	r.until("the outcomes", func() bool { return get(r.host, func() int { return len(r.host.folded) }) >= n })
	got := get(r.host, func() []projections.Result { return slices.Clone(r.host.folded) })
	if last := got[len(got)-1]; len(got) != n || last.Generation != serving {
		r.t.Errorf("%d outcomes were reported, want %d, the last one of generation %d", len(got), n, last.Generation)
	}
}

// TestPathOfARecount walks one node through building, comparing, activation, rollback and drop, and asks after
// every step what it serves, has on its disk and has recorded.
func TestPathOfARecount(t *testing.T) {
	r := newTestNode(t, 200)
	r.start()
	r.settled()
	r.reported(200, 1)
	if r.m.Serving().Number() != 1 || !slices.Equal(r.dirs(), []string{"1"}) {
		t.Fatalf("generation %d serves, %v are there", r.m.Serving().Number(), r.dirs())
	}

	r.generation(tight())
	r.settled()
	flips := r.flips(2)
	r.reported(200, 1)
	if len(flips) == 0 || r.m.Serving().Number() != 1 {
		t.Fatalf("building: %d flips, generation %d serves", len(flips), r.m.Serving().Number())
	}
	flipped := flips[0]
	if got := r.outcome(2, flipped.Seq); got != flipped.New.Outcome.String() || got == r.outcome(1, flipped.Seq) {
		t.Errorf("event %d is %s in 2 and %s in 1, the flip says %s", flipped.Seq, got, r.outcome(1, flipped.Seq),
			flipped.New.Outcome)
	}

	activated := r.activate(2, 1)
	r.settled()
	if r.m.Serving().Number() != 2 || r.m.Active() != 2 || r.m.Switching() {
		t.Fatalf("generation %d serves, %d is active", r.m.Serving().Number(), r.m.Active())
	}
	if !slices.Equal(r.dirs(), []string{"1", "2"}) {
		t.Errorf("the previous generation is gone: %v", r.dirs())
	}
	change, ok, err := r.m.Change(activated)
	if err != nil || !ok || change.Flips != uint64(len(flips)) || change.Digest != flips[len(flips)-1].Digest {
		t.Errorf("recorded %+v %v %v, want %d flips", change, ok, err, len(flips))
	}
	c, _ := published()
	r.submit(c.subs[200:220]...)
	r.settled()
	r.reported(220, 2)

	back := r.activate(1, 2)
	r.settled()
	if r.m.Serving().Number() != 1 || r.outcome(1, flipped.Seq) != flipped.Old.Outcome.String() {
		t.Errorf("after the way back generation %d serves", r.m.Serving().Number())
	}
	if change, ok, err := r.m.Change(back); err != nil || !ok || change.Flips < uint64(len(flips)) {
		t.Errorf("the way back: %+v %v %v", change, ok, err)
	}

	r.dropped(2)
	r.settled()
	if g, _ := r.m.Get(2); g != nil || !slices.Equal(r.dirs(), []string{"1"}) {
		t.Errorf("dropped, and %v are there", r.dirs())
	}
	if bad := r.host.bad(); bad != "" || r.m.Damages() != 0 {
		t.Errorf("%s, %d damages", bad, r.m.Damages())
	}
}

// TestGenerationsAreKeptWhileNeeded: at an activation the generation before the previous one is dropped, and not
// before what it changed is recorded.
func TestGenerationsAreKeptWhileNeeded(t *testing.T) {
	r := newTestNode(t, 60)
	same := verify.DefaultPolicy()
	r.generation(tight())
	first := r.activate(2, 1)
	r.generation(same)
	second := r.activate(3, 2)
	r.generation(tight())
	third := r.activate(4, 3)
	r.must(r.open())
	if got := r.m.neededByHistory(); !maps.Equal(got, map[uint32]bool{1: true, 2: true, 3: true, 4: true}) {
		t.Errorf("needed: %v", got)
	}
	if got := r.m.numbers(); len(got) != 4 {
		t.Errorf("open: %v, though 1 and 2 are needed for what activations changed", got)
	}
	r.run()
	t.Cleanup(r.stop)
	r.settled()
	if got := r.m.neededByHistory(); len(got) != 0 || !slices.Equal(r.dirs(), []string{"3", "4"}) {
		t.Errorf("needed: %v, there: %v", got, r.dirs())
	}
	for _, seq := range []uint64{first, second, third} {
		if c, ok, err := r.m.ReadChange(seq); err != nil || !ok || c.Flips == 0 || c.Seq != seq {
			t.Errorf("activation %d: %+v %v %v", seq, c, ok, err)
		}
	}
	if r.m.Serving().Number() != 4 {
		t.Errorf("generation %d serves", r.m.Serving().Number())
	}
}

// TestWhatTheFoldReports: forged signature facts and logged digests reach the node, of every generation that
// folds them, with its number.
func TestWhatTheFoldReports(t *testing.T) {
	r := newTestNode(t, 20)
	c, _ := published()
	forged := c.subs[40]
	forged.Facts.KeyID = c.keys[1].ID
	if c.subs[40].Facts.KeyID == forged.Facts.KeyID {
		forged.Facts.KeyID = c.keys[0].ID
	}
	r.submit(forged)
	bad := r.seq
	r.generation(tight())
	wrong := r.add(event.StateDigest, &event.StateDigestV1{Seq: 3, Generation: 1, Log: make([]byte, 32),
		State: make([]byte, 32), Control: make([]byte, 32)})
	r.start()
	r.settled()
	r.until("the mismatch in both generations", func() bool {
		got := get(r.host, func() map[uint32][]uint64 { return maps.Clone(r.host.mismatches) })
		return slices.Equal(got[1], []uint64{bad}) && slices.Equal(got[2], []uint64{bad})
	})
	root, err := r.derived.Root(bad)
	r.must(err)
	control, err := r.derived.ControlDigest(bad)
	r.must(err)
	v := r.running(1).View()
	state, err := projections.DigestAt(v, bad)
	r.must(err)
	v.Close()
	right := r.add(event.StateDigest, &event.StateDigestV1{Seq: bad, Generation: 1, Log: root[:], State: state[:],
		Control: control[:]})
	r.settled()
	r.until("a wrong and a right digest", func() bool {
		return maps.Equal(get(r.host, func() map[uint64]bool { return maps.Clone(r.host.digests) }),
			map[uint64]bool{wrong: false, right: true})
	})
}

// TestEachRow: the rows of all stores come in order, and a comparison leaves none in them.
func TestEachRow(t *testing.T) {
	r := newTestNode(t, 60)
	r.generation(tight())
	activated := r.activate(2, 1)
	r.start()
	r.settled()
	var stores []string
	r.must(r.m.EachRow(func(store string, _, _ []byte) { stores = append(stores, store) }))
	if got := slices.Compact(stores); !slices.Equal(got, []string{"generations/1", "generations/2", "history"}) {
		t.Errorf("stores: %v", got)
	}
	rows := r.rows()
	for k := range rows {
		if strings.HasPrefix(k, "generations/2 f") || strings.HasPrefix(k, "generations/1 F") {
			t.Errorf("a row of a comparison: %q", k)
		}
	}
	if c, _, err := r.m.Change(activated); err != nil || c.Flips == 0 {
		t.Errorf("nothing changed: %+v %v", c, err)
	}
}

// TestSizes: the figures of disk and memory are the sums of the open generations.
func TestSizes(t *testing.T) {
	r := newTestNode(t, 60)
	r.generation(tight())
	r.start()
	r.settled()
	one, two := r.running(1), r.running(2)
	if got := r.m.Unflushed(); got != one.Unflushed()+two.Unflushed() || got == 0 {
		t.Errorf("%d bytes in memory, of %d and %d", got, one.Unflushed(), two.Unflushed())
	}
	r.stop()
	r.start()
	r.settled()
	one, two = r.running(1), r.running(2)
	if got := r.m.DiskBytes(); got != one.DiskBytes()+two.DiskBytes() || one.DiskBytes() == 0 || two.DiskBytes() == 0 {
		t.Errorf("%d bytes on disk, of %d and %d", got, one.DiskBytes(), two.DiskBytes())
	}
	if r.m.HistoryBytes() == 0 {
		t.Error("history/ has no files")
	}
}
