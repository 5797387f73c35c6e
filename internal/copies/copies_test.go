package copies

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// keeper is a manager over a directory of files that stands for a log.
type keeper struct {
	*Manager
	t     *testing.T
	dir   string // of the log
	short atomic.Bool
	stop  context.CancelFunc
}

func newKeeper(t *testing.T, dir string, change func(*Options)) *keeper {
	t.Helper()
	k := &keeper{t: t, dir: dir}
	o := Options{Dir: filepath.Join(dir, "copies"), Node: "n1", ClusterID: "c", Life: time.Hour,
		Short: k.short.Load, Logger: slog.New(slog.DiscardHandler), Make: k.link}
	if change != nil {
		change(&o)
	}
	var err error
	k.Manager, err = New(o)
	must(t, err)
	var ctx context.Context
	ctx, k.stop = context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := k.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { k.stop(); <-ended })
	k.await("the manager runs", func() bool { return k.mayCreate() == nil })
	return k
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (k *keeper) write(name, content string) {
	k.t.Helper()
	must(k.t, os.WriteFile(filepath.Join(k.dir, name), []byte(content), 0o600))
}

// link makes a copy as the log does: links of tables, copies of the rest.
func (k *keeper) link(_ context.Context, dir string) (At, error) {
	must(k.t, os.Mkdir(dir, 0o700))
	entries, err := os.ReadDir(k.dir)
	must(k.t, err)
	for _, e := range entries {
		from, to := filepath.Join(k.dir, e.Name()), filepath.Join(dir, e.Name())
		switch {
		case e.IsDir():
		case immutable(e.Name()):
			must(k.t, os.Link(from, to))
		default:
			raw, err := os.ReadFile(from)
			must(k.t, err)
			must(k.t, os.WriteFile(to, raw, 0o600))
		}
	}
	return At{Position: wire.CopyPosition{Index: 9, Seq: 8}, Digest: wire.CopyDigest{Log: "aa"}}, nil
}

func (k *keeper) await(what string, done func() bool) {
	k.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !done(); <-tick.C {
		if time.Now().After(end) {
			k.t.Fatalf("not in time: %s", what)
		}
	}
}

func (k *keeper) create() wire.CopyAnswer {
	k.t.Helper()
	a, err := k.Create(k.t.Context())
	must(k.t, err)
	k.await("the copy is ready", func() bool {
		a, err = k.Copy(a.ID)
		must(k.t, err)
		return a.State != wire.CopyPreparing
	})
	return a
}

func sumOf(content string) string {
	h := sha256.Sum256([]byte(content))
	return hex.EncodeToString(h[:])
}

// TestCopy: a copy has the files of its moment with their hashes, and goes with its last reader.
func TestCopy(t *testing.T) {
	k := newKeeper(t, t.TempDir(), nil)
	k.write("000001.sst", "table")
	k.write("end", "first")
	a := k.create()
	k.write("end", "second")
	want := []wire.CopyFile{{Name: "000001.sst", Size: 5, SHA256: sumOf("table")}, {Name: "end", Size: 5, SHA256: sumOf("first")}}
	if a.State != wire.CopyReady || len(a.Files) != 2 || a.Files[0] != want[0] || a.Files[1] != want[1] ||
		a.Bytes != 10 || a.Hashed != 10 || a.Position.Seq != 8 || a.Node != "n1" {
		t.Errorf("%+v", a)
	}
	f, err := k.Open(t.Context(), a.ID, "end")
	must(t, err)
	must(t, k.Remove(a.ID))
	if raw, err := io.ReadAll(f); err != nil || string(raw) != "first" {
		t.Errorf("read %q, %v", raw, err)
	}
	dir := filepath.Join(k.o.Dir, a.ID)
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the files went before their reader: %v", err)
	}
	must(t, f.Close())
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the files stay: %v", err)
	}
	for _, err := range []error{k.Remove(a.ID), second(k.Copy(a.ID)), second(k.Open(t.Context(), a.ID, "end"))} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("a removed copy: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestTablesAreHashedOnce: a second copy, also of a later process, reads only what is new. The first file is changed in
// place with its time kept, which no log does, to see that it is not read again.
func TestTablesAreHashedOnce(t *testing.T) {
	dir := t.TempDir()
	k := newKeeper(t, dir, nil)
	k.write("000001.sst", "table")
	k.create()
	info, err := os.Stat(filepath.Join(dir, "000001.sst"))
	must(t, err)
	k.stop()
	k.write("000001.sst", "TABLE")
	must(t, os.Chtimes(filepath.Join(dir, "000001.sst"), info.ModTime(), info.ModTime()))
	k.write("000002.sst", "another")
	k = newKeeper(t, dir, nil)
	a := k.create()
	if a.Files[0].SHA256 != sumOf("table") || a.Files[1].SHA256 != sumOf("another") {
		t.Errorf("%+v", a.Files)
	}
	later := info.ModTime().Add(time.Second)
	must(t, os.Chtimes(filepath.Join(dir, "000001.sst"), later, later))
	if a := k.create(); a.Files[0].SHA256 != sumOf("TABLE") {
		t.Errorf("a file with another time: %+v", a.Files)
	}
}

// TestCopiesExpire: a copy that nobody uses goes, one whose file is open stays, and what an earlier process left is removed.
func TestCopiesExpire(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "copies", "left"), 0o700))
	k := newKeeper(t, dir, nil)
	if _, err := os.Stat(filepath.Join(dir, "copies", "left")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a copy of an earlier process: %v", err)
	}
	k.write("end", "x")
	idle, read := k.create(), k.create()
	f, err := k.Open(t.Context(), read.ID, "end")
	must(t, err)
	k.expire(time.Now().Add(time.Hour - time.Second))
	if len(k.Copies()) != 2 {
		t.Error("removed too early")
	}
	k.expire(time.Now().Add(time.Hour + time.Second))
	if left := k.Copies(); len(left) != 1 || left[0].ID != read.ID {
		t.Errorf("left is %+v, not %s but %s", left, idle.ID, read.ID)
	}
	must(t, f.Close())
	k.expire(time.Now().Add(time.Hour + time.Second))
	if left := k.Copies(); len(left) != 0 {
		t.Errorf("left is %+v", left)
	}
}

// TestRefusals: too many copies, a short disk, and files of a copy that is not ready.
func TestRefusals(t *testing.T) {
	k := newKeeper(t, t.TempDir(), func(o *Options) { o.Rate = 1 })
	k.write("end", "xy")
	k.write("more", "xy")
	a, err := k.Create(t.Context())
	must(t, err)
	if _, err := k.Open(t.Context(), a.ID, "end"); !errors.Is(err, ErrNotReady) {
		t.Errorf("a file of a copy that is being prepared: %v", err)
	}
	for range maxCopies - 1 {
		_, err := k.Create(t.Context())
		must(t, err)
	}
	if _, err := k.Create(t.Context()); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more copy: %v", err)
	}
	must(t, k.Remove(a.ID))
	k.short.Store(true)
	if _, err := k.Create(t.Context()); !errors.Is(err, ErrDisk) {
		t.Errorf("without space: %v", err)
	}
	k.await("the removed copy is gone", func() bool {
		_, err := os.Stat(filepath.Join(k.o.Dir, a.ID))
		return errors.Is(err, os.ErrNotExist)
	})
}

// TestCopyForNobody: a copy whose client has left is not kept.
func TestCopyForNobody(t *testing.T) {
	k := newKeeper(t, t.TempDir(), nil)
	k.write("end", "x")
	ctx, cancel := context.WithCancel(t.Context())
	k.o.Make = func(ctx context.Context, dir string) (At, error) {
		defer cancel()
		return k.link(ctx, dir)
	}
	if _, err := k.Create(ctx); !errors.Is(err, context.Canceled) || len(k.Copies()) != 0 {
		t.Errorf("%v, kept %+v", err, k.Copies())
	}
	if left, err := filepath.Glob(filepath.Join(k.o.Dir, "*", "end")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestRate: readers share the bytes per second.
func TestRate(t *testing.T) {
	k := newKeeper(t, t.TempDir(), nil)
	k.write("end", string(bytes.Repeat([]byte("x"), 1<<20)))
	a := k.create()
	k.pace.rate = 8 << 20
	began := time.Now()
	done := make(chan int64, 2)
	for range 2 {
		go func() {
			f, err := k.Open(t.Context(), a.ID, "end")
			if err != nil {
				t.Error(err)
			}
			n, err := io.Copy(io.Discard, f)
			if err := errors.Join(err, f.Close()); err != nil {
				t.Error(err)
			}
			done <- n
		}()
	}
	if n := <-done + <-done; n != 2<<20 {
		t.Errorf("read %d bytes", n)
	}
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("2 MiB at 8 MiB/s took %s", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f, err := k.Open(ctx, a.ID, "end")
	must(t, err)
	if _, err := f.Read(make([]byte, 10)); !errors.Is(err, context.Canceled) {
		t.Errorf("a reader that has left: %v", err)
	}
	must(t, f.Close())
}

// TestShortDisk: copies go while the disk is short, also one that somebody reads: its files with the last reader.
func TestShortDisk(t *testing.T) {
	k := newKeeper(t, t.TempDir(), nil)
	k.write("end", "x")
	k.create()
	read := k.create()
	f, err := k.Open(t.Context(), read.ID, "end")
	must(t, err)
	k.expire(time.Now())
	if len(k.Copies()) != 2 {
		t.Fatalf("with space: %+v", k.Copies())
	}
	k.short.Store(true)
	k.expire(time.Now())
	if len(k.Copies()) != 0 || second(k.Copy(read.ID)) == nil {
		t.Errorf("kept: %+v", k.Copies())
	}
	must(t, f.Close())
	if left, err := filepath.Glob(filepath.Join(k.o.Dir, "*", "end")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestProgressWithinAFile: the progress of a copy grows within a large file, and ends with the sum of all bytes.
func TestProgressWithinAFile(t *testing.T) {
	k := newKeeper(t, t.TempDir(), func(o *Options) { o.Rate = 2 << 20 })
	k.write("000001.sst", string(bytes.Repeat([]byte("x"), 1<<20)))
	k.write("end", "y")
	a, err := k.Create(t.Context())
	must(t, err)
	within := false
	k.await("the copy is ready", func() bool {
		a, err = k.Copy(a.ID)
		must(t, err)
		within = within || a.Hashed > 0 && a.Hashed < 1<<20
		return a.State == wire.CopyReady
	})
	if !within || a.Hashed != a.Bytes || a.Bytes != 1<<20+1 {
		t.Errorf("progress within the file %v, in the end %d of %d", within, a.Hashed, a.Bytes)
	}
	if again := k.create(); again.Hashed != again.Bytes {
		t.Errorf("with a known hash: %d of %d", again.Hashed, again.Bytes)
	}
}
