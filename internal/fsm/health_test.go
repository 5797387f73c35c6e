package fsm

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
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
	_ = tx.apply(pebble.Sync) // in a node, telling has ended the process
	on.Off()
	if len(told) == 0 || !errors.Is(told[0], ErrUnwritten) || s.Damage() != nil {
		t.Errorf("told %v, damage %v", told, s.Damage())
	}
	_ = s.db.Close() // its write-ahead log has failed
}
