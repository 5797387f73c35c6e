package log

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// TestEntries: single entries are the same from memory and from the tables. What Entry returns stays as it is, and With
// passes the error of its function on and no other.
func TestEntries(t *testing.T) {
	const n = 200
	s, f := openMem(t, vfs.NewMem(), Options{TailBytes: 20_000})
	must(t, s.StoreLogs(entries(1, n, 7, 1000)))
	must(t, s.db.Flush())
	s.CommittedTo(n)
	var kept []Entry
	for i := uint64(1); i <= n; i++ {
		e, err := s.Entry(i)
		must(t, err)
		kept = append(kept, e)
		must(t, s.With(i, func(same Entry) error {
			if same.Index != i || same.Term != 7 || !bytes.Equal(same.Data, e.Data) {
				t.Errorf("entry %d: %+v", i, same)
			}
			return nil
		}))
	}
	for i, want := range entries(1, n, 7, 1000) {
		if e := kept[i]; e.Index != want.Index || e.Type != want.Type || !bytes.Equal(e.Data, want.Data) {
			t.Errorf("entry %d after the reads of others: %+v", want.Index, e)
		}
	}
	stop := errors.New("stop")
	for _, index := range []uint64{1, n} { // in a table, and in memory
		if err := s.With(index, func(Entry) error { return stop }); err != stop {
			t.Errorf("entry %d: %v", index, err)
		}
	}
	if m := s.Metrics(); f.first() != nil || m.TailHits == 0 || m.Misses < n || m.AheadHits != 0 {
		t.Errorf("fatal %v, %+v", f.first(), m)
	}
	must(t, s.Close())
	if err := s.With(1, func(Entry) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// TestEntriesLeaveReadAheadAlone: a reader of single entries takes nothing from the entries that are read ahead for Raft.
func TestEntriesLeaveReadAheadAlone(t *testing.T) {
	fs := vfs.NewMem()
	s, _ := openMem(t, fs, Options{})
	must(t, s.StoreLogs(entries(1, 500, 1, 100)))
	must(t, s.Close())
	s, _ = openMem(t, fs, Options{})
	s.CommittedTo(500)
	checkRange(t, s, 1, 100, func(i uint64) *raft.Log { return entries(i, 1, 1, 100)[0] })
	before := s.ahead
	for i := uint64(500); i > 200; i-- {
		_, err := s.Entry(i)
		must(t, err)
	}
	for i := range before.windows {
		if a, b := before.windows[i], s.ahead.windows[i]; len(a) != len(b) || len(a) > 0 && a[0].Index != b[0].Index {
			t.Errorf("window %d had %d entries, now %d", i, len(a), len(b))
		}
	}
	must(t, s.Close())
}

// TestBadEntryIsFatal: a committed entry that is missing or cannot be decoded ends the store, as with any other reader.
func TestBadEntryIsFatal(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(s *Store) error
		want  error
	}{
		"missing": {func(s *Store) error { return s.db.Delete(key(5), nil) }, ErrGap},
		"short":   {func(s *Store) error { return s.db.Set(key(5), []byte{1, 2}, nil) }, ErrCorrupt},
	} {
		s, f := openMem(t, vfs.NewMem(), Options{TailBytes: 1})
		must(t, s.StoreLogs(entries(1, 9, 1, 0)))
		must(t, c.spoil(s))
		s.CommittedTo(9)
		if err := s.With(5, func(Entry) error { return nil }); !errors.Is(err, c.want) || !errors.Is(f.first(), c.want) {
			t.Errorf("%s: %v, fatal %v", name, err, f.first())
		}
	}
}
