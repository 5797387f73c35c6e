package fsm

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"

	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
)

// ErrDamaged means that a file of a folded state cannot be read. It is deleted and folded again.
var ErrDamaged = errors.New("fsm: the folded state is damaged")

// ErrUnwritten means that the disk did not take what had to be written, as when it is full. Nothing is damaged: the process
// ends, and the state is good when the disk takes writes again.
var ErrUnwritten = errors.New("fsm: the disk does not take the folded state; free space or replace the disk, then start again")

// health hears from Pebble what is wrong with a store. It is Pebble's logger, too: what Pebble takes for the end of the
// process is the end of this store only, because its rows can be folded again; but a disk that fails ends the process.
type health struct {
	log     *slog.Logger
	told    func(error) // of the first damage and of a failed write; may be nil
	damage  atomic.Pointer[error]
	failing chan struct{} // has one when a flush or compaction failed
}

// Damage is nil, or says why the store must not be used any more.
func (h *health) Damage() error {
	if err := h.damage.Load(); err != nil {
		return *err
	}
	return nil
}

// note marks the store as damaged, for the first error only, and makes the error ErrDamaged.
func (h *health) note(err error) error {
	err = fmt.Errorf("%w: %w", ErrDamaged, err)
	if !h.damage.CompareAndSwap(nil, &err) {
		return err
	}
	h.log.Error("a file of a folded state cannot be read", "error", err)
	if h.told != nil {
		h.told(err)
	}
	return err
}

// folded passes an error of a fold on. A row that no fold writes, or rows that are not there, are damage of the files, as an
// unreadable block is: a flipped bit in a manifest can bring tables back that were replaced.
func (h *health) folded(err error) error {
	if !errors.Is(err, projections.ErrCorrupt) || errors.Is(err, ErrDamaged) {
		return err
	}
	return h.note(err)
}

// corruption is a pebble.EventListener.DataCorruption.
func (h *health) corruption(info pebble.DataCorruptionInfo) {
	_ = h.note(fmt.Errorf("%s: %w", info.Path, info.Details))
}

// background is a pebble.EventListener.BackgroundError. Pebble tries again.
func (h *health) background(err error) {
	if pebble.IsCorruptionError(err) {
		_ = h.note(err)
	} else {
		h.log.Error("a folded state could not be written in the background", "error", err)
	}
	select {
	case h.failing <- struct{}{}:
	default:
	}
}

// Infof implements pebble.Logger.
func (h *health) Infof(string, ...any) {}

// Errorf implements pebble.Logger.
func (h *health) Errorf(format string, args ...any) { h.log.Error(fmt.Sprintf(format, args...)) }

// Fatalf implements pebble.Logger. An error of the operating system says that the disk is full or fails.
func (h *health) Fatalf(format string, args ...any) {
	for _, arg := range args {
		var errno syscall.Errno
		if err, ok := arg.(error); ok && errors.As(err, &errno) {
			h.unwritten(fmt.Errorf(format, args...))
			return
		}
	}
	_ = h.note(fmt.Errorf(format, args...))
}

func (h *health) unwritten(err error) {
	err = fmt.Errorf("%w: %w", ErrUnwritten, err)
	h.log.Error("the disk does not take a folded state", "error", err)
	if h.told != nil {
		h.told(err)
		return
	}
	h.damage.CompareAndSwap(nil, &err) // nobody listens who could end the process: the store serves nobody any more
}

// Rebuildable reports that an error in opening a folded state is about its own files, so that deleting them helps. A log that
// contradicts it, a full disk or a missing right are another matter.
func Rebuildable(err error) bool {
	for _, other := range []error{ErrAhead, log.ErrCorrupt, log.ErrGap, log.ErrFailed, log.ErrClosed} {
		if errors.Is(err, other) {
			return false
		}
	}
	var errno syscall.Errno
	return !errors.As(err, &errno) || errors.Is(err, fs.ErrNotExist)
}
