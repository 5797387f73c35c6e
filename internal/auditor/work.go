package auditor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/verify"
)

// Memory for the log and what is read of it at once, in bytes.
const (
	memTable = 16 << 20
	cache    = 32 << 20
)

// openGenerations is the number of generations that are open at once: two are compared.
const openGenerations = 2

// work is the directory of an audit: the log, and what is folded of it.
type work struct {
	dir     string
	tell    Progress
	quiet   *slog.Logger
	keys    *verify.KeySet // none
	store   *log.Store
	derived *fsm.Derived
	stop    context.CancelFunc // ends the fold of derived
	ran     chan error         // its result
	gens    []*fsm.Generation  // open, the one that was used last at the end
	failed  atomic.Pointer[error]
	shown   uint64  // last event that the source has shown, all before it too; 0 if it has not said
	covered uint64  // events that a checkpoint covers
	tied    uint64  // events of the directory that an earlier run folded, and that are still those
	fresh   bool    // the log is a new copy of the source
	limit   uint64  // last entry that is folded, 0 for all
	cut     uint64  // last event of the log if entries behind the limit have events, else 0
	kept    []claim // checkpoints from before this run

	doubtful bool // the events of the directory are not those of the source, and what is folded of them must not stay
}

// Names in the directory, beside those of a witness.
const (
	eventsDir  = "events"
	partDir    = "events.part" // a copy that is not complete
	derivedDir = "derived"
)

// markFile says whose work a directory holds.
const markFile = "audit.json"

// mark is the content of markFile.
type mark struct {
	Format int    `json:"format"`
	Log    string `json:"log,omitempty"` // the copy of a log that the work began with, "" if it takes events
}

// newWork prepares a directory for a source, a new one or one with earlier work on it. Errors are also ErrOther.
func newWork(dir string, s Source, tell Progress) (*work, error) {
	w := &work{dir: dir, tell: tell, quiet: slog.New(slog.DiscardHandler), keys: verify.NewKeySet(nil)}
	if err := durable.MkdirAll(nil, dir, 0o700); err != nil {
		return nil, err
	}
	want := mark{Format: 1, Log: s.holds()}
	path := filepath.Join(dir, markFile)
	raw, err := os.ReadFile(path)
	if err == nil {
		return w, want.same(path, raw)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if len(entries) == 1 && entries[0].Name() == markFile+".new" { // of a run that was killed while it wrote that
		entries = nil
	}
	if err != nil || len(entries) > 0 {
		return nil, errors.Join(err, fmt.Errorf("%w: %s is not empty and has no %s", ErrOther, dir, markFile))
	}
	if raw, err = json.Marshal(want); err != nil {
		return nil, err
	}
	return w, durable.WriteFile(path, raw, 0o600)
}

// same compares a mark with the one in the file at path.
func (m mark) same(path string, raw []byte) error {
	var got mark
	switch err := json.Unmarshal(raw, &got); {
	case err != nil:
		return fmt.Errorf("%w: %s is damaged: %w", ErrChanged, path, err)
	case got.Format == 0:
		return fmt.Errorf("%w: %s is damaged: it has no format", ErrChanged, path)
	case got != m:
		return fmt.Errorf("%w: %s; use another directory", ErrOther, path)
	}
	return nil
}

func (w *work) path(name string) string { return filepath.Join(w.dir, name) }

// resumes reports whether the directory has the log of an earlier run.
func (w *work) resumes() bool {
	_, err := os.Stat(w.path(eventsDir))
	return err == nil
}

// copied opens the copy of a log, which fetch puts into a new directory unless an earlier run did. index is its last
// entry, 0 if that is not known. All of it is taken, also the end of the log of a stopped node, which nobody may have
// committed yet: a checkpoint may cover events that the node did not know to be committed.
func (w *work) copied(ctx context.Context, index uint64, fetch func(to string) error) error {
	if !w.resumes() {
		w.fresh = true
		part := w.path(partDir)
		if err := errors.Join(os.RemoveAll(part), w.forget()); err != nil {
			return err
		}
		if err := fetch(part); err != nil {
			return err
		}
		if err := os.Rename(part, w.path(eventsDir)); err != nil {
			return err
		}
	}
	if err := durable.SyncDir(nil, w.dir); err != nil {
		return err
	}
	return w.open(ctx, index)
}

// open opens the log, and folds derived/ from then on. index is the last entry of a copy, 0 if it is not
// known.
func (w *work) open(ctx context.Context, index uint64) (err error) {
	resumed := w.resumes() && !w.fresh
	w.store, err = log.Open(w.path(eventsDir), log.Options{Logger: w.quiet, Fatal: w.fail, MemTableBytes: memTable,
		CacheBytes: cache})
	if err != nil && resumed {
		return w.changed(err)
	}
	if err != nil {
		return w.ofLog(err)
	}
	last, err := w.store.LastIndex()
	if err != nil {
		return err
	}
	if last < index {
		err := fmt.Errorf("%w: the log ends at entry %d, the copy should have %d", log.ErrGap, last, index)
		if resumed {
			return w.changed(err)
		}
		return ofLedger(err)
	}
	w.store.CommittedTo(cmp.Or(w.limit, last))
	if err := w.startFold(ctx, resumed); err != nil {
		return err
	}
	loop, stop := context.WithCancel(ctx)
	w.stop, w.ran = stop, make(chan error, 1)
	go func() { w.ran <- w.derived.Run(loop) }()
	return nil
}

// startFold opens derived/ where nothing is folded, unless this run began the fold. What an earlier run folded is only
// held against the events: somebody can have changed it since, and nothing in it would show that.
func (w *work) startFold(ctx context.Context, resumed bool) (err error) {
	if err := w.openDerived(); w.fresh {
		return err
	} else if err != nil {
		return w.changed(err)
	}
	if resumed {
		if err := w.rehash(ctx); err != nil {
			err = errors.Join(err, w.derived.Close(), w.store.Close())
			w.derived, w.store = nil, nil
			return err
		}
		if err := w.noteTied(); err != nil {
			return err
		}
	}
	err = w.derived.Close()
	w.derived = nil
	if err = errors.Join(err, w.forget()); err != nil {
		return err
	}
	return w.openDerived()
}

func (w *work) openDerived() (err error) {
	d, err := folded(w.path(derivedDir), func(dir string) (*fsm.Derived, error) {
		return fsm.OpenDerived(nil, dir, w.store, fsm.DefaultBatchBytes, w.quiet, w.fail)
	})
	if err == nil {
		w.derived = d
	}
	return err
}

// folded opens folded state, and folds it again from the start if its files cannot be used.
func folded[T any](dir string, open func(string) (T, error)) (T, error) {
	v, err := open(dir)
	if err == nil || !fsm.Rebuildable(err) {
		return v, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return v, err
	}
	return open(dir)
}

// endDerived ends the fold of derived/ and returns its error.
func (w *work) endDerived() error {
	w.stop()
	err := <-w.ran
	w.ran <- err
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// awaitDerived returns when derived/ has everything that is in the log.
func (w *work) awaitDerived(ctx context.Context) error {
	target := w.store.Committed()
	return w.await(ctx, w.ran, func(ctx context.Context) error { return w.derived.WaitIndex(ctx, target) },
		func() { w.tell("chain", w.derived.Cursor().Index, target) })
}

// await calls tell until wait has returned, or until a fold has ended, whose error then is in ran again.
func (w *work) await(ctx context.Context, ran chan error, wait func(context.Context) error, tell func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- wait(ctx) }()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			tell()
			return errors.Join(err, w.failure())
		case err := <-ran:
			ran <- err
			cancel()
			<-done
			return errors.Join(w.ofLog(err), w.failure())
		case <-tick.C:
			tell()
		}
	}
}

// tellEvery is the pause between two calls of Progress.
const tellEvery = 200 * time.Millisecond

// generation returns a generation that is folded up to event seq.
func (w *work) generation(ctx context.Context, number uint32, seq uint64) (*fsm.Generation, error) {
	for i, g := range w.gens {
		if g.Number() == number {
			w.gens = append(append(w.gens[:i:i], w.gens[i+1:]...), g)
			return g, w.foldGeneration(ctx, g, seq)
		}
	}
	if len(w.gens) == openGenerations {
		if err := w.gens[0].Close(); err != nil {
			return nil, err
		}
		w.gens = w.gens[1:]
	}
	g, err := folded(w.path(fmt.Sprint("generation-", number)), func(dir string) (*fsm.Generation, error) {
		return fsm.OpenGeneration(nil, dir, number, w.store, w.derived, func() *verify.KeySet { return w.keys },
			fsm.Observer{Failed: w.fail}, fsm.DefaultBatchBytes, w.quiet)
	})
	if err != nil {
		return nil, err
	}
	w.gens = append(w.gens, g)
	return g, w.foldGeneration(ctx, g, seq)
}

func (w *work) foldGeneration(ctx context.Context, g *fsm.Generation, seq uint64) error {
	if g.Cursor().Seq >= seq {
		return nil
	}
	loop, cancel := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() { ran <- g.Run(loop) }()
	err := w.await(ctx, ran, func(ctx context.Context) error { return g.WaitSeq(ctx, seq) },
		func() { w.tell(fmt.Sprint("generation ", g.Number()), g.Cursor().Seq, seq) })
	cancel()
	<-ran
	return err
}

func (w *work) fail(err error) { w.failed.CompareAndSwap(nil, &err) }

// failure returns the first thing that a store reported.
func (w *work) failure() error {
	if err := w.failed.Load(); err != nil {
		return w.ofLog(*err)
	}
	return nil
}

// ofLog marks an error of the log in the directory, or of its fold. The ledger is to blame for what was folded, and for
// bytes that were just copied from it. It is not to blame for bytes that this machine wrote and cannot read back.
func (w *work) ofLog(err error) error {
	if !w.fresh && (errors.Is(err, log.ErrCorrupt) || errors.Is(err, log.ErrGap)) {
		return w.changed(err)
	}
	return ofLedger(err)
}

func (w *work) close() error {
	var errs []error
	if w.stop != nil {
		_ = w.endDerived() // whoever waited for it has its error
	}
	for _, g := range w.gens {
		errs = append(errs, g.Close())
	}
	if w.derived != nil {
		errs = append(errs, w.derived.Close())
	}
	if w.store != nil && w.failure() == nil {
		errs = append(errs, w.store.Close())
	}
	if w.doubtful {
		errs = append(errs, w.forget())
	}
	return errors.Join(errs...)
}

// errLedger means that the events are at fault, and not this machine or the way to the source.
var errLedger = errors.New("the log cannot be read or folded")

// ofLedger marks an error of a log or of its fold with errLedger, unless this machine is the reason.
func ofLedger(err error) error {
	var errno syscall.Errno
	if err == nil || errors.As(err, &errno) {
		return err
	}
	for _, other := range []error{context.Canceled, context.DeadlineExceeded, fsm.ErrDamaged, fsm.ErrUnwritten,
		fsm.ErrAhead, log.ErrInUse, log.ErrClosed} {
		if errors.Is(err, other) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", errLedger, err)
}
