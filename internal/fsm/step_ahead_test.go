package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/projections"
)

// gatedFS holds back reads of tables while its gate is closed, or fails them.
type gatedFS struct {
	vfs.FS
	mu    sync.Mutex
	gate  chan struct{} // nil while open
	err   error
	waits chan struct{} // gets one when a read begins to wait
}

type gatedFile struct {
	vfs.File
	fs *gatedFS
}

func (g *gatedFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := g.FS.Open(name, opts...)
	if err == nil && strings.HasSuffix(name, ".sst") {
		f = gatedFile{f, g}
	}
	return f, err
}

func (f gatedFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	gate := f.fs.gate
	f.fs.mu.Unlock()
	if gate != nil {
		select {
		case f.fs.waits <- struct{}{}:
		default:
		}
		<-gate
	}
	f.fs.mu.Lock()
	err := f.fs.err
	f.fs.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (g *gatedFS) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gate, g.waits = make(chan struct{}), make(chan struct{}, 1)
}

// open lets the reads go on, which fail if err is not nil.
func (g *gatedFS) open(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.gate)
	g.gate, g.err = nil, err
}

// rowOf is the key of the outcome row of an event. Rows of 16 events are in one block.
func rowOf(seq int) []byte {
	return binary.BigEndian.AppendUint64([]byte{projections.RowSpace}, uint64(seq))
}

// aheadStore is a store with row 0 on the disk. It writes a row as a batch, which is handed over at once. A step with a row
// of the first block waits for the block, while the gate is closed.
func aheadStore(t *testing.T) (*Store, *gatedFS, map[string]string) {
	t.Helper()
	fs := &gatedFS{FS: vfs.NewMem()}
	s, want := openAhead(t, fs), map[string]string{}
	must(t, putRow(s, want, 0))
	must(t, errors.Join(flushAll(s), s.Close()))
	s = openAhead(t, fs)
	fs.close()
	return s, fs, want
}

func openAhead(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	s, err := OpenStore(fs, "s", quiet, nil)
	must(t, err)
	s.step.bounds = bounds{events: 1, bytes: 1 << 30, millis: 1 << 30}
	must(t, s.settle(true))
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func putRow(s *Store, want map[string]string, seq int) error {
	k, v := rowOf(seq), fmt.Appendf(nil, "row %d", seq)
	want[string(k)] = string(v)
	return errors.Join(s.folding(func(tx *txn) error { tx.Set(k, v); return nil }), s.seal(1, func(*txn) {}))
}

// reads checks what the fold itself reads.
func reads(t *testing.T, s *Store, want map[string]string) {
	t.Helper()
	must(t, s.folding(func(tx *txn) error {
		for k, v := range want {
			if got, err := tx.Get([]byte(k)); err != nil || string(got) != v {
				t.Errorf("row %x is %q, want %q, %v", k, got, v, err)
			}
		}
		return nil
	}))
	must(t, s.seal(0, func(*txn) {}))
}

// TestFoldGoesOn: while Pebble takes a step, the fold writes the next one and reads through both. It hands over no second
// step before the first is applied. A reader waits until both are there.
func TestFoldGoesOn(t *testing.T) {
	s, fs, want := aheadStore(t)
	defer s.Close()
	must(t, putRow(s, want, 1))
	must(t, s.settle(true))
	<-fs.waits
	delete(want, string(rowOf(0))) // the fold does not read it, because the gate is closed
	must(t, s.folding(func(tx *txn) error { tx.Delete([]byte("a1")); return nil }))
	must(t, putRow(s, want, 2))
	reads(t, s, want)
	if n := s.Unflushed(); n == 0 {
		t.Error("nothing is in memory")
	}
	read, handed := make(chan map[string]string, 1), make(chan error, 1)
	go func() { read <- rowsOf(t, s) }()
	go func() { handed <- s.settle(true) }()
	select {
	case <-read:
		t.Error("a reader did not wait for the step on its way")
	case err := <-handed:
		t.Errorf("two steps are on their way: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	fs.open(nil)
	must(t, <-handed)
	want[string(rowOf(0))] = "row 0"
	if got := <-read; !maps.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	reads(t, s, want)
}

// TestFailedStepAhead: the error of a step ends the fold that has gone on meanwhile, and reaches whoever waits. Nothing of
// the next step gets into the store.
func TestFailedStepAhead(t *testing.T) {
	s, fs, want := aheadStore(t)
	must(t, putRow(s, want, 1))
	must(t, s.settle(true))
	<-fs.waits
	must(t, putRow(s, want, 40)) // in another block
	ended, told := make(chan error, 2), make(chan struct{})
	must(t, s.step.ends(func() { close(told) }))
	go func() { ended <- s.settle(true) }()
	go func() {
		v := s.Snapshot()
		_, err := v.Get(rowOf(1))
		ended <- errors.Join(err, v.Close())
	}()
	bad := errors.New("cannot be read")
	fs.open(bad)
	for range 2 {
		if err := <-ended; !errors.Is(err, bad) {
			t.Errorf("ended with %v", err)
		}
	}
	<-told
	if err := putRow(s, want, 41); !errors.Is(err, bad) {
		t.Errorf("the fold goes on: %v", err)
	}
	fs.mu.Lock()
	fs.err = nil
	fs.mu.Unlock()
	if err := s.Close(); !errors.Is(err, bad) {
		t.Errorf("closed with %v", err)
	}
	s = openAhead(t, fs)
	defer s.Close()
	if got := rowsOf(t, s); len(got) != 1 || got[string(rowOf(0))] != "row 0" {
		t.Errorf("rows %q after the failed step", got)
	}
}

// TestCloseWaitsForTheStepOnItsWay: a close loses neither that step nor the open one.
func TestCloseWaitsForTheStepOnItsWay(t *testing.T) {
	s, fs, want := aheadStore(t)
	must(t, putRow(s, want, 1))
	must(t, s.settle(true))
	<-fs.waits
	must(t, putRow(s, want, 2))
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("the close did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	fs.open(nil)
	must(t, <-closed)
	s = openAhead(t, fs)
	defer s.Close()
	if got := rowsOf(t, s); !maps.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
}

// TestGivenUpBehindAStep: a batch that is given up while a step is on its way leaves no trace, and the steps before it do.
func TestGivenUpBehindAStep(t *testing.T) {
	s, fs, want := aheadStore(t)
	defer s.Close()
	must(t, putRow(s, want, 1))
	must(t, s.settle(true))
	<-fs.waits
	must(t, putRow(s, want, 2))
	gaveUp, failed := errors.New("given up"), make(chan error, 1)
	go func() {
		failed <- s.folding(func(tx *txn) error { tx.Set(rowOf(3), []byte("x")); return gaveUp })
	}()
	fs.open(nil)
	if err := <-failed; !errors.Is(err, gaveUp) {
		t.Errorf("ended with %v", err)
	}
	must(t, putRow(s, want, 4))
	if got := rowsOf(t, s); !maps.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
}

// TestScanBehindAStep: a fold that scans waits for the step on its way, and a reader has the open step applied meanwhile. The
// fold keeps what it has read and loses nothing that it writes afterwards.
func TestScanBehindAStep(t *testing.T) {
	for _, rows := range []int{1, keptRows + 1} { // so many that their memory serves no other step
		s, fs, want := aheadStore(t)
		s.step.bounds.events = 2
		must(t, putRow(s, want, 1))
		must(t, errors.Join(s.seal(1, func(*txn) {}), s.settle(true)))
		<-fs.waits
		for i := range rows {
			must(t, putRow(s, want, 40+i))
		}
		read := make(chan map[string]string, 1)
		must(t, s.folding(func(tx *txn) error {
			before, err := tx.Get(rowOf(40))
			must(t, err)
			tx.wait = func() error { // the reader waits first, so that it is the first to go on
				go func() { read <- rowsOf(t, s) }()
				go fs.open(nil)
				err := s.awaitOut()
				s.step.mu.Unlock()
				got := <-read
				s.step.mu.Lock()
				read <- got
				return err
			}
			must(t, tx.Scan([]byte("x"), []byte("y"), false, func(_, _ []byte) bool { return true }))
			tx.Set(rowOf(20), []byte("another row"))
			if string(before) != "row 40" {
				t.Errorf("the fold has read row 40 and has %q now", before)
			}
			return nil
		}))
		must(t, s.seal(1, func(*txn) {}))
		want[string(rowOf(0))] = "row 0"
		if got := <-read; !maps.Equal(got, want) {
			t.Errorf("the reader has %d rows, want %d", len(got), len(want))
		}
		want[string(rowOf(20))] = "another row"
		if got := rowsOf(t, s); !maps.Equal(got, want) {
			t.Errorf("%d rows, want %d", len(got), len(want))
		}
		must(t, s.Close())
	}
}
