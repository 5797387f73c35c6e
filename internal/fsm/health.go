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

// ErrDamaged means that a file of a folded state cannot be read. The state is deleted and folded again.
var ErrDamaged = errors.New("fsm: the folded state is damaged")

// ErrUnwritten means that the disk did not accept a write, for example because it is full. Nothing is damaged.
// The process ends, and the state is good once the disk accepts writes again.
var ErrUnwritten = errors.New("fsm: the disk does not take the folded state; free space or replace the disk, " +
	"then start again")

// health receives the errors that Pebble reports for a store. It is also Pebble's logger. What Pebble considers
// fatal ends only this store, because its rows can be folded again. A disk that fails ends the process.
type health struct {
	log     *slog.Logger
	told    func(error) // called for the first damage and for a failed write; may be nil
	damage  atomic.Pointer[error]
	failing chan struct{} // has one when a flush or compaction failed
}

// Damage returns the reason why the store must not be used any more, or nil.
func (h *health) Damage() error {
	if err := h.damage.Load(); err != nil {
		return *err
	}
	return nil
}

// note wraps err in ErrDamaged. The first such error marks the store as damaged.
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

// folded returns the error of a fold. A row that no fold writes and a row that is missing are damage of the
// files, as an unreadable block is: a flipped bit in a manifest can bring back tables that were replaced.
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

// Fatalf implements pebble.Logger. An error of the operating system means that the disk is full or fails.
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
	h.damage.CompareAndSwap(nil, &err) // nobody can end the process, so the store serves nobody any more
}

// Rebuildable reports whether an error in opening a folded state concerns its own files, so that deleting them
// helps. It is false for a log that contradicts the state, a full disk and a missing permission.
func Rebuildable(err error) bool {
	for _, other := range []error{ErrAhead, log.ErrCorrupt, log.ErrGap, log.ErrFailed, log.ErrClosed} {
		if errors.Is(err, other) {
			return false
		}
	}
	var errno syscall.Errno
	return !errors.As(err, &errno) || errors.Is(err, fs.ErrNotExist)
}
