package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/projections"
)

// laidOut plays a fold: rows of all layouts, of events in order, in steps of any size, beside a model in memory.
type laidOut struct {
	t    *testing.T
	fs   vfs.FS
	s    *Store
	rng  *rand.Rand
	seq  uint64
	rows map[string]string
}

func (l *laidOut) open() {
	var err error
	if l.s, err = OpenStore(l.fs, "s", quiet, nil); err != nil {
		l.t.Fatal(err)
	}
	l.s.step.bounds = bounds{events: 100, bytes: 1 << 20, millis: 1 << 30}
}

// fold writes a batch of events, each with a row in a block, in lists, and a plain one.
func (l *laidOut) fold(events int) {
	l.t.Helper()
	for range events {
		l.seq++
		rows := [][2][]byte{
			{binary.BigEndian.AppendUint64([]byte{'r'}, l.seq), bytes.Repeat([]byte{byte(l.seq)}, 1+l.rng.IntN(50))},
			{binary.BigEndian.AppendUint64(fmt.Appendf(nil, "S%08d", l.rng.IntN(5)), l.seq), {}},
			{binary.BigEndian.AppendUint64(fmt.Appendf(nil, "K%08d", l.rng.IntN(2)), l.seq), {}},
			{binary.BigEndian.AppendUint64([]byte{'O', byte(l.rng.IntN(2))}, l.seq), {}},
			{fmt.Appendf(nil, "s%d", l.rng.IntN(9)), fmt.Append(nil, l.seq)},
		}
		if l.rng.IntN(9) == 0 {
			rows = append(rows, rows[1])
		}
		if l.rng.IntN(50) == 0 && l.seq > 40 { // no fold does so, but a block takes it
			rows = append(rows, [2][]byte{binary.BigEndian.AppendUint64([]byte{'r'}, l.seq-l.rng.Uint64N(40)), []byte("another")})
		}
		err := l.s.folding(func(tx *txn) error {
			for _, r := range rows {
				tx.Set(r[0], r[1])
				l.rows[string(r[0])] = string(r[1])
				if got, err := tx.Get(r[0]); err != nil || !bytes.Equal(got, r[1]) || got == nil {
					l.t.Fatalf("row %x in the step: %x, %v", r[0], got, err)
				}
			}
			return nil
		})
		if err != nil {
			l.t.Fatal(err)
		}
	}
	if err := errors.Join(l.s.seal(events, func(*txn) {}), l.s.settle(l.rng.IntN(2) == 0)); err != nil {
		l.t.Fatal(err)
	}
}

// key returns a bound of a range: a key that there may be, or a part of one, or none.
func (l *laidOut) key() []byte {
	keys := [][]byte{
		nil, {'r'}, {'S'}, {'L'}, {'r' + 1}, {'O', 1}, []byte("S00000003"),
		binary.BigEndian.AppendUint64([]byte{'r'}, l.rng.Uint64N(l.seq+2)),
		binary.BigEndian.AppendUint64(fmt.Appendf(nil, "S%08d", l.rng.IntN(6)), l.rng.Uint64N(l.seq+2)),
		binary.BigEndian.AppendUint64(fmt.Appendf(nil, "K%08d", l.rng.IntN(3)), l.rng.Uint64N(l.seq+2)),
		append(binary.BigEndian.AppendUint64([]byte{'O', byte(l.rng.IntN(3))}, l.rng.Uint64N(l.seq+2)), 0),
	}
	return keys[l.rng.IntN(len(keys))]
}

// read compares ranges and single rows with the model.
func (l *laidOut) read(v projections.Store) {
	l.t.Helper()
	keys := make([]string, 0, len(l.rows))
	for k := range l.rows {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for range 40 {
		lo, hi, reverse, limit := l.key(), l.key(), l.rng.IntN(2) == 0, 1+l.rng.IntN(60)
		if hi != nil && bytes.Compare(lo, hi) > 0 {
			lo, hi = hi, lo
		}
		var want, got []string
		for _, k := range keys {
			if k >= string(lo) && (hi == nil || k < string(hi)) {
				want = append(want, k+"="+l.rows[k])
			}
		}
		if reverse {
			slices.Reverse(want)
		}
		err := v.Scan(lo, hi, reverse, func(k, val []byte) bool {
			got = append(got, string(k)+"="+string(val))
			return len(got) < limit
		})
		if want = want[:min(len(want), limit)]; err != nil || !slices.Equal(got, want) {
			l.t.Fatalf("range %x to %x, backwards %v: %d rows, want %d, %v", lo, hi, reverse, len(got), len(want), err)
		}
		k := l.key()
		if len(k) == 0 {
			continue
		}
		val, err := v.Get(k)
		if want, ok := l.rows[string(k)]; err != nil || string(val) != want || ok != (val != nil) {
			l.t.Fatalf("row %x: %x, want %x, %v", k, val, want, err)
		}
	}
}

// TestLayouts: rows in blocks and lists are read as if each were stored by itself, in every range, in both directions, by
// folds and by readers, and after opening again.
func TestLayouts(t *testing.T) {
	for seed := range uint64(4) {
		l := &laidOut{t: t, fs: vfs.NewMem(), rng: rand.New(rand.NewPCG(seed, 1)), rows: map[string]string{}}
		l.open()
		for range 120 {
			l.fold([]int{0, 1, 1, 3, 40}[l.rng.IntN(5)])
			switch l.rng.IntN(6) {
			case 0:
				if err := l.s.Close(); err != nil {
					t.Fatal(err)
				}
				l.open()
			case 1, 2:
				v := l.s.Snapshot()
				l.read(v)
				v.Close()
			}
		}
		if err := l.s.folding(func(tx *txn) error { l.read(tx); return nil }); err != nil {
			t.Error(err)
		}
		if n, all := storedRows(t, l.s), len(l.rows); n > all/2 {
			t.Errorf("%d rows of Pebble for %d rows", n, all)
		}
		if err := l.s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// storedRows counts what Pebble has.
func storedRows(t *testing.T, s *Store) (n int) {
	t.Helper()
	it, err := s.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestBrokenLayouts: a block or a list that no step writes is ErrCorrupt for those who read it, and for a fold that would
// add to it. Rows that a layout has no place for are not written.
func TestBrokenLayouts(t *testing.T) {
	row := func(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'r'}, n) }
	list := func(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte("Kkkkkkkkk"), n) }
	for name, c := range map[string]struct{ key, value []byte }{
		"a length beyond the end":    {row(16), []byte{5, 1, 2}},
		"a length without an end":    {row(16), []byte{0x80}},
		"more rows than a block has": {row(16), append(bytes.Repeat([]byte{0}, blockRows), 1, 1)},
		"a block between blocks":     {row(17), []byte{1, 1}},
		"a block without a number":   {[]byte("r1"), []byte{1, 1}},
		"the same event again":       {list(7), []byte{3, 0}},
		"a distance without an end":  {list(7), []byte{0x80}},
		"an event beyond all":        {list(1<<64 - 2), []byte{5}},
		"a list without a number":    {[]byte("K1"), []byte{5}},
		"a row without a number":     {[]byte("K2"), nil},
	} {
		s, err := OpenStore(vfs.NewMem(), "s", quiet, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.db.Set(c.key, c.value, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		v := s.Snapshot()
		for _, reverse := range []bool{false, true} {
			if err := v.Scan(nil, nil, reverse, func(_, _ []byte) bool { return true }); !errors.Is(err, projections.ErrCorrupt) ||
				!errors.Is(err, ErrDamaged) || s.Damage() == nil {
				t.Errorf("%s: read with %v", name, err)
			}
		}
		if bytes.Equal(c.key, row(16)) {
			if _, err := v.Get(row(18)); !errors.Is(err, projections.ErrCorrupt) {
				t.Errorf("%s: a row was read with %v", name, err)
			}
			tx := s.begin(1)
			tx.Set(row(19), []byte("x"))
			if err := tx.commit(); !errors.Is(err, projections.ErrCorrupt) {
				t.Errorf("%s: a row was added with %v", name, err)
			}
		}
		if err := errors.Join(v.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	}
	s, err := OpenStore(vfs.NewMem(), "s", quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, write := range map[string]func(*txn){
		"a value in a list":  func(tx *txn) { tx.Set(list(1), []byte("x")) },
		"a deleted event":    func(tx *txn) { tx.Delete(list(1)) },
		"a row in no block":  func(tx *txn) { tx.Set([]byte("r12"), []byte("x")) },
		"an event in no row": func(tx *txn) { tx.Set([]byte("K"), nil) },
	} {
		tx := s.begin(1)
		write(tx)
		if err := tx.commit(); !errors.Is(err, projections.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOlderGeneration: a generation whose rows are stored in another format is never read. It says so when it is opened,
// and comes back from the log.
func TestOlderGeneration(t *testing.T) {
	logs := history(t, 100)
	for _, format := range []byte{1, 3} {
		fs := vfs.NewMem()
		m := newMachine(t, fs, DefaultBatchBytes)
		m.store(logs)
		m.foldTo(uint64(len(logs)))
		want := m.state()
		m.must(m.gen.store.seal(0, func(tx *txn) {
			p, err := tx.Get([]byte("p"))
			m.must(err)
			tx.Set([]byte("p"), append([]byte{format}, p[1:]...))
		}))
		m.must(errors.Join(m.gen.Close(), m.derived.Close()))
		if err := m.openFolds(); !errors.Is(err, ErrFormat) || errors.Is(err, ErrDamaged) || !Rebuildable(err) {
			t.Errorf("format %d: opened with %v", format, err)
		}
		m.must(fs.RemoveAll("generations"))
		m.must(m.openFolds())
		m.foldTo(uint64(len(logs)))
		if got := m.state(); got != want {
			t.Errorf("folded again: %x, want %x", got, want)
		}
		m.close()
	}
}

// TestPiecesOfAStep: a step stores few pieces: a list for each key and maxPostings events, a block for 16 outcomes.
func TestPiecesOfAStep(t *testing.T) {
	s, err := OpenStore(vfs.NewMem(), "s", quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const events = 3*maxPostings + 2 // of two keys in turn, so half of them each
	tx := s.begin(events)
	for n := range uint64(events) {
		tx.Set(binary.BigEndian.AppendUint64(fmt.Appendf(nil, "K%08d", n%2), n), nil)
		tx.Set(binary.BigEndian.AppendUint64([]byte{'r'}, n), []byte("row"))
	}
	if err := tx.commit(); err != nil {
		t.Fatal(err)
	}
	if n, want := storedRows(t, s), 2*2+(events+blockRows-1)/blockRows; n != want {
		t.Errorf("%d rows of Pebble, want %d", n, want)
	}
}

// TestListsOfTwice: a row that is written twice is read once, also where one list ends and the next one begins.
func TestListsOfTwice(t *testing.T) {
	s, err := OpenStore(vfs.NewMem(), "s", quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const events = 2*maxPostings + 5
	tx := s.begin(events)
	for n := range uint64(events) {
		key := binary.BigEndian.AppendUint64([]byte("K00000001"), n)
		tx.Set(key, nil)
		if n == maxPostings-1 {
			tx.Set(key, nil)
		}
	}
	if err := tx.commit(); err != nil {
		t.Fatal(err)
	}
	v, n := s.Snapshot(), uint64(0)
	defer v.Close()
	err = v.Scan([]byte("K"), []byte("L"), false, func(k, _ []byte) bool {
		if got := binary.BigEndian.Uint64(k[9:]); got != n {
			t.Fatalf("event %d, want %d", got, n)
		}
		n++
		return true
	})
	if err != nil || n != events {
		t.Fatalf("%d events, %v", n, err)
	}
}

// TestDamageMetByReaders: a block that cannot be read, met by a reader whose step adds to it.
func TestDamageMetByReaders(t *testing.T) {
	told := 0
	s, err := OpenStore(vfs.NewMem(), "s", quiet, func(error) { told++ })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.step.bounds = never
	key := binary.BigEndian.AppendUint64([]byte{'r'}, 16)
	if err := s.db.Set(key, []byte{5, 1}, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	_ = s.settle(false)
	key[8] = 19
	err = s.folding(func(tx *txn) error { tx.Set(key, []byte("x")); return nil })
	err = errors.Join(err, s.seal(1, func(*txn) {}), s.settle(false))
	if err != nil {
		t.Fatal(err)
	}
	v := s.Snapshot()
	_, err = v.Get(key)
	if !errors.Is(err, projections.ErrCorrupt) || !errors.Is(err, ErrDamaged) || s.Damage() == nil || told != 1 {
		t.Errorf("%v, damage %v, told %d", err, s.Damage(), told)
	}
}
