package recount

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/test/crashfs"
)

// steps lists what happens to a ledger from its first record to the drop of a generation. Each one extends the log.
var steps = []struct {
	name string
	do   func(r *testNode)
}{
	{"build", func(r *testNode) { r.generation(tight()) }},
	{"more records", func(r *testNode) { c, _ := published(); r.submit(c.subs[80:100]...) }},
	{"activate", func(r *testNode) { r.activate(2, 1) }},
	{"records under it", func(r *testNode) { c, _ := published(); r.submit(c.subs[100:120]...) }},
	{"build another", func(r *testNode) { r.generation(verify.DefaultPolicy()) }},
	{"activate another", func(r *testNode) { r.activate(3, 2) }},
	{"roll back", func(r *testNode) { r.activate(2, 3) }},
	{"drop", func(r *testNode) { r.dropped(3) }},
}

// undisturbed returns what a node holds after all steps when nothing happens to it.
func undisturbed(t *testing.T) map[string]string {
	t.Helper()
	r := newTestNode(t, 80)
	for _, s := range steps {
		s.do(r)
	}
	r.start()
	r.settled()
	rows := r.rows()
	r.stop()
	return rows
}

// TestCrashAfterEveryStep: a node that loses power after every event of a recount, before or after it acted on it,
// gets to the same rows as one to which nothing happens. Of what was not synced the disk keeps nothing, some or all.
func TestCrashAfterEveryStep(t *testing.T) {
	want := undisturbed(t)
	for _, percent := range []int{0, 50} {
		for _, act := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d%% kept, acted %v", percent, act), func(t *testing.T) {
				r := newTestNode(t, 80)
				r.start()
				for i, s := range steps {
					s.do(r)
					if act {
						r.settled()
					}
					r.crash(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(uint64(i), 7))})
					r.must(r.open())
					r.run()
				}
				r.settled()
				sameRows(t, "in the end", r.rows(), want)
				if bad := r.host.bad(); bad != "" {
					t.Error(bad)
				}
			})
		}
	}
}

// watched is a disk that keeps a picture of itself, as a power cut would leave it, before every change of a name.
type watched struct {
	crashfs.FS
	mu    *sync.Mutex
	cuts  map[string]crashfs.FS // by operation and name
	order *[]string
}

func newWatched(fs crashfs.FS) watched {
	return watched{FS: fs, mu: &sync.Mutex{}, cuts: map[string]crashfs.FS{}, order: new([]string)}
}

func (w watched) cut(op, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := op + " " + name
	if !strings.Contains(name, "generations") && !strings.Contains(name, "history") ||
		strings.Contains(name, "format-version") { // Pebble's own, many times the same
		return
	}
	if _, ok := w.cuts[key]; !ok {
		w.cuts[key] = w.Cut(vfs.CrashCloneCfg{})
		*w.order = append(*w.order, key)
	}
}

func (w watched) Rename(from, to string) error {
	w.cut("rename", from)
	return w.FS.Rename(from, to)
}

func (w watched) RemoveAll(name string) error {
	w.cut("removeall", name)
	return w.FS.RemoveAll(name)
}

func (w watched) Remove(name string) error {
	w.cut("remove", name)
	return w.FS.Remove(name)
}

func (w watched) MkdirAll(name string, perm os.FileMode) error {
	w.cut("mkdirall", name)
	return w.FS.MkdirAll(name, perm)
}

// TestCrashAtEveryName: power is cut before every file and directory under generations/ and history/ that a
// recount renames, creates or removes. From each of these pictures a node gets to the same rows, and leaves
// nothing behind.
func TestCrashAtEveryName(t *testing.T) {
	r := newTestNode(t, 80)
	w := newWatched(r.disk)
	r.fs = w
	r.start()
	for _, s := range steps {
		s.do(r)
		r.settled()
	}
	want := r.rows()
	r.stop()
	if len(*w.order) < 12 || !slices.Contains(*w.order, "rename n/generations/3") ||
		!slices.Contains(*w.order, "removeall n/generations/.dropped-3") {
		t.Fatalf("the pictures: %q", *w.order)
	}
	for _, when := range *w.order {
		after := newTestNode(t, 0)
		after.entries, after.seq = r.entries, r.seq
		after.disk, after.fs = w.cuts[when], w.cuts[when]
		after.must(after.open())
		after.run()
		after.settled()
		sameRows(t, when, after.rows(), want)
		after.stop()
	}
}

// TestGenerationIsFoldedAgain: what can happen to the directory of a generation while its node is stopped, and
// how often the node says that it was damaged.
func TestGenerationIsFoldedAgain(t *testing.T) {
	for _, c := range []struct {
		name    string
		harm    func(r *testNode)
		damages uint64
	}{
		{"nothing", func(*testNode) {}, 0},
		{"the inactive one is away", func(r *testNode) { r.must(r.disk.RemoveAll("n/generations/2")) }, 0},
		{"the active one is away", func(r *testNode) { r.must(r.disk.RemoveAll("n/generations/1")) }, 0},
		{"all are away", func(r *testNode) { r.must(r.disk.RemoveAll("n/generations")) }, 0},
		{"the inactive one has bad blocks", func(r *testNode) { r.damage("n/generations/2") }, 1},
		{"the active one has bad blocks", func(r *testNode) { r.damage("n/generations/1") }, 1},
		{"both have bad blocks", func(r *testNode) { r.damage("n/generations/1"); r.damage("n/generations/2") }, 2},
		{"the inactive one cannot be opened", func(r *testNode) { r.truncate("n/generations/2", "MANIFEST") }, 1},
		{"the active one cannot be opened", func(r *testNode) { r.truncate("n/generations/1", "MANIFEST") }, 1},
		{"the rest of a removal is there", func(r *testNode) {
			r.must(r.disk.Rename("n/generations/2", "n/generations/.dropped-2"))
			r.must(r.disk.MkdirAll("n/generations/.dropped-9/x", 0o755))
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newTestNode(t, 80)
			r.generation(tight())
			r.start()
			r.settled()
			want := r.rows()
			r.stop()
			c.harm(r)
			r.start()
			r.touch()
			r.settled()
			r.until("the damage is counted", func() bool { return r.m.Damages() >= c.damages })
			r.settled()
			sameRows(t, c.name, r.rows(), want)
			if bad := r.host.bad(); bad != "" || r.m.Damages() != c.damages {
				t.Errorf("%s, %d damages, want %d", bad, r.m.Damages(), c.damages)
			}
		})
	}
}

// touch reads every row once, as clients do, so that bad blocks are met. It ignores the errors.
func (r *testNode) touch() {
	for number := range r.m.numbers() {
		if g, _ := r.m.Get(number); g != nil {
			_ = g.EachRow(func(_, _ []byte) bool { return true })
		}
	}
}

// TestDroppedWhileAway: a node that was stopped while a generation was dropped, or that crashed between recording
// what changed and the drop, does not keep the directory.
func TestDroppedWhileAway(t *testing.T) {
	r := newTestNode(t, 80)
	r.generation(tight())
	r.start()
	r.settled()
	r.stop()
	r.dropped(2)
	r.start()
	r.settled()
	if !slices.Equal(r.dirs(), []string{"1"}) {
		t.Errorf("%v are there", r.dirs())
	}
	r.stop()
	r.must(r.disk.RemoveAll("n/generations"))
	r.start() // with nothing to remove
	r.settled()
}

// truncate empties the file of a stopped store whose name begins with prefix.
func (r *testNode) truncate(dir, prefix string) {
	r.t.Helper()
	list, err := r.disk.List(dir)
	r.must(err)
	i := slices.IndexFunc(list, func(name string) bool { return strings.HasPrefix(name, prefix) })
	if i < 0 {
		r.t.Fatalf("%s has no %s", dir, prefix)
	}
	f, err := r.disk.Create(filepath.Join(dir, list[i]), vfs.WriteCategoryUnspecified)
	r.must(err)
	_, err = io.WriteString(f, "no manifest")
	r.must(err)
	r.must(f.Close())
}

// wrongRow puts a row that no fold writes in the place of the first one in the block of an event, in a stopped store.
func (r *testNode) wrongRow(dir string, seq uint64) {
	r.t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{FS: r.disk, FormatMajorVersion: pebble.FormatTableFormatV6})
	r.must(err)
	key := binary.BigEndian.AppendUint64([]byte{'r'}, seq/16*16)
	_, closer, err := db.Get(key)
	r.must(err)
	r.must(errors.Join(closer.Close(), db.Set(key, []byte{1, 0xff}, pebble.Sync), db.Close()))
}

// digestOf logs a digest of event seq: a fold that comes to it reads the rows up to that event.
func (r *testNode) digestOf(seq uint64) uint64 {
	r.t.Helper()
	return r.add(event.StateDigest, &event.StateDigestV1{Seq: seq, Generation: 1, Log: make([]byte, 32),
		State: make([]byte, 32), Control: make([]byte, 32)})
}

// TestRowThatNoFoldWrites: a fold that meets such a row is begun again from the log, once. When the new one meets
// one too, the files are not the reason: the manager ends and asks to leave the node stopped.
func TestRowThatNoFoldWrites(t *testing.T) {
	for _, again := range []bool{false, true} {
		r := newTestNode(t, 300) // the digest after event 256 is stored: a start reads none before it
		r.start()
		r.settled()
		want := r.rows()
		r.stop()
		r.wrongRow("n/generations/1", 30)
		r.must(r.open())
		r.m.impossible[1] = again
		r.run()
		t.Cleanup(r.stop)
		r.digestOf(40)
		if again {
			<-r.over
			if r.ended == nil || !strings.Contains(r.ended.Error(), "generation 1 was folded again") ||
				!errors.Is(r.ended, projections.ErrCorrupt) {
				t.Errorf("the manager ended with %v", r.ended)
			}
			continue
		}
		r.until("the damage", func() bool { return r.m.Damages() == 1 })
		r.settled()
		if !r.m.impossible[1] {
			t.Error("wrong rows are not remembered")
		}
		for k, v := range want {
			if strings.HasPrefix(k, "generations/1 r") && r.rows()[k] != v {
				t.Errorf("row %q is not as before", k)
			}
		}
	}
}

// TestBadBlockAfterWrongRows: a bad block is a matter of the files, also when rows were wrong before.
func TestBadBlockAfterWrongRows(t *testing.T) {
	r := newTestNode(t, 300) // of which a start reads the end
	r.start()
	r.settled()
	r.stop()
	r.damage("n/generations/1")
	r.must(r.open())
	t.Cleanup(r.stop)
	r.touch()
	r.m.impossible[1], r.running(1).cancel = true, func() {} // its loops do not run
	if r.running(1).Damage() == nil {
		t.Fatal("nobody met the bad block")
	}
	r.must(r.running(1).WaitSeq(r.ctx, r.seq))
	if !r.m.Switching() {
		t.Error("a generation that cannot be read still answers")
	}
	if err := r.m.rebuildDamaged(); err != nil || r.m.impossible[1] || r.m.Damages() != 1 {
		t.Errorf("%v, counts as wrong rows: %v, %d damages", err, r.m.impossible[1], r.m.Damages())
	}
}

// TestForeignGeneration: a generation that is ahead of the log belongs to another log. It is not deleted, and the
// node does not start.
func TestForeignGeneration(t *testing.T) {
	r := newTestNode(t, 80)
	r.start()
	r.settled()
	r.stop()
	r.must(r.disk.RemoveAll("events"))
	r.must(r.disk.RemoveAll("n/derived"))
	r.entries, r.seq = r.entries[:len(r.entries)-1], r.seq-20
	if err := r.open(); err == nil || fsm.Rebuildable(err) {
		t.Errorf("opened with %v", err)
	}
	r.m, r.store, r.derived = nil, nil, nil
	if !slices.Equal(r.dirs(), []string{"1"}) {
		t.Errorf("%v are there", r.dirs())
	}
}
