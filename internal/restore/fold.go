// Package restore opens backups: it proves that one is a sound ledger, and founds a new cluster with it. It founds one
// with the log of a node that survived the loss of a majority in the same way.
//
//	Verify    hashes of all files -> open the log -> fold it -> compare the digests with the manifest
//	Restore   the same in the directory of a new node -> cut the log, if asked to -> the event "restored"
//	          -> the configuration with one voter -> node.json
//	Keep      the same with the log of a survivor, which is read as package survivor does and stays as it is
//
// The fold is the one of a node. It needs no keys: what HMAC keys signed is in the log as a fact, and is trusted here as
// in every fold. A restored cluster has another id than the one that was backed up, and its first node an id that the
// ledger never had, so that the nodes of both clusters refuse each other.
//
// The package takes room for a copy of the log and for what is folded of it. It never changes a backup.
package restore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// ErrDiffers means that the folded log has another digest or end than the manifest says.
var ErrDiffers = errors.New("restore: the backup is not the ledger that its manifest describes")

// Memory for the log and what is read of it at once, in bytes.
const (
	memTable  = 16 << 20
	cache     = 32 << 20
	foldBatch = fsm.DefaultBatchBytes
)

// tellEvery is the pause between two calls of Progress.
const tellEvery = 200 * time.Millisecond

// Progress is called during long stages.
type Progress func(stage string, done, total uint64)

// ledger is a log that is folded up to its end.
type ledger struct {
	store   *log.Store
	derived *fsm.Derived
	active  *fsm.Generation
	keys    *verify.KeySet

	compared, differ atomic.Uint64 // digests in the log, and those of them that the fold contradicts
	failed           atomic.Pointer[error]
}

// openLedger opens the log in events, whose last entry is index, and folds it into new directories below work. number is
// the generation to fold, 0 for the one that is active at the end.
func openLedger(ctx context.Context, events, work string, index uint64, number uint32,
	tell Progress) (l *ledger, err error) {
	l = &ledger{keys: verify.NewKeySet(nil)}
	fail := func(err error) { l.failed.CompareAndSwap(nil, &err) }
	quiet := slog.New(slog.DiscardHandler)
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
			l = nil
		}
	}()
	l.store, err = log.Open(events, log.Options{Logger: quiet, Fatal: fail, MemTableBytes: memTable,
		CacheBytes: cache})
	if err != nil {
		return l, err
	}
	if last, _ := l.store.LastIndex(); last != index {
		return l, fmt.Errorf("%w: the log ends at entry %d, not at %d", ErrDiffers, last, index)
	}
	l.store.CommittedTo(index)
	l.derived, err = fsm.OpenDerived(nil, filepath.Join(work, "derived"), l.store, foldBatch, quiet, fail)
	if err != nil {
		return l, err
	}
	total, err := l.foldDerived(ctx, tell)
	if err != nil {
		return l, err
	}
	if number == 0 {
		number, _ = l.derived.Control().Active()
	}
	l.active, err = fsm.OpenGeneration(nil, filepath.Join(work, "generation"), number, l.store, l.derived,
		func() *verify.KeySet { return l.keys }, fsm.Observer{Digest: l.digest, Failed: fail}, foldBatch, quiet)
	if err != nil {
		return l, err
	}
	return l, l.foldActive(ctx, index, total, tell)
}

func (l *ledger) digest(_ projections.DigestRow, agrees bool) {
	l.compared.Add(1)
	if !agrees {
		l.differ.Add(1)
	}
}

// foldDerived folds the control state and the hashes of all events, and returns the number of events.
func (l *ledger) foldDerived(ctx context.Context, tell Progress) (uint64, error) {
	done := make(chan error, 1)
	go func() { done <- l.derived.CatchUp(ctx) }()
	total := l.store.Committed()
	err := l.await(ctx, done, func() { tell("chain", l.derived.Cursor().Index, total) })
	return l.derived.Cursor().Seq, err
}

// foldActive folds the outcomes of all events.
func (l *ledger) foldActive(ctx context.Context, index, total uint64, tell Progress) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 2)
	go func() { done <- l.active.WaitIndex(ctx, index) }()
	ran := make(chan error, 1)
	go func() {
		err := l.active.Run(ctx) // until ctx ends, unless the fold fails
		done <- err
		ran <- err
	}()
	err := l.await(ctx, done, func() { tell("fold", l.active.Cursor().Seq, total) })
	cancel()
	<-ran
	return err
}

// await calls tell until done has a result, which it returns.
func (l *ledger) await(ctx context.Context, done <-chan error, tell func()) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			tell()
			return errors.Join(err, l.failure())
		case <-ctx.Done():
			return errors.Join(<-done, l.failure())
		case <-tick.C:
			tell()
		}
	}
}

// failure returns the first thing that a store reported.
func (l *ledger) failure() error {
	if err := l.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (l *ledger) close() error {
	var errs []error
	if l.active != nil {
		errs = append(errs, l.active.Close())
	}
	if l.derived != nil {
		errs = append(errs, l.derived.Close())
	}
	if l.store != nil {
		errs = append(errs, l.store.Close())
	}
	return errors.Join(errs...)
}

// end returns the place and the digests at the end of the log.
func (l *ledger) end() (wire.CopyPosition, wire.CopyDigest, error) {
	at := l.derived.Cursor()
	d, err := l.derived.DigestsAt(l.active, at.Seq)
	return wire.CopyPosition{Index: at.Index, Term: at.Term, Seq: at.Seq, LogTime: wire.TimeNS(at.LogTime)},
		wire.CopyDigest{
			Log:        hex.EncodeToString(d.Log[:]),
			State:      hex.EncodeToString(d.State[:]),
			Control:    hex.EncodeToString(d.Control[:]),
			Generation: l.active.Number(),
		}, err
}

// name returns the id of the cluster that had the ledger at an event.
func (l *ledger) name(seq uint64) (string, error) {
	names := l.derived.Control().Names(seq)
	if len(names) == 0 {
		return "", fmt.Errorf("%w: event %d is before the first that names a cluster", ErrRange, seq)
	}
	return names[len(names)-1], nil
}
