package auditor

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
)

// readBytes is the memory for entries that are hashed at once.
const readBytes = 4 << 20

// errEnough ends the reading of a log.
var errEnough = errors.New("enough")

// each reads the events of a log, from the first on to event end, each as it is in its entry.
func each(ctx context.Context, src *log.Store, end uint64, fn func(seq uint64, raw int64, ev event.Event) error) error {
	seq, last := uint64(0), src.Committed()
	one := func(e log.Entry) error {
		if !e.Command() {
			return nil
		}
		pack, err := event.DecodePack(e.Data)
		if err != nil {
			return fmt.Errorf("entry %d: %w", e.Index, err)
		}
		for _, ev := range pack.Events {
			if seq == end {
				return errEnough
			}
			seq++
			if err := fn(seq, pack.ProposedAt, ev); err != nil {
				return err
			}
		}
		return nil
	}
	for next := uint64(1); next <= last && seq < end; {
		after, err := src.Read(next, readBytes, one)
		switch {
		case errors.Is(err, errEnough):
			return nil
		case err != nil:
			return err
		case after == next:
			return fmt.Errorf("%w: nothing at entry %d of %d", log.ErrGap, next, last)
		}
		if next = after; ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// leaves hashes the events of a log.
func leaves(ctx context.Context, src *log.Store, end uint64, fn func(seq uint64, leaf event.Leaf) error) error {
	return each(ctx, src, end, func(seq uint64, raw int64, ev event.Event) error {
		return fn(seq, event.Leaf{Format: event.LeafFormat, Seq: seq, RawTime: raw, Kind: ev.Kind,
			PayloadSHA256: sha256.Sum256(ev.Payload)})
	})
}

// rehash reads the events that an earlier run folded from the log again. Their tree must be the one that was folded:
// files on a disk can have been changed since.
func (w *work) rehash(ctx context.Context) error {
	had := w.derived.Cursor().Seq
	if had == 0 {
		return nil
	}
	var edge log.RightEdge
	err := leaves(ctx, w.store, had, func(seq uint64, leaf event.Leaf) error {
		if seq%1000 == 0 {
			w.tell("rehash", seq, had)
		}
		_, err := edge.Append(nil, leaf.Hash())
		return err
	})
	if err != nil {
		return w.changed(err)
	}
	root, err := w.derived.Root(had)
	if err == nil && (edge.Size() != had || edge.Root() != root) {
		err = fmt.Errorf("its %d events are not those that were folded", had)
	}
	if err == nil {
		w.tied = had
	}
	return w.changed(err)
}

// other is the difference of a source that does not have events of the directory. If nothing shows that these were ever
// taken from a ledger, they may have been changed there, and it is ErrChanged.
func (w *work) other(from, to uint64, what string) error {
	if from <= w.tied {
		return &differs{from, to, what}
	}
	if shown, err := w.proven(from); err != nil {
		return err
	} else if shown {
		return &differs{from, to, what}
	}
	w.doubtful = true
	return fmt.Errorf("%w: files in %s are damaged, missing or of another ledger: event %d: %s. Nothing shows that "+
		"the directory has the event as it was taken", ErrChanged, w.dir, from, what)
}

// proven reports whether a checkpoint from before this run shows that an event was committed as the directory has it.
func (w *work) proven(seq uint64) (bool, error) {
	for _, k := range w.kept {
		if k.at < seq || k.at > w.derived.Cursor().Seq {
			continue
		}
		root, err := w.derived.Root(k.at)
		if err != nil || root == [32]byte(k.log) {
			return err == nil, err
		}
	}
	return false, nil
}

// changed marks an error of the files of an earlier run with ErrChanged, unless this machine is the reason.
func (w *work) changed(err error) error {
	var errno syscall.Errno
	folds := errors.Is(err, fsm.ErrAhead) || errors.Is(err, fsm.ErrDamaged)
	if err = ofLedger(err); errors.Is(err, errLedger) || folds && !errors.As(err, &errno) {
		return fmt.Errorf("%w: files in %s are damaged, missing or of another ledger: %w", ErrChanged, w.dir, err)
	}
	return err
}

// copiedAgain holds the log of a node that did not run against the copy of an earlier run, and goes on with the new
// copy. Events that the log does not have any more as they were are a difference, but for those behind the end of what
// was known to be committed: other entries may have replaced them.
func (w *work) copiedAgain(ctx context.Context, r *Report, fetch func(to string) error) (err error) {
	if err := w.open(ctx, 0); err != nil {
		return err
	}
	if err := w.awaitDerived(ctx); err != nil {
		return err
	}
	part := w.path(partDir)
	if err := errors.Join(os.RemoveAll(part), fetch(part)); err != nil {
		return err
	}
	had := w.derived.Cursor().Seq
	at, err := w.firstOther(ctx, part, had)
	if err != nil {
		return err
	}
	if at != 0 {
		index, _, err := w.derived.Locate(at)
		if err != nil {
			return err
		}
		committed, err := w.proven(at)
		if err != nil {
			return err
		}
		if committed || index <= w.store.Floor() {
			what := fmt.Sprintf("the log does not have the %s of the earlier run in %s any more", counted(had, "event"), w.dir)
			return errors.Join(w.other(at, had, what), os.RemoveAll(part))
		}
		r.not("events %d to %d of the earlier run: other ones are in their place now. Nothing showed that they were "+
			"committed", at, had)
	}
	if err := w.replace(part, at != 0); err != nil {
		return err
	}
	return w.open(ctx, 0)
}

// firstOther returns the first event up to had that the log in dir does not have as it was folded, 0 for none.
// The ledger is to blame for what cannot be read there.
func (w *work) firstOther(ctx context.Context, dir string, had uint64) (at uint64, err error) {
	s, err := log.Open(dir, log.Options{Logger: w.quiet, Fatal: func(error) {}, // what it tells ends the reading, too
		MemTableBytes: memTable, CacheBytes: cache})
	if err != nil {
		return 0, ofLedger(err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	last, err := s.LastIndex()
	if err != nil {
		return 0, err
	}
	s.CommittedTo(last)
	seen := uint64(0)
	err = leaves(ctx, s, had, func(seq uint64, leaf event.Leaf) error {
		folded, err := w.derived.Leaf(seq)
		if err == nil && folded != leaf.Hash() {
			err = errEnough
		}
		if err == nil {
			seen = seq
		}
		return err
	})
	if err != nil {
		return 0, ofLedger(err)
	}
	if seen < had {
		return seen + 1, nil
	}
	return 0, nil
}

// replace puts another copy in the place of the log. With anew, nothing that was folded of it stays.
func (w *work) replace(part string, anew bool) error {
	if err := errors.Join(w.endDerived(), w.derived.Close(), w.store.Close()); err != nil {
		return err
	}
	w.derived, w.store, w.stop, w.fresh = nil, nil, nil, true
	if anew {
		if err := w.forget(); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(w.path(eventsDir)); err != nil {
		return err
	}
	return os.Rename(part, w.path(eventsDir))
}

// forget removes what was folded.
func (w *work) forget() error {
	names, err := fs.Glob(os.DirFS(w.dir), "generation-*")
	if err != nil {
		return err
	}
	for _, name := range append(names, derivedDir) {
		if err := os.RemoveAll(w.path(name)); err != nil {
			return err
		}
	}
	return nil
}
