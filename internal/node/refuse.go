package node

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/seed"
	"github.com/recount-ledger/recount/internal/verify"
)

// unreadableLog is an error of a log that cannot be opened as it is.
type unreadableLog struct{ error }

// Unwrap returns the error of package log.
func (u unreadableLog) Unwrap() error { return u.error }

// refusals are the errors with which a node refuses its directory.
var refusals = slices.Concat([]error{cluster.ErrLostLog, cluster.ErrEmptyDirectory, cluster.ErrForeignDirectory,
	cluster.ErrInconsistent, log.ErrCorrupt, log.ErrGap, seed.ErrSwitching}, newer)

// newer are the errors at a log, or at state folded from it, that an earlier build cannot read.
var newer = []error{projections.ErrClusterVersion, projections.ErrUnknownKind, event.ErrNewer, projections.ErrNewer,
	verify.ErrUnknownKernel}

// newerLedger adds to such an error what to do.
func newerLedger(err error) error {
	for _, n := range newer {
		if errors.Is(err, n) {
			return fmt.Errorf("%w; the ledger is newer than this build, and nothing is lost: start a build on this "+
				"directory that is as new as those of the other members", err)
		}
	}
	return err
}

// Refused reports whether err, from Open or Run, means that the node must not serve its directory as it is. Another
// start ends in the same way, so the process returns ExitStore, and nothing should start it again by itself.
func Refused(err error) bool {
	for _, r := range refusals {
		if errors.Is(err, r) {
			return true
		}
	}
	return errors.As(err, new(unreadableLog))
}

// refusedLog marks an error of log.Open that another start would not change: all but those of a disk that is full or
// fails, of missing rights, and of a process that still has the log.
func refusedLog(err error) error {
	var errno syscall.Errno
	if err == nil || errors.Is(err, log.ErrInUse) || errors.As(err, &errno) && errno != syscall.ENOENT {
		return err
	}
	return unreadableLog{err}
}
