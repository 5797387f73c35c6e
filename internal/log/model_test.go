package log

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

// TestModel compares the store with a map through appends, cuts, commits, reads and reopens.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := vfs.NewMem()
		o := Options{TailBytes: rapid.SampledFrom([]int{1, 300, 5000, 1 << 20}).Draw(t, "tail"), MemTableBytes: 64 << 10}
		s, f := openMem(t, fs, o)
		model := map[uint64]*raft.Log{}
		var last, commit, published, term uint64 = 0, 0, 0, 1
		source := func() uint64 { return commit }
		s.SetCommitSource(source)
		t.Repeat(map[string]func(*rapid.T){
			"store": func(t *rapid.T) {
				logs := entries(last+1, rapid.IntRange(1, 9).Draw(t, "n"), term, rapid.IntRange(16, 3000).Draw(t, "size"))
				for _, l := range logs {
					model[l.Index] = l
				}
				must(t, s.StoreLogs(logs))
				last += uint64(len(logs))
			},
			"cut": func(t *rapid.T) {
				if commit == last {
					return
				}
				lo := rapid.Uint64Range(commit+1, last).Draw(t, "lo")
				must(t, s.DeleteRange(lo, last))
				for i := lo; i <= last; i++ {
					delete(model, i)
				}
				last, term = lo-1, term+1
			},
			"commit": func(t *rapid.T) {
				commit = rapid.Uint64Range(commit, last).Draw(t, "commit")
				if rapid.Bool().Draw(t, "publish") {
					published = max(published, commit)
					s.CommittedTo(commit)
				}
			},
			"reopen": func(t *rapid.T) {
				floor := s.Floor()
				must(t, s.Close())
				s, f = openMem(t, fs, o)
				s.SetCommitSource(source)
				published = s.Committed()
				if s.Floor() > min(commit, last) || s.Floor() > floor {
					t.Fatalf("floor %d, was %d, commit %d, last %d", s.Floor(), floor, commit, last)
				}
			},
			"get": func(t *rapid.T) {
				i := rapid.Uint64Range(0, last+2).Draw(t, "index")
				for range rapid.IntRange(1, 70).Draw(t, "run") {
					var got raft.Log
					err := s.GetLog(i, &got)
					if w := model[i]; (w == nil) != (err == raft.ErrLogNotFound) || (w != nil && !sameLog(&got, w)) {
						t.Fatalf("entry %d: %v %+v", i, err, got)
					}
					i++
				}
			},
			"read": func(t *rapid.T) {
				from := rapid.Uint64Range(1, last+2).Draw(t, "from")
				want := from
				next, err := s.Read(from, rapid.IntRange(0, 9000).Draw(t, "bytes"), func(e Entry) error {
					if e.Index != want || e.Index > published || !bytes.Equal(e.Data, model[want].Data) || e.Term != model[want].Term {
						t.Fatalf("read %d, want %d, committed %d", e.Index, want, published)
					}
					want++
					return nil
				})
				if err != nil || next != want || (from <= published && next == from) {
					t.Fatalf("read from %d: next %d, want %d: %v", from, next, want, err)
				}
			},
			"": func(t *rapid.T) {
				first, _ := s.FirstIndex()
				l, _ := s.LastIndex()
				if l != last || (first == 1) != (last > 0) || s.Committed() != published || s.Floor() > last || f.count() > 0 {
					t.Fatalf("%d..%d, want last %d; committed %d, want %d; fatal %v", first, l, last, s.Committed(), published, f.first())
				}
			},
		})
		must(t, s.Close())
	})
}
