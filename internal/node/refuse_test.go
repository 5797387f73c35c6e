package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/log"
)

// TestRefused: an error that another start cannot change is told apart from those that pass.
func TestRefused(t *testing.T) {
	for err, want := range map[error]bool{
		nil:                             false,
		cluster.ErrLostLog:              true,
		cluster.ErrEmptyDirectory:       true,
		cluster.ErrTooFewAnswers:        false,
		refusedLog(log.ErrInUse):        false,
		refusedLog(syscall.ENOSPC):      false,
		refusedLog(syscall.EACCES):      false,
		refusedLog(syscall.ENOENT):      true,
		refusedLog(errors.New("odd")):   true,
		errors.New("something else"):    false,
		refusedLog(log.ErrCorrupt):      true,
		fmt.Errorf("x: %w", log.ErrGap): true,
	} {
		if got := Refused(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
	if refusedLog(nil) != nil {
		t.Error("no error is one")
	}
}

// TestLogWithoutItsEndIsRefused: what package log says of a damaged directory is a refusal.
func TestLogWithoutItsEndIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	s, err := log.Open(dir, log.Options{})
	if err == nil {
		err = errors.Join(s.Close(), os.Remove(filepath.Join(dir, "end")))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Open(dir, log.Options{}); !Refused(refusedLog(err)) {
		t.Errorf("a log without its end: %v", err)
	}
}
