package log

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// withEnd is a copy of a log with another file "end".
func withEnd(t *testing.T, fs vfs.FS, end []byte) vfs.FS {
	t.Helper()
	fs = vfsCopy(t, fs)
	f, err := fs.Create("node/events/"+endName, vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write(end)
	must(t, errors.Join(err, f.Close()))
	return fs
}

// TestEndOfAnotherLog: a log of the right length whose last durable entry is another one is refused.
func TestEndOfAnotherLog(t *testing.T) {
	for _, clean := range []bool{false, true} {
		fs := stoppedLog(t, 50, 1<<20, 300, clean)
		other := vfs.NewMem()
		s, _ := openMem(t, other, Options{})
		must(t, s.StoreLogs(entries(1, 50, 2, 300)))
		must(t, s.Close())
		fs = withEnd(t, fs, readAll(t, other, "node/events/"+endName))
		if _, err := Open("node/events", Options{FS: fs, Fatal: func(error) {}}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("clean %v: opened: %v", clean, err)
		}
	}
}

// TestFlipsOfTheEnd: whichever bit of the file flips, it names an entry that it was given, or is refused.
func TestFlipsOfTheEnd(t *testing.T) {
	fs := stoppedLog(t, 3, 1<<20, 300, false)
	whole := readAll(t, fs, "node/events/"+endName)
	known := map[mark]bool{}
	for i := uint64(2); i <= 3; i++ {
		known[mark{i, 1, sumOf(t, fs, i)}] = true
	}
	for bit := range 8 * len(whole) {
		b := append([]byte(nil), whole...)
		b[bit/8] ^= 1 << (bit % 8)
		e, err := openEnd(withEnd(t, fs, b), "node/events")
		if err != nil {
			t.Errorf("bit %d: %v, though the other slot is whole", bit, err)
			continue
		}
		if !known[e.at] {
			t.Errorf("bit %d: names %+v", bit, e.at)
		}
		must(t, e.f.Close())
	}
}

// sumOf is the checksum of an entry.
func sumOf(t *testing.T, fs vfs.FS, index uint64) uint32 {
	t.Helper()
	s, _ := openMem(t, vfsCopy(t, fs), Options{})
	defer s.Close()
	r, err := s.lookup(index)
	must(t, err)
	return r.sum()
}

// TestHoleBetweenTables: entries that are in no file are missed at the start, though the last one is there.
func TestHoleBetweenTables(t *testing.T) {
	fs := vfs.NewMem()
	s, _ := openMem(t, fs, Options{})
	must(t, s.StoreLogs(entries(1, 3, 1, 0)))
	must(t, s.db.Flush())
	s.last = 6 // as if 4 to 6 had been stored
	must(t, s.StoreLogs(entries(7, 3, 1, 0)))
	must(t, s.Close())
	if _, err := Open("node/events", Options{FS: fs, Fatal: func(error) {}}); !errors.Is(err, ErrGap) {
		t.Errorf("opened without the entries 4 to 6: %v", err)
	}
}

// TestFlipsBeyondTheEnd: the bound may be a second old when the power fails. What was written since is checked by the newest
// format of the write-ahead log alone, which has to be in use from the first entry on.
func TestFlipsBeyondTheEnd(t *testing.T) {
	fs := vfs.NewMem()
	s, _ := openMem(t, fs, Options{MemTableBytes: 1 << 20})
	old := readAll(t, fs, "node/events/"+endName)
	for i := range uint64(300) {
		must(t, s.StoreLogs(entries(i+1, 1, 1, 300)))
	}
	stale := withEnd(t, fs, old)
	must(t, s.Close())
	flips, refused := 0, 0
	for _, name := range files(t, stale) {
		size := len(readAll(t, stale, "node/events/"+name))
		if kind(name) != "log" || size < 60_000 {
			continue
		}
		for at := 100; at < size/2; at += size / 40 {
			flips++
			after := vfsCopy(t, stale)
			b := readAll(t, after, "node/events/"+name)
			b[at] ^= 1
			f, err := after.Create("node/events/"+name, vfs.WriteCategoryUnspecified)
			must(t, err)
			_, err = f.Write(b)
			must(t, errors.Join(err, f.Close()))
			if s, err := Open("node/events", Options{FS: after, Fatal: func(error) {}, MemTableBytes: 256 << 10, CacheBytes: 1 << 20}); err != nil {
				refused++
			} else {
				must(t, s.Close())
			}
		}
	}
	if flips < 15 || refused < flips*9/10 {
		t.Errorf("%d flips far from the end of the write-ahead log, %d refused", flips, refused)
	}
}
