package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/recount-ledger/recount/internal/projections"
)

// TestFullDiskIsNoDamage: what Pebble takes for the end because the disk is full or fails is told as that; only what the
// operating system has no part in is damage.
func TestFullDiskIsNoDamage(t *testing.T) {
	for _, c := range []struct {
		cause   error
		damaged bool
	}{
		{syscall.ENOSPC, false},
		{&fs.PathError{Op: "sync", Path: "MANIFEST-000001", Err: syscall.EIO}, false},
		{fmt.Errorf("sync: %w", syscall.EDQUOT), false},
		{pebble.ErrCorruption, true},
	} {
		var told []error
		h := &health{log: quiet, told: func(err error) { told = append(told, err) }}
		h.Fatalf("MANIFEST sync failed: %v", c.cause)
		if len(told) != 1 || errors.Is(told[0], ErrDamaged) != c.damaged || errors.Is(told[0], ErrUnwritten) == c.damaged {
			t.Errorf("%v: told %v", c.cause, told)
		}
		if (h.Damage() != nil) != c.damaged {
			t.Errorf("%v: damage %v", c.cause, h.Damage())
		}
	}
}

// TestFullDiskThatNobodyHearsOf: a store without a listener ends no process, whose last words would be lost, and serves nobody.
func TestFullDiskThatNobodyHearsOf(t *testing.T) {
	h := &health{log: quiet}
	h.Fatalf("MANIFEST sync failed: %v", syscall.ENOSPC)
	if !errors.Is(h.Damage(), ErrUnwritten) {
		t.Errorf("damage %v", h.Damage())
	}
}

// TestFullDiskUnderHistory: a synced write that finds no room in the write-ahead log does not count as damage of the record.
func TestFullDiskUnderHistory(t *testing.T) {
	full := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".log") {
			return syscall.ENOSPC
		}
		return nil
	})
	on := errorfs.Toggle{Injector: full}
	var told []error
	s, err := openStore(errorfs.Wrap(vfs.NewMem(), &on), "history", quiet, func(err error) { told = append(told, err) }, true)
	if err != nil {
		t.Fatal(err)
	}
	on.On()
	tx := s.begin(1)
	tx.Set([]byte("a"), []byte("b"))
	_ = tx.commitSync() // in a node, telling has ended the process
	on.Off()
	if len(told) == 0 || !errors.Is(told[0], ErrUnwritten) || s.Damage() != nil {
		t.Errorf("told %v, damage %v", told, s.Damage())
	}
	_ = s.db.Close() // its write-ahead log has failed
}

// changeTables does something to the bytes of every table of a store that is closed.
func changeTables(t *testing.T, disk vfs.FS, dir string, change func([]byte)) {
	t.Helper()
	names, err := disk.List(dir)
	tables := 0
	for _, name := range names {
		if path := filepath.Join(dir, name); strings.HasSuffix(name, ".sst") {
			err = errors.Join(err, changeFile(disk, path, change))
			tables++
		}
	}
	if err != nil || tables == 0 {
		t.Fatalf("%d tables in %s: %v", tables, dir, err)
	}
}

func changeFile(disk vfs.FS, path string, change func([]byte)) error {
	info, err := disk.Stat(path)
	if err != nil {
		return err
	}
	b := make([]byte, info.Size())
	f, err := disk.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.ReadAt(b, 0)
	change(b)
	_, werr := f.WriteAt(b, 0)
	return errors.Join(err, werr, f.Close())
}

// TestReadersReportDamage: whoever meets an unreadable block first, by key or in a range, marks the store and gets
// ErrDamaged.
func TestReadersReportDamage(t *testing.T) {
	for what, read := range map[string]func(*View) error{
		"key":   func(v *View) error { _, err := v.Get([]byte("a")); return err },
		"range": func(v *View) error { return v.Scan(nil, nil, false, func(_, _ []byte) bool { return true }) },
		"back":  func(v *View) error { return v.Scan(nil, nil, true, func(_, _ []byte) bool { return true }) },
	} {
		disk := vfs.NewMem()
		s, err := OpenStore(disk, "s", quiet, nil)
		if err != nil {
			t.Fatal(err)
		}
		tx := s.begin(1)
		tx.Set([]byte("a"), []byte("b"))
		if err := errors.Join(tx.commit(), s.Close()); err != nil {
			t.Fatal(err)
		}
		changeTables(t, disk, "s", func(b []byte) { b[3] ^= 4 })
		told := 0
		if s, err = OpenStore(disk, "s", quiet, func(error) { told++ }); err != nil {
			t.Fatal(err)
		}
		v := s.Snapshot()
		if err := read(v); !errors.Is(err, ErrDamaged) || s.Damage() == nil || told != 1 {
			t.Errorf("%s: %v, damage %v, told %d times", what, err, s.Damage(), told)
		}
		if err := errors.Join(v.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestDamagedHistoryOpens: history/ of which a block or a table cannot be read or a row cannot be right opens, and every
// reader of it gets ErrDamaged, so that a node has one end for all of them.
func TestDamagedHistoryOpens(t *testing.T) {
	for what, damage := range map[string]func(*testing.T, vfs.FS){
		"block":   func(t *testing.T, disk vfs.FS) { changeTables(t, disk, "h", func(b []byte) { b[3] ^= 4 }) },
		"trailer": func(t *testing.T, disk vfs.FS) { changeTables(t, disk, "h", func(b []byte) { b[len(b)-3] ^= 4 }) },
		"row":     func(*testing.T, vfs.FS) {},
	} {
		disk := vfs.NewMem()
		h, err := OpenHistory(disk, "h", quiet, nil)
		if err != nil {
			t.Fatal(err)
		}
		row := make([]byte, 41) // no flip at all
		if row[0] = 1; what == "row" {
			row[0] = 9
		}
		tx := h.store.begin(1)
		tx.Set(binary.BigEndian.AppendUint64([]byte{spaceChange}, 7), row)
		if err := errors.Join(tx.commitSync(), h.Close()); err != nil {
			t.Fatal(err)
		}
		damage(t, disk)
		if h, err = OpenHistory(disk, "h", quiet, nil); err != nil {
			t.Fatal(what, err)
		}
		_, _, change := h.Change(7)
		_, _, again := h.Change(8)
		_, of := h.Of(strings.Repeat("00", 32), projections.Latest, 1)
		_, complete := h.Complete("00", 1)
		_, record := h.Record(nil, 9)
		for i, err := range []error{change, again, of, complete, record, h.EachRow(nil), h.Damage()} {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: reader %d: %v", what, i, err)
			}
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestImpossibleRowsAreDamage: a fold that meets a row which no fold writes reports the files, so that they are folded again.
func TestImpossibleRowsAreDamage(t *testing.T) {
	told := 0
	s, err := OpenStore(vfs.NewMem(), "s", quiet, func(error) { told++ })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.folded(io.EOF); err != io.EOF || s.Damage() != nil {
		t.Errorf("another error: %v, damage %v", err, s.Damage())
	}
	err = s.folded(fmt.Errorf("row after event 66: %w", projections.ErrCorrupt))
	if !errors.Is(err, ErrDamaged) || !errors.Is(s.Damage(), projections.ErrCorrupt) || told != 1 {
		t.Errorf("%v, damage %v, told %d times", err, s.Damage(), told)
	}
}
