package log

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fullFS has no room for files.
type fullFS struct{ vfs.FS }

func (fullFS) Create(string, vfs.DiskWriteCategory) (vfs.File, error) { return nil, syscall.ENOSPC }

// TestBackoff: on a full disk one attempt a second is made to write a file, not ten thousand; with room there is no pause.
func TestBackoff(t *testing.T) {
	full, began := Backoff(fullFS{vfs.NewMem()}), time.Now()
	for range 2 {
		if _, err := full.Create("a", vfs.WriteCategoryUnspecified); !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < backoffPause*9/10 {
		t.Errorf("the second attempt came after %s", took)
	}
	began = time.Now()
	room := Backoff(vfs.NewMem())
	for range 1000 {
		f, err := room.Create("a", vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took > 100*backoffPause {
		t.Errorf("1,000 files with room took %s", took)
	}
}
