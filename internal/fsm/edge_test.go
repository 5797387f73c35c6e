package fsm

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
)

// TestEdgeAfterReopen: the edge in memory has the root of the stored hashes, after every run and after opening again
// at any size, and the tree goes on as if it had never been closed.
func TestEdgeAfterReopen(t *testing.T) {
	logs := history(t, 3)
	n := uint64(len(logs))
	want := foldAll(t, logs, DefaultBatchBytes)
	rng := rand.New(rand.NewPCG(3, 5))
	m := newMachine(t, vfs.NewMem(), 10_000)
	defer func() { m.close() }()
	m.store(logs)
	check := func(when string) {
		t.Helper()
		size := m.derived.Cursor().Seq
		root, err := m.derived.Root(size)
		m.must(err)
		if m.derived.edge.Size() != size || m.derived.edge.Root() != root {
			t.Errorf("%s: %d leaves with root %x in memory, stored %d with %x", when, m.derived.edge.Size(),
				m.derived.edge.Root(), size, root)
		}
	}
	check("empty")
	for at := uint64(0); at < n; {
		at = min(n, at+1+rng.Uint64N(n/8))
		m.run(at)
		check("folded")
		m.close()
		m.open()
		check("opened again")
	}
	if got := m.state(); got != want {
		t.Errorf("%x, want %x", got, want)
	}
}

// damageRow changes a row of derived/, and opens it again.
func (m *machine) damageRow(key []byte, change func([]byte) []byte) error {
	m.t.Helper()
	v := m.derived.store.Snapshot()
	old, err := v.Get(key)
	m.must(errors.Join(err, v.Close()))
	if old == nil {
		m.t.Fatalf("there is no row %x", key)
	}
	tx := m.derived.store.begin(1)
	if changed := change(old); changed != nil {
		tx.Set(key, changed)
	} else {
		tx.Delete(key)
	}
	m.must(tx.commit())
	m.must(errors.Join(m.gen.Close(), m.derived.Close()))
	return m.openFolds()
}

// TestDamagedEdge: a stored hash at the edge of the tree that is not what it was is found when derived/ is opened, and
// the fold from the log is as it was before.
func TestDamagedEdge(t *testing.T) {
	logs := history(t, 100)
	flip := func(b []byte) []byte { b[len(b)/2] ^= 8; return b }
	gone := func([]byte) []byte { return nil }
	short := func(b []byte) []byte { return b[1:] }
	const size = 721 // two full tiles, 209 leaves in the third
	tile := func(level uint8, n uint64) []byte { return tileKey(log.Tile{Level: level, N: n}) }
	position := []byte{spacePosition}
	for name, c := range map[string]struct {
		key    []byte
		change func([]byte) []byte
	}{
		"a flipped leaf at the edge":   {tile(0, 2), flip},
		"a flipped leaf, the first":    {tile(0, 2), func(b []byte) []byte { b[0] ^= 1; return b }},
		"a flipped leaf, the last":     {tile(0, 2), func(b []byte) []byte { b[len(b)-1] ^= 1; return b }},
		"a flipped root of a tile":     {tile(1, 0), flip},
		"a missing tile of roots":      {tile(1, 0), gone},
		"a missing tile of leaves":     {tile(0, 2), gone},
		"a short tile":                 {tile(0, 2), short},
		"a short tile of roots":        {tile(1, 0), short},
		"a missing leaf, the last":     {tile(0, 2), func(b []byte) []byte { return b[:len(b)-32] }},
		"a leaf too many":              {tile(0, 2), func(b []byte) []byte { return append(b, b[:32]...) }},
		"an empty tile":                {tile(1, 0), func(b []byte) []byte { return b[:0] }},
		"another root in the position": {position, func(b []byte) []byte { b[41] ^= 1; return b }},
		"another seq in the position":  {position, func(b []byte) []byte { b[24]--; return b }},
		"a short position":             {position, func(b []byte) []byte { return b[:positionHead-1] }},
		"a missing place of the last":  {nil, gone},
		"a short place of the last":    {nil, short},
		"another entry of the last":    {nil, func(b []byte) []byte { b[7]--; return b }},
		"another offset of the last":   {nil, func(b []byte) []byte { b[7] -= 2; return b }},
		"an entry that does not exist": {nil, func(b []byte) []byte { b[7]++; return b }},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			m := newMachine(t, fs, DefaultBatchBytes)
			m.store(logs)
			m.run(uint64(len(logs)))
			want := m.state()
			if want.Seq != size {
				t.Fatalf("%d events", want.Seq)
			}
			if c.key == nil {
				_, offset, err := m.derived.Locate(size)
				m.must(err)
				c.key = seqKey(size - uint64(offset))
			}
			err := m.damageRow(c.key, c.change)
			if !errors.Is(err, ErrDamaged) && name != "a short position" || !Rebuildable(err) {
				t.Fatalf("opened with %v", err)
			}
			m.must(fs.RemoveAll("derived"))
			m.must(m.openFolds())
			defer m.close()
			m.must(m.derived.CatchUp(t.Context()))
			if got := m.state(); got != want {
				t.Errorf("folded again: %x, want %x", got, want)
			}
		})
	}
}

// TestOlderFormat: derived/ of another format is never read. It says so when it is opened, and comes back from the log.
func TestOlderFormat(t *testing.T) {
	logs := history(t, 100)
	for _, format := range []byte{0, 1, positionFormat + 1} {
		fs := vfs.NewMem()
		m := newMachine(t, fs, DefaultBatchBytes)
		m.store(logs)
		m.foldTo(uint64(len(logs)))
		want := m.state()
		err := m.damageRow([]byte{spacePosition}, func(b []byte) []byte { b[0] = format; return b[:41] })
		if !errors.Is(err, ErrFormat) || errors.Is(err, ErrDamaged) || !Rebuildable(err) {
			t.Errorf("format %d: opened with %v", format, err)
		}
		m.must(fs.RemoveAll("derived"))
		m.must(m.openFolds())
		m.must(m.derived.CatchUp(t.Context()))
		if got := m.state(); got != want {
			t.Errorf("folded again: %x, want %x", got, want)
		}
		m.close()
	}
}

// TestMissingTileIsDamage: who meets a tile that is short or not there marks derived/.
func TestMissingTileIsDamage(t *testing.T) {
	read := map[string]func(*Derived) error{
		"Root": func(d *Derived) error { _, err := d.Root(200); return err },
		"Edge": func(d *Derived) error { _, err := d.Edge(200); return err },
		"Leaf": func(d *Derived) error { _, err := d.Leaf(200); return err },
	}
	for name, read := range read {
		for _, left := range []int{0, 32 * 199} {
			m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
			logs := history(t, 100)
			m.store(logs)
			m.foldTo(uint64(len(logs)))
			m.must(m.damageRow(tileKey(log.Tile{}), func(b []byte) []byte { return b[:left] }))
			if err := read(m.derived); !errors.Is(err, ErrDamaged) || m.derived.Damage() == nil {
				t.Errorf("%s with %d bytes: %v, damage %v", name, left, err, m.derived.Damage())
			}
			m.close()
		}
	}
}

// TestWrongEvents: a generation refuses events that are not those of the log, whether derived/ still has their place
// in memory or reads it from the rows, on both sides of the boundary.
func TestWrongEvents(t *testing.T) {
	const held = 16
	m := newMachine(t, vfs.NewMem(), 20_000)
	defer m.close()
	m.derived.recent = newRecentPlaces(held)
	logs := history(t, 50) // larger batches than are held
	m.store(logs)
	m.run(uint64(len(logs)))
	last := m.derived.Cursor().Seq
	for seq, inMemory := range map[uint64]bool{1: false, last - held - 1: false, last - held: false,
		last - held + 1: true, last - 1: true, last: true} {
		if _, ok := m.derived.recent.find(seq); ok != inMemory {
			t.Errorf("event %d of %d: in memory %v, want %v", seq, last, ok, inMemory)
		}
		it, err := m.derived.Item(seq)
		m.must(err)
		m.must(m.gen.checkCount([]projections.Item{it}))
		for name, change := range map[string]func(*projections.Item){
			"entry":   func(it *projections.Item) { it.Index-- },
			"payload": func(it *projections.Item) { it.PayloadSHA[31] ^= 1 },
			"clock":   func(it *projections.Item) { it.RawTime++ },
			"kind":    func(it *projections.Item) { it.Kind++ },
			"number":  func(it *projections.Item) { it.Seq ^= 1 },
		} {
			wrong := it
			change(&wrong)
			want := ErrCount
			if wrong.Seq == 0 {
				want = ErrNoEvent
			}
			if err := m.gen.checkCount([]projections.Item{it, wrong}); !errors.Is(err, want) {
				t.Errorf("event %d with another %s: %v", seq, name, err)
			}
		}
	}
	for _, seq := range []uint64{0, last + 1, last + held} {
		if _, err := m.derived.placeOf(seq); !errors.Is(err, ErrNoEvent) {
			t.Errorf("event %d, which does not exist: %v", seq, err)
		}
	}
}

// TestPlacesAreCommitted: places of a batch whose rows are not written reach neither memory nor the edge.
func TestPlacesAreCommitted(t *testing.T) {
	logs := history(t, 30)
	m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
	defer m.close()
	m.store(logs)
	m.run(10)
	at, edge := m.derived.Cursor(), m.derived.edge.Root()
	m.log.CommittedTo(12)
	b, err := m.derived.read(t.Context(), at, 12)
	m.must(err)
	b.items[len(b.items)-1].Seq += 2 // the fold fails at the last event
	if err := m.derived.fold(t.Context(), b); !errors.Is(err, ErrCount) {
		t.Fatalf("a gap in the numbers: %v", err)
	}
	if _, ok := m.derived.recent.find(at.Seq + 1); ok || m.derived.edge.Root() != edge || m.derived.Cursor() != at {
		t.Errorf("in memory %v, root %x, want %x, at %+v", ok, m.derived.edge.Root(), edge, m.derived.Cursor())
	}
	m.must(catchUp(t.Context(), m.derived, 12))
	root, err := m.derived.Root(m.derived.Cursor().Seq)
	m.must(err)
	if p, ok := m.derived.recent.find(at.Seq + 1); !ok || p.index != 11 && p.index != 12 || m.derived.edge.Root() != root {
		t.Errorf("in memory %v %+v, root %x, want %x", ok, p, m.derived.edge.Root(), root)
	}
}

// TestShortPlaceIsDamage: who meets a place row that no fold writes marks derived/, not the store that is folding.
func TestShortPlaceIsDamage(t *testing.T) {
	for name, read := range map[string]func(*machine) error{
		"Locate":  func(m *machine) error { _, _, err := m.derived.Locate(1); return err },
		"SeqOf":   func(m *machine) error { _, err := m.derived.SeqOf(2); return err },
		"compare": func(m *machine) error { return m.gen.store.folded(m.gen.checkCount([]projections.Item{{Seq: 1}})) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
			defer m.close()
			m.store(history(t, 300))
			m.run(2)
			m.derived.recent = newRecentPlaces(placesHeld)
			tx := m.derived.store.begin(1)
			tx.Set(seqKey(1), []byte{1, 2, 3})
			m.must(tx.commit())
			if err := read(m); !errors.Is(err, ErrDamaged) || m.derived.Damage() == nil || m.gen.Damage() != nil {
				t.Errorf("%v, damage of derived/ %v, of the generation %v", err, m.derived.Damage(), m.gen.Damage())
			}
		})
	}
}
