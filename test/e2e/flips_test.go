package e2e

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// flipLanes are pairs of nodes that are tried at the same time.
const flipLanes = 4

// flip is one changed bit in a file of the stopped node.
type flip struct {
	variant *stopped
	path    string // in the data directory
	kind    string
	at      int
	bit     uint
}

func (f flip) String() string {
	return fmt.Sprintf("%s: bit %d of byte %d of %s", f.variant.name, f.bit, f.at, f.path)
}

// fate records how a node with a flipped bit ends.
type fate struct {
	end   string // refused, withheld, whole or failed
	took  time.Duration
	why   string // of a failure
	words string // of a node that refuses or withholds its answers
	short bool   // it serves fewer events than it had, or other ones
	lost  int    // acknowledged records that nobody answers
	built bool   // a folded state was deleted and folded again
}

// tally is a row of the table.
type tally struct {
	flips, refused, withheld, whole, rebuilt, lost, shorter, failed int
	slowest                                                         time.Duration
}

func (t *tally) add(f fate) {
	t.flips++
	t.lost += f.lost
	for _, c := range []struct {
		n  *int
		is bool
	}{{&t.refused, f.end == "refused"}, {&t.withheld, f.end == "withheld"}, {&t.whole, f.end == "whole"},
		{&t.rebuilt, f.built}, {&t.shorter, f.short}, {&t.failed, f.end == "failed"}} {
		if c.is {
			*c.n++
		}
	}
	t.slowest = max(t.slowest, f.took)
}

func (t *tally) sum(o *tally) {
	for _, c := range [][2]*int{{&t.flips, &o.flips}, {&t.refused, &o.refused}, {&t.withheld, &o.withheld}, {&t.whole, &o.whole},
		{&t.rebuilt, &o.rebuilt}, {&t.lost, &o.lost}, {&t.shorter, &o.shorter}, {&t.failed, &o.failed}} {
		*c[0] += *c[1]
	}
	t.slowest = max(t.slowest, o.slowest)
}

// TestFlipMatrix: two of three nodes acknowledge records while the third is late; both are stopped, and one comes back with one bit
// flipped, beside the late one. It refuses to start, or stores but answers nobody and says why, or the two answer everything
// that was acknowledged. FLIPS is the number of flips; every kind of file is hit at its begin, middle and end and at random.
func TestFlipMatrix(t *testing.T) {
	per := 20
	if full {
		per = 400
	}
	per = atoi("FLIPS", per)
	scene := newFlipScene(t)
	var list []flip
	for i := range scene.variants {
		v := &scene.variants[i]
		if per < 40 && i > 0 {
			break // one flip in every kind of file
		}
		list = append(list, flipsOf(t, v, per/len(scene.variants))...)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	next := make(chan flip)
	var wg sync.WaitGroup
	table := &flipTable{rows: map[string]*tally{}, words: map[string]string{}}
	began := time.Now()
	for i := range min(flipLanes, len(list)) {
		l := scene.lane(i)
		wg.Go(func() {
			defer l.close()
			for f := range next {
				table.add(t, f, l.try(f))
			}
		})
	}
	for _, f := range list {
		next <- f
	}
	close(next)
	wg.Wait()
	table.print(t, time.Since(began))
}

// flipTable sums up by kind of file.
type flipTable struct {
	sync.Mutex
	rows  map[string]*tally
	words map[string]string // of nodes that refuse or withhold their answers
}

func (x *flipTable) add(t *testing.T, f flip, got fate) {
	x.Lock()
	defer x.Unlock()
	if x.rows[f.kind] == nil {
		x.rows[f.kind] = &tally{}
	}
	x.rows[f.kind].add(got)
	if got.end == "refused" || got.end == "withheld" {
		x.words[f.kind+" "+got.end] = got.words
	}
	if got.end == "failed" || got.lost > 0 || got.short {
		t.Errorf("%v: %+v", f, got)
	}
}

func (x *flipTable) print(t *testing.T, took time.Duration) {
	for _, k := range slices.Sorted(maps.Keys(x.words)) {
		t.Logf("%s, for example: %s", k, x.words[k])
	}
	printFlips(t, x.rows, took)
}

func printFlips(t *testing.T, table map[string]*tally, took time.Duration) {
	var out strings.Builder
	row := func(name string, s *tally) {
		fmt.Fprintf(&out, "%-26s %6d %8d %9d %6d %8d %5d %8d %7d %9.1f\n", name, s.flips, s.refused, s.withheld, s.whole, s.rebuilt, s.lost,
			s.shorter, s.failed, s.slowest.Seconds())
	}
	fmt.Fprintf(&out, "%-26s %6s %8s %9s %6s %8s %5s %8s %7s %9s\n", "file", "flips", "refused", "withheld", "whole", "rebuilt", "lost",
		"shorter", "failed", "slowest/s")
	all := &tally{}
	for _, kind := range slices.Sorted(maps.Keys(table)) {
		row(kind, table[kind])
		all.sum(table[kind])
	}
	row("all", all)
	t.Logf("%d flips in %.0f s\n%s", all.flips, took.Seconds(), out.String())
}

// fileKind names a file by what it is: events/000004.log is "events/*.log", generations/2/MANIFEST-000001 "generations/MANIFEST".
func fileKind(path string) string {
	dir, name := filepath.Split(filepath.ToSlash(path))
	if rest, ok := strings.CutPrefix(dir, "generations/"); ok && rest != "" {
		dir = "generations/"
	}
	if ext := filepath.Ext(name); ext == ".log" || ext == ".sst" {
		return dir + "*" + ext
	}
	kind, _, _ := strings.Cut(name, "-0")
	return dir + kind
}

// flipsOf spreads about n flips over the files of a stopped node: equal shares for the kinds of file, in each a share for every file,
// in each file the begin, the end and then places in equal distances, moved at random.
func flipsOf(t *testing.T, v *stopped, n int) (out []flip) {
	t.Helper()
	kinds := map[string][]string{}
	sizes := map[string]int{}
	must(t, filepath.WalkDir(v.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > 0 {
			name, _ := filepath.Rel(v.data, path)
			kinds[fileKind(name)] = append(kinds[fileKind(name)], name)
			sizes[name] = int(info.Size())
		}
		return err
	}))
	for _, kind := range flipKinds {
		if len(kinds[kind]) == 0 && v.lacks != kind {
			t.Errorf("%s: the node has no file %s: %v", v.name, kind, kinds)
		}
	}
	rng := rand.New(rand.NewPCG(uint64(n), uint64(len(v.name))))
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		files := kinds[kind]
		share := max(1, n/len(kinds))
		for i := range share {
			name := files[i%len(files)]
			at := place(i/len(files), (share+len(files)-1)/len(files), sizes[name], rng)
			out = append(out, flip{v, name, kind, at, uint(rng.IntN(8))})
		}
	}
	return out
}

// place is the i-th of n places in a file of so many bytes. A single place is anywhere.
func place(i, n, size int, rng *rand.Rand) int {
	switch {
	case n == 1:
		return rng.IntN(size)
	case i == 0:
		return rng.IntN(min(size, 64))
	case i == n-1:
		return size - 1 - rng.IntN(min(size, 64))
	}
	return min(size-1, size*i/n+rng.IntN(size/n+1))
}

// flipKinds are the kinds of file that a node has. All have bytes, unlike the locks and markers of Pebble, whose names say it all.
var flipKinds = []string{
	"events/*.log", "events/*.sst", "events/MANIFEST", "events/OPTIONS", "events/end",
	"derived/*.sst", "derived/MANIFEST", "derived/OPTIONS",
	"generations/*.sst", "generations/MANIFEST", "generations/OPTIONS",
	"history/*.log", "history/*.sst", "history/MANIFEST", "history/OPTIONS",
	"stable/raft.db", "stable/votes", "node.json", "members.json",
}

func (f flip) apply(data string) error {
	path := filepath.Join(data, f.path)
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[f.at] ^= 1 << f.bit
	return os.WriteFile(path, b, 0o600)
}

func laneAddress(base, node, which int) string {
	return "127.0.0.1:" + strconv.Itoa(base+10*node+which)
}
