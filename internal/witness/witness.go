package witness

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/recount-ledger/recount/evidence"
)

// Errors of Add.
var (
	// ErrUnknown means that the witness does not know the ledger.
	ErrUnknown = errors.New("witness: this witness does not know the ledger")
	// ErrFork means that the ledger signed a checkpoint that contradicts the one that the witness has seen.
	ErrFork = errors.New("witness: fork")
)

// ConflictError means that the witness has seen another size than the one that the sender starts from.
type ConflictError struct {
	Size uint64 // that it has seen, 0 for none
	Fork bool   // the new checkpoint has that size and another root
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("witness: the newest checkpoint that this witness cosigned has the size %d", e.Size)
}

// Unwrap makes a conflict of two roots an ErrFork.
func (e *ConflictError) Unwrap() error {
	if e.Fork {
		return ErrFork
	}
	return nil
}

// Options say what a witness is.
type Options struct {
	Dir     string                   // its files
	Secrets []evidence.WitnessSecret // each of them cosigns, at least one
	// Ledgers returns the public keys that are trusted, of all ledgers that the witness knows. Their names are the
	// origins. It is asked with every request, so that keys can change.
	Ledgers func() []evidence.PublicKey
	Now     func() time.Time
	Logger  *slog.Logger
}

// Witness is an open witness. It is safe for concurrent use.
type Witness struct {
	Options
	store *store

	mu      sync.Mutex // over ledgers
	ledgers map[string]*ledger
	counts  counts
}

// ledger holds what a witness has seen of one ledger.
type ledger struct {
	mu sync.Mutex // held from the look at seen until the new checkpoint is durable
	seen
}

// seen is the newest cosigned checkpoint of a ledger.
type seen struct {
	checkpoint evidence.Checkpoint // size 0 for none
	note       []byte
	at         time.Time // of the cosignature
	lines      []byte    // the cosignatures of all keys, nil if another process made them
}

// againAfter is the age from which the cosignatures of the same checkpoint are made anew. Before that they are given
// out again without a write: anybody can send a public checkpoint as often as they like.
const againAfter = time.Minute

// Open opens the directory of a witness, or makes it. One process at a time may have it open. A checkpoint there that
// none of the secret keys cosigned is an error: the witness would not know what it has promised.
func Open(o Options) (*Witness, error) {
	if len(o.Secrets) == 0 {
		return nil, fmt.Errorf("%w: a witness without a key", evidence.ErrFormat)
	}
	s, err := openStore(o.Dir)
	if err != nil {
		return nil, err
	}
	w := &Witness{Options: o, store: s, ledgers: map[string]*ledger{}, counts: counts{}}
	list, err := readLedgers(o.Dir, publicOf(o.Secrets))
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	for _, l := range list {
		w.ledgers[l.checkpoint.Origin] = &ledger{seen: l}
	}
	return w, nil
}

func publicOf(secrets []evidence.WitnessSecret) []evidence.WitnessKey {
	keys := make([]evidence.WitnessKey, len(secrets))
	for i, s := range secrets {
		keys[i] = s.Public()
	}
	return keys
}

// Close lets another process open the directory.
func (w *Witness) Close() error { return w.store.Close() }

// Add cosigns a checkpoint that grew from the one that the witness has seen, and returns the lines of its cosignatures.
// Errors are ErrUnknown, ErrMalformed, a *ConflictError, ErrFork, evidence.ErrSignature, evidence.ErrProof, and those
// of the disk. After any of them the witness has seen what it had seen before.
func (w *Witness) Add(r Request) (lines []byte, err error) {
	keys := w.keysOf(r.origin())
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: %q", ErrUnknown, r.origin())
	}
	c, _, err := evidence.OpenCheckpoint(r.Note, keys...)
	if errors.Is(err, evidence.ErrFormat) {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err != nil {
		return nil, err
	}
	if r.Old > c.Size {
		return nil, fmt.Errorf("%w: the checkpoint of %d events is older than the size %d", ErrMalformed, c.Size, r.Old)
	}
	l := w.ledger(c.Origin)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := w.compare(&l.seen, c, r); err != nil {
		return nil, err
	}
	at := w.Now()
	again := l.lines != nil && textOf(string(r.Note)) == textOf(string(l.note))
	if age := at.Sub(l.at); again && age >= 0 && age < againAfter {
		return l.lines, nil
	}
	whole, lines, err := evidence.Cosign(r.Note, at, keys, w.Secrets...)
	if err != nil {
		return nil, err
	}
	next := seen{c, whole, at, lines}
	if err := w.store.putLedger(next); err != nil {
		return nil, err
	}
	l.seen = next
	return lines, nil
}

// compare returns nil for a checkpoint that grew from what was seen. It keeps one that contradicts it.
func (w *Witness) compare(l *seen, c evidence.Checkpoint, r Request) error {
	have := l.checkpoint
	switch {
	case have.Size > 0 && c.Size == have.Size && c.Root != have.Root:
		return w.keep(l, r, true, &ConflictError{Size: have.Size, Fork: true})
	case r.Old != have.Size:
		return &ConflictError{Size: have.Size}
	case r.Old == 0 && len(r.Proof) > 0:
		return fmt.Errorf("%w: a proof from the size 0 has no hashes", evidence.ErrProof)
	case r.Old == 0:
		return nil
	}
	err := evidence.CheckConsistency(have.Size, c.Size, have.Root, c.Root, r.Proof)
	switch {
	case err == nil:
		return nil
	case evidence.ProvesFork(have, c, r.Proof):
		return w.keep(l, r, true, fmt.Errorf("%w: %w", ErrFork, err))
	case have.Size&(have.Size-1) == 0:
		return w.keep(l, r, false, err)
	}
	return err // hashes that lead nowhere say nothing about the ledger
}

// keep writes both notes to a file and returns why, with what else failed.
func (w *Witness) keep(l *seen, r Request, proven bool, why error) error {
	made, err := w.store.putFork(newFork(l, r, proven, w.Now()))
	if made && !proven {
		w.Logger.Warn("a proof that leads nowhere; the sender may be at fault: ask the ledger for a consistency proof. "+
			"Both checkpoints are kept", "origin", l.checkpoint.Origin, "size", l.checkpoint.Size)
	} else if made {
		w.Logger.Error("a ledger signed a checkpoint that contradicts the one seen; both are kept", "origin",
			l.checkpoint.Origin, "size", l.checkpoint.Size)
	} else if proven {
		w.Logger.Warn("a ledger shows a contradiction again, or one more than are kept", "origin",
			l.checkpoint.Origin, "size", l.checkpoint.Size)
	}
	if err != nil {
		return errors.Join(why, err)
	}
	return why
}

// keysOf returns the trusted keys of a ledger.
func (w *Witness) keysOf(origin string) (keys []evidence.PublicKey) {
	for _, k := range w.Ledgers() {
		if k.Name() == origin {
			keys = append(keys, k)
		}
	}
	return keys
}

func (w *Witness) ledger(origin string) *ledger {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ledgers[origin] == nil {
		w.ledgers[origin] = &ledger{}
	}
	return w.ledgers[origin]
}
