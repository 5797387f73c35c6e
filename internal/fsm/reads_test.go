package fsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
)

// folded is a machine that has folded logs.
func folded(t *testing.T, logs []*raft.Log) *machine {
	t.Helper()
	m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
	t.Cleanup(m.close)
	m.store(logs)
	m.run(uint64(len(logs)))
	return m
}

// TestSeqOfEveryEntry finds the first event of each entry, and no event in the others.
func TestSeqOfEveryEntry(t *testing.T) {
	logs := history(t, 50)
	m := folded(t, logs)
	next, without := uint64(1), 0
	for _, l := range logs {
		if l.Type != raft.LogCommand {
			if _, err := m.derived.SeqOf(l.Index); !errors.Is(err, ErrNoEvent) {
				t.Errorf("entry %d has no pack: %v", l.Index, err)
			}
			without++
			continue
		}
		pack, err := event.DecodePack(l.Data)
		m.must(err)
		if seq, err := m.derived.SeqOf(l.Index); err != nil || seq != next {
			t.Errorf("entry %d: event %d %v, want %d", l.Index, seq, err, next)
		}
		next += uint64(len(pack.Events))
	}
	if without < 2 || next != m.gen.Cursor().Seq+1 {
		t.Errorf("%d entries without a pack, %d events", without, next-1)
	}
	for _, index := range []uint64{0, uint64(len(logs)) + 1} {
		if _, err := m.derived.SeqOf(index); !errors.Is(err, ErrNoEvent) {
			t.Errorf("entry %d, which does not exist: %v", index, err)
		}
	}
}

// TestTermOpened names the node that opened the term of each event.
func TestTermOpened(t *testing.T) {
	c := published(t)
	b := &builder{logs: history(t, 1000)[:2]} // a configuration and the genesis, in term 1
	begin := func(node string) {
		b.pack(message(t, event.TermStart, &event.TermStartV1{Term: b.term + 1,
			Node: node}))
	}
	begin("n1")             // event 2
	b.pack(c.events[:3]...) // 3 to 5
	b.term++
	begin("n2") // 6
	b.pack(c.events[3:4]...)
	b.term += 2
	b.pack(c.events[4:6]...) // 8 and 9, of a term that nobody opened
	begin("n3")              // 10, too late for its term
	b.term++
	begin("n4") // 11
	m := folded(t, b.logs)
	// The genesis comes before the event that opens its term.
	for seq, want := range map[uint64]string{1: "", 2: "n1", 3: "n1", 5: "n1", 6: "n2", 7: "n2", 8: "", 9: "", 10: "", 11: "n4"} {
		if got, err := m.derived.TermOpened(seq); err != nil || got != want {
			t.Errorf("event %d: %q %v, want %q", seq, got, err, want)
		}
	}
	if _, err := m.derived.TermOpened(12); !errors.Is(err, ErrNoEvent) {
		t.Errorf("an event that does not exist: %v", err)
	}
}

// TestEdgeMakesTheRoot hashes the complete subtrees of many sizes to the root of the same size.
func TestEdgeMakesTheRoot(t *testing.T) {
	m := folded(t, history(t, 50))
	last := m.gen.Cursor().Seq
	for _, size := range []uint64{1, 2, 3, 4, 5, 7, 8, 9, 255, 256, 257, 511, 512, last - 1, last} {
		edge, err := m.derived.Edge(size)
		m.must(err)
		root := tlog.Hash(edge[len(edge)-1])
		for i := len(edge) - 2; i >= 0; i-- {
			root = tlog.NodeHash(edge[i], root)
		}
		if want, err := m.derived.Root(size); err != nil || want != [32]byte(root) {
			t.Errorf("%d events: %x %v, want %x", size, root, err, want)
		}
	}
	if edge, err := m.derived.Edge(0); err != nil || len(edge) != 0 {
		t.Errorf("the edge of no events: %x %v", edge, err)
	}
	if _, err := m.derived.Edge(last + 1); !errors.Is(err, ErrNoEvent) {
		t.Errorf("beyond the end: %v", err)
	}
	if _, err := m.derived.Leaf(last + 1); !errors.Is(err, ErrNoEvent) {
		t.Errorf("a leaf beyond the end: %v", err)
	}
}

// TestDigestsAt gives the digests of all three at any event, and an error beyond what is folded.
func TestDigestsAt(t *testing.T) {
	m := folded(t, recounted(t, false))
	last := m.gen.Cursor().Seq
	for _, seq := range []uint64{1, 2, 256, 300, last} {
		d, err := m.derived.DigestsAt(m.gen, seq)
		want := m.stateAt(seq, 0)
		if err != nil || d != (Digests{want.Root, want.State, want.Control}) {
			t.Errorf("event %d: %+v %v", seq, d, err)
		}
		if b := d.Bytes(); len(b) != 96 || !bytes.Equal(b[:32], d.Log[:]) || !bytes.Equal(b[32:64],
			d.State[:]) || !bytes.Equal(b[64:], d.Control[:]) {
			t.Errorf("event %d: %x", seq, b)
		}
	}
	if _, err := m.derived.DigestsAt(m.gen, last+1); err == nil {
		t.Error("digests of an event that is not folded")
	}
	seqs, err := m.derived.OperatorSeqs(1, 3)
	if err != nil || fmt.Sprint(seqs) != "[1 2 3]" {
		t.Errorf("%v %v", seqs, err)
	}
	if e, err := m.derived.Effect(event.Genesis, 1); err != nil || e != projections.Applied {
		t.Errorf("the genesis: %v %v", e, err)
	}
}

// TestDigestsInMemory: what is held of the last entries is what the rows have, for each event.
func TestDigestsInMemory(t *testing.T) {
	m := folded(t, recounted(t, false))
	last, held := m.gen.Cursor().Seq, 0
	v := m.gen.View()
	defer v.Close()
	for seq := uint64(1); seq <= last; seq++ {
		d, err := m.derived.DigestsAt(m.gen, seq)
		m.must(err)
		root, err := m.derived.Root(seq)
		m.must(err)
		state, err := projections.DigestAt(v, seq)
		m.must(err)
		control, err := m.derived.ControlDigest(seq)
		m.must(err)
		if d != (Digests{root, state, control}) {
			t.Errorf("event %d: %x, the rows have %x", seq, d, Digests{root, state, control})
		}
		_, inLog := m.derived.ends.find(seq)
		if _, ok := m.gen.ends.find(seq); ok && inLog {
			held++
		} else if seq == last {
			t.Error("the digests of the last event are not held")
		}
	}
	if held < endsOfBatch || uint64(held) == last {
		t.Errorf("%d of %d events are held", held, last)
	}
}

// TestIsNew: only an epoch above all that are known of a shard is new for certain.
func TestIsNew(t *testing.T) {
	m := folded(t, history(t, 50)[:1])
	note := func(shard string, epoch int64) { m.gen.noteEpoch(&projections.Result{ShardID: shard, MaxEpoch: epoch}) }
	note("a", 5)
	note("refused", -1)
	for _, c := range []struct {
		shard string
		epoch int64
		want  bool
	}{{"a", 4, false}, {"a", 5, false}, {"a", 6, true}, {"other", 6, false}, {"refused", 0, false}} {
		if got := m.gen.IsNew(c.shard, c.epoch); got != c.want {
			t.Errorf("shard %s, epoch %d: %v", c.shard, c.epoch, got)
		}
	}
	for i := range maxEpochShards - 1 {
		note(fmt.Sprint(i), 0)
	}
	note("a", 7) // known, so nothing has to go
	if m.gen.IsNew("a", 7) || !m.gen.IsNew("a", 8) || len(m.gen.maxEpoch) != maxEpochShards {
		t.Errorf("%d shards", len(m.gen.maxEpoch))
	}
	note("one more", 0)
	if len(m.gen.maxEpoch) != 1 || m.gen.IsNew("a", 8) {
		t.Errorf("%d shards beyond the bound", len(m.gen.maxEpoch))
	}
}

// TestComparisonStartsAgain: a comparison with another generation keeps no flip of the one before.
func TestComparisonStartsAgain(t *testing.T) {
	m := folded(t, recounted(t, false))
	g := m.openSecond(3)
	defer g.Close()
	m.must(catchUp(t.Context(), g, m.gen.Cursor().Index))
	c, err := NewComparison(m.gen, g, m.derived)
	m.must(err)
	m.must(c.Run(t.Context(), g.Cursor().Seq, noRest))
	first := c.at
	if again, err := NewComparison(m.gen, g, m.derived); err != nil || again.at != first ||
		again.Seq() != first.Seq || again.Old() != 1 {
		t.Errorf("resumed at %+v %v, want %+v", again.at, err, first)
	}
	rows := 0
	m.must(g.EachRow(func(k, _ []byte) bool {
		rows++
		if k[0] == 'f' || k[0] == 'F' {
			t.Errorf("row %x belongs to the comparison", k)
		}
		return true
	}))
	twin := m.openSecond(2) // under the policy of the first
	defer twin.Close()
	m.must(catchUp(t.Context(), twin, m.gen.Cursor().Index))
	other, err := NewComparison(twin, g, m.derived)
	m.must(err)
	flips := 0
	v := g.View()
	m.must(errors.Join(projections.EachFlip(v, 0, 1<<60,
		func(*projections.Flip) bool { flips++; return true }), v.Close()))
	if want := (projections.DiffPosition{Against: 2}); other.at != want || flips != 0 || rows == 0 {
		t.Errorf("starts at %+v with %d flips", other.at, flips)
	}
	m.must(other.Run(t.Context(), g.Cursor().Seq, noRest))
	if other.at.Flips != first.Flips || other.at.Digest != first.Digest {
		t.Errorf("%+v, against the other generation %+v", first, other.at)
	}
}

// TestComparisonFindsMissingFlips: no digest is given of flips that are not all there.
func TestComparisonFindsMissingFlips(t *testing.T) {
	for name, which := range map[string]int{"first": 0, "second": 1, "last": -1} {
		m := folded(t, recounted(t, false))
		g := m.openSecond(3)
		m.must(catchUp(t.Context(), g, m.gen.Cursor().Index))
		c, err := NewComparison(m.gen, g, m.derived)
		m.must(err)
		m.must(c.Run(t.Context(), g.Cursor().Seq, noRest))
		if _, _, err := c.Digest(c.Seq() + 1); !errors.Is(err, ErrNoEvent) {
			t.Errorf("beyond what is compared: %v", err)
		}
		var keys [][]byte
		v := g.View()
		lo, hi := projections.FlipRange()
		m.must(errors.Join(v.Scan(lo, hi, false, func(k, _ []byte) bool {
			keys = append(keys, bytes.Clone(k))
			return true
		}), v.Close()))
		tx := g.store.begin(0)
		tx.Delete(keys[(which+len(keys))%len(keys)])
		m.must(tx.commit())
		c, err = NewComparison(m.gen, g, m.derived)
		m.must(err)
		if _, _, err := c.Digest(c.Seq()); !errors.Is(err, projections.ErrCorrupt) {
			t.Errorf("without the %s flip: %v", name, err)
		}
		m.must(g.Close())
	}
}

// TestWaits return with what they wait for, or with the context.
func TestWaits(t *testing.T) {
	m := folded(t, history(t, 50))
	last := m.gen.Cursor().Seq
	done, cancel := context.WithCancel(t.Context())
	cancel()
	control, _ := m.derived.Control().Digest()
	for name, c := range map[string]struct {
		wait func(ctx context.Context) error
		ends bool
	}{
		"the last event": {func(ctx context.Context) error { return m.derived.WaitSeq(ctx, last) }, true},
		"the next event": {func(ctx context.Context) error { return m.derived.WaitSeq(ctx, last+1) }, false},
		"a changed control": {func(ctx context.Context) error {
			return m.derived.WaitControl(ctx,
				control-1)
		}, true},
		"an unchanged control": {func(ctx context.Context) error {
			return m.derived.WaitControl(ctx,
				control)
		}, false},
		"the generation's last": {func(ctx context.Context) error { return m.gen.WaitSeq(ctx, last) }, true},
		"the generation's next": {func(ctx context.Context) error { return m.gen.WaitSeq(ctx, last+1) }, false},
	} {
		if err := c.wait(done); c.ends && err != nil || !c.ends && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRebuildable: a folded state is deleted for its own faults only.
func TestRebuildable(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{projections.ErrCorrupt, true}, {errors.New("pebble: bad table"), true}, {fs.ErrNotExist, true},
		{syscall.ENOENT, true},
		{ErrAhead, false}, {log.ErrCorrupt, false}, {log.ErrGap, false}, {log.ErrFailed, false},
		{log.ErrClosed, false},
		{syscall.ENOSPC, false}, {syscall.EACCES, false}, {syscall.EIO, false},
	} {
		if got := Rebuildable(fmt.Errorf("open: %w", c.err)); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}
