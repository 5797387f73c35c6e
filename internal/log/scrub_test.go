package log

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestScrub: a flipped bit in a table is found although nobody reads the entry and although its block is in memory; an unharmed log
// is read as a whole, and no faster than the caller wants.
func TestScrub(t *testing.T) {
	fs := vfs.NewMem()
	s, fatal := openMem(t, fs, Options{MemTableBytes: 64 << 10})
	for i := range uint64(200) {
		must(t, s.StoreLogs(entries(i+1, 1, 1, 2000)))
	}
	s.CommittedTo(200)
	_, err := s.Read(1, 1<<20, func(Entry) error { return nil }) // into the cache
	must(t, err)
	must(t, s.db.Flush())
	tables, err := s.tables()
	must(t, err)
	size, read := 0, 0
	for _, name := range tables {
		size += len(readAll(t, fs, name))
	}
	count := func(_ context.Context, n int) error { read += n; return nil }
	must(t, s.Scrub(t.Context(), count))
	if len(tables) == 0 || read < size*9/10 || fatal.count() != 0 {
		t.Fatalf("%d bytes of %d in %d tables were read, %d fatal errors", read, size, len(tables), fatal.count())
	}
	enough := errors.New("enough")
	if err := s.Scrub(t.Context(), func(context.Context, int) error { return enough }); !errors.Is(err, enough) || fatal.count() != 0 {
		t.Fatalf("stopped by the caller: %v", err)
	}
	name := tables[0]
	b := readAll(t, fs, name)
	at := rand.New(rand.NewPCG(3, 4)).IntN(len(b) / 2) // in a block of entries
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.WriteAt([]byte{b[at] ^ 1}, int64(at))
	must(t, errors.Join(err, f.Close()))
	if err := s.Scrub(t.Context(), count); !errors.Is(err, ErrCorrupt) || fatal.count() != 1 {
		t.Errorf("a flipped bit: %v, %d fatal errors", err, fatal.count())
	}
}
