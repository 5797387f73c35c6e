package log

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// stoppedLog is a log of n entries whose process was killed, or closed it: what was written is copied in one moment.
func stoppedLog(t *testing.T, n int, memTable, size int, clean bool) vfs.FS {
	t.Helper()
	fs := vfs.NewCrashableMem()
	s, _ := openMem(t, fs, Options{MemTableBytes: memTable})
	for i := range n {
		must(t, s.StoreLogs(entries(uint64(i)+1, 1, 1, size)))
	}
	if clean {
		must(t, s.Close())
	}
	stopped := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(3, 4))})
	if !clean {
		must(t, s.Close())
	}
	if damage(t, stopped, uint64(n), "end", func(b []byte) []byte { return b }) {
		t.Fatal("the undamaged log is refused")
	}
	return stopped
}

// damage opens a copy of fs after change was done to the file name. It tells whether the log was refused; one that opens must have
// every entry, or say so when the entry is read.
func damage(t *testing.T, fs vfs.FS, last uint64, name string, change func([]byte) []byte) (refused bool) {
	t.Helper()
	fs = vfsCopy(t, fs)
	path := "node/events/" + name
	b := readAll(t, fs, path)
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write(change(b))
	must(t, errors.Join(err, f.Close()))
	fatal := &fatals{}
	s, err := Open("node/events", Options{FS: fs, Fatal: fatal.add, MemTableBytes: 256 << 10, CacheBytes: 1 << 20})
	if err != nil {
		if !strings.Contains(err.Error(), damagedAdvice) {
			t.Errorf("%s: refused without saying what to do: %v", name, err)
		}
		return true
	}
	defer s.Close()
	if got, _ := s.LastIndex(); got != last {
		t.Errorf("%s: opened with %d of %d entries and without a word", name, got, last)
	}
	for i := uint64(1); i <= last; i++ {
		var l raft.Log
		if err := s.GetLog(i, &l); err != nil {
			if fatal.count() == 0 {
				t.Errorf("%s: entry %d: %v, and the store goes on", name, i, err)
			}
			return true
		}
		if want := entries(i, 1, 1, len(l.Data))[0]; !sameLog(&l, want) {
			t.Errorf("%s: entry %d reads as another one", name, i)
		}
	}
	return false
}

func readAll(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	info, err := fs.Stat(path)
	must(t, err)
	b := make([]byte, info.Size())
	f, err := fs.Open(path)
	must(t, err)
	if len(b) > 0 {
		_, err = f.ReadAt(b, 0)
	}
	must(t, errors.Join(err, f.Close()))
	return b
}

func files(t *testing.T, fs vfs.FS) (names []string) {
	t.Helper()
	list, err := fs.List("node/events")
	must(t, err)
	for _, name := range list {
		if info, err := fs.Stat("node/events/" + name); err == nil && !info.IsDir() && info.Size() > 0 {
			names = append(names, name)
		}
	}
	return names
}

// kind names a file by what it is: events/000004.log is "log".
func kind(name string) string {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[i+1:]
	}
	k, _, _ := strings.Cut(name, "-")
	return k
}

// TestFlips flips one bit in every region of every file of a log whose node was stopped or killed. The log is refused, or it has
// every entry. FLIPS is the number of flips in each log; `make flip-matrix` sets it.
func TestFlips(t *testing.T) {
	per := 40
	if s := os.Getenv("FLIPS"); s != "" {
		if _, err := fmt.Sscan(s, &per); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		n, memTable, size int
		clean             bool
	}{
		"killed": {100, 1 << 20, 300, false}, "stopped": {100, 1 << 20, 300, true},
		"killed with tables": {200, 64 << 10, 2000, false}, "stopped with tables": {200, 64 << 10, 2000, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // Pebble looks for the flipped bit of a damaged block by trying them all, for half a second
			fs := stoppedLog(t, c.n, c.memTable, c.size, c.clean)
			rng := rand.New(rand.NewPCG(1, 2))
			flips, refused := map[string]int{}, map[string]int{}
			names := files(t, fs)
			for _, name := range names {
				size := len(readAll(t, fs, "node/events/"+name))
				for i := range max(1, per/len(names)) {
					share := max(1, per/len(names))
					at := min(size-1, size*i/share+rng.IntN(size/share+1))
					flips[kind(name)]++
					if damage(t, fs, uint64(c.n), name, func(b []byte) []byte { b[at] ^= 1 << rng.IntN(8); return b }) {
						refused[kind(name)]++
					}
				}
			}
			t.Logf("flips %v, refused %v", flips, refused)
			if flips["log"] == 0 || flips["MANIFEST"] == 0 || flips["end"] == 0 {
				t.Fatalf("flips %v", flips)
			}
		})
	}
}

// TestCutFiles: a write-ahead log that was cut, emptied or removed, and the file "end" too, is refused.
func TestCutFiles(t *testing.T) {
	for _, clean := range []bool{false, true} {
		fs := stoppedLog(t, 50, 1<<20, 300, clean)
		for _, name := range files(t, fs) {
			if k := kind(name); k != "log" && k != "end" || len(readAll(t, fs, "node/events/"+name)) < 500 {
				continue
			}
			for what, change := range map[string]func([]byte) []byte{
				"cut":     func(b []byte) []byte { return b[:len(b)/2] },
				"emptied": func([]byte) []byte { return nil },
			} {
				if what == "cut" && kind(name) == "end" {
					continue // the other slot is left
				}
				if !damage(t, fs, 50, name, change) {
					t.Errorf("clean %v: opened after %s was %s", clean, name, what)
				}
			}
			gone := vfsCopy(t, fs)
			must(t, gone.Remove("node/events/"+name))
			if s, err := Open("node/events", Options{FS: gone, Fatal: func(error) {}}); !errors.Is(err, ErrCorrupt) {
				t.Errorf("clean %v: opened without %s: %v %v", clean, name, s, err)
			}
		}
	}
}

// TestEndFollowsDeletions: the bound follows a legitimate deletion of a suffix, and the entries that come in its place.
func TestEndFollowsDeletions(t *testing.T) {
	fs := vfs.NewMem()
	s, _ := openMem(t, fs, Options{})
	must(t, s.StoreLogs(entries(1, 10, 1, 0)))
	must(t, s.DeleteRange(4, 10))
	must(t, s.StoreLogs(entries(4, 2, 2, 0)))
	for _, want := range []uint64{5, 3, 0} {
		if want < 5 {
			must(t, s.DeleteRange(want+1, s.bound.at.index))
		}
		must(t, s.Close())
		s, _ = openMem(t, fs, Options{})
		if last, _ := s.LastIndex(); last != want || s.bound.at.index != want {
			t.Fatalf("last %d, bound %d, want %d", last, s.bound.at.index, want)
		}
	}
	must(t, s.Close())
}

// TestSecondStore: the directory of a store that is open is refused with words that say why.
func TestSecondStore(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	must(t, err)
	defer s.Close()
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrInUse) {
		t.Fatal(err)
	}
}
