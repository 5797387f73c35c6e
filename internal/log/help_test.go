package log

import (
	"bytes"
	"encoding/binary"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// fatals collects what a store reports as fatal.
type fatals struct {
	mu   sync.Mutex
	errs []error
}

func (f *fatals) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
}

func (f *fatals) first() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.errs) == 0 {
		return nil
	}
	return f.errs[0]
}

func (f *fatals) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.errs)
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

func openMem(t fataler, fs vfs.FS, o Options) (*Store, *fatals) {
	t.Helper()
	f := &fatals{}
	o.FS, o.Fatal = fs, f.add
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 256 << 10
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 1 << 20
	}
	s, err := Open("node/events", o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s, f
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

func entries(from uint64, n int, term uint64, size int) []*raft.Log {
	out := make([]*raft.Log, n)
	for i := range out {
		data := make([]byte, max(size, 16))
		binary.BigEndian.PutUint64(data, from+uint64(i))
		binary.BigEndian.PutUint64(data[8:], term)
		out[i] = &raft.Log{Index: from + uint64(i), Term: term, Type: raft.LogCommand, Data: data}
	}
	return out
}

func sameLog(a, b *raft.Log) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type && bytes.Equal(a.Data, b.Data) &&
		bytes.Equal(a.Extensions, b.Extensions) && a.AppendedAt.Equal(b.AppendedAt)
}

func checkRange(t fataler, s *Store, from, to uint64, want func(uint64) *raft.Log) {
	t.Helper()
	for i := from; i <= to; i++ {
		var got raft.Log
		must(t, s.GetLog(i, &got))
		if w := want(i); !sameLog(&got, w) {
			t.Fatalf("entry %d: got %+v, want %+v", i, got, *w)
		}
	}
}
