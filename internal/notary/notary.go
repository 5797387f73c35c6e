package notary

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// signEvery lies between two looks at the head. A checkpoint is behind by that and the time of one question.
const signEvery = 500 * time.Millisecond

// retryAfter is the time that a client is told to wait when this node has no answer now.
const retryAfter = time.Second

// Tree is the Merkle tree of the events that this node has folded. *fsm.Derived implements it.
type Tree interface {
	Root(size uint64) ([32]byte, error)
	Tile(t log.Tile, width int) ([]byte, error)
	Inclusion(seq, size uint64) ([][32]byte, error)
	Consistency(old, size uint64) ([][32]byte, error)
	Items() func(seq uint64) (projections.Item, error)
}

// Options connect a notary with its node.
type Options struct {
	Origin   string        // of the ledger
	KeyFile  string        // secret keys, "" for a node that signs nothing
	KeyPoll  time.Duration // how often the file is read again
	Tree     Tree
	Outcomes Outcomes
	Folds    Folds
	// Witnesses are asked to cosign. Receipts and GET /checkpoint show what a quorum cosigned, and after a while
	// what this node signed alone.
	Witnesses evidence.WitnessPolicy
	History   string // file with the checkpoints that this node signed, "" for none
	// Head returns the active generation and the last event that it has folded, 0 for none.
	Head func() (generation uint32, seq uint64)
	// Agreed returns the root of the tree of the first seq events once a majority of the voters has the same
	// digests of log, outcomes and control state there. Otherwise it returns an error that says why not.
	Agreed func(ctx context.Context, generation uint32, seq uint64) (root [32]byte, err error)
	// Confirm returns once this node has folded everything that was committed before the call.
	Confirm func(ctx context.Context) error
	// Withheld returns the reason why this node answers no client, nil for none.
	Withheld func() *wire.Problem
	Logger   *slog.Logger
}

// Notary signs checkpoints and reads proofs. It is safe for concurrent use.
type Notary struct {
	Options
	keys    atomic.Pointer[[]evidence.SecretKey]
	shown   atomic.Pointer[Shown]
	waiters atomic.Pointer[chan struct{}] // closed with the next checkpoint
	bundles places                        // for bundles of records
	entries places                        // for bundles of leaves

	cosigner *cosigner // nil without witnesses
	cosigned atomic.Pointer[Shown]
	behind   atomic.Int64 // since when the newest checkpoint has no quorum of cosignatures, Unix nanoseconds; 0 for not

	history    *history
	caughtUp   bool         // with what was committed before the start
	compared   bool         // the history with the tree
	contradict atomic.Bool  // the history and the tree are of two ledgers
	late       atomic.Int64 // since when the head has no checkpoint, Unix nanoseconds; 0 for not

	signed, unsigned atomic.Uint64
	filesFailed      atomic.Bool
}

// Shown is the newest checkpoint of this node.
type Shown struct {
	evidence.Checkpoint
	Note []byte

	keys       *[]evidence.SecretKey
	generation uint32 // under which the voters agreed
}

// ErrContradiction means that the tree of this node does not begin with a checkpoint that it signed before.
var ErrContradiction = errors.New("this node signed another ledger under this origin before; it signs nothing")

// New reads the key file and the history. Files that cannot be used are an error.
func New(o Options) (*Notary, error) {
	n := &Notary{Options: o, bundles: make(places, bundlesAtOnce), entries: make(places, entriesAtOnce),
		cosigner: newCosigner(&o)}
	n.wake()
	if o.KeyFile == "" {
		return n, nil
	}
	keys, err := ReadKeys(o.KeyFile, o.Origin)
	if err != nil {
		return nil, fmt.Errorf("checkpoint_key_file: %w", err)
	}
	n.keys.Store(&keys)
	if o.History != "" {
		if n.history, err = openHistory(o.History, o.Origin, n.publicKeys, o.Logger); err != nil {
			return nil, fmt.Errorf("history of checkpoints: %w", err)
		}
	}
	return n, nil
}

// publicKeys returns those with which this node signs now.
func (n *Notary) publicKeys() []evidence.PublicKey {
	secret := *n.keys.Load()
	public := make([]evidence.PublicKey, len(secret))
	for i, k := range secret {
		public[i] = k.Public()
	}
	return public
}

// Close makes the history durable.
func (n *Notary) Close() error {
	if n.history == nil {
		return nil
	}
	return n.history.close()
}

// Cosign collects the cosignatures of the witnesses until ctx ends.
func (n *Notary) Cosign(ctx context.Context) error {
	if n.cosigner == nil || n.KeyFile == "" {
		<-ctx.Done()
		return ctx.Err()
	}
	return n.cosign(ctx)
}

// Run signs a checkpoint as soon as there is a new position that a majority agrees on, until ctx ends.
func (n *Notary) Run(ctx context.Context) error {
	if n.KeyFile == "" {
		<-ctx.Done()
		return ctx.Err()
	}
	failing, read := "", time.Now()
	for {
		if time.Since(read) >= n.KeyPoll {
			n.rereadKeys()
			read = time.Now()
		}
		err := n.sign(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			failing = ""
		case failing != err.Error():
			failing = err.Error()
			n.Logger.Warn("no checkpoint of the newest event is signed; the one before stays", "error", err)
		}
		if err := pause.For(ctx, signEvery); err != nil {
			return err
		}
	}
}

// sign shows a checkpoint of the head, unless it is shown already.
func (n *Notary) sign(ctx context.Context) error {
	generation, seq := n.Head()
	keys, shown := n.keys.Load(), n.shown.Load()
	if seq == 0 || n.Withheld() != nil {
		return nil
	}
	same := shown != nil && keys == shown.keys && generation == shown.generation
	if shown != nil && (seq < shown.Size || seq == shown.Size && same) {
		n.late.Store(0)
		return nil
	}
	n.late.CompareAndSwap(0, time.Now().UnixNano())
	if ready, err := n.follows(ctx, seq); err != nil {
		n.unsigned.Add(1)
		return err
	} else if !ready {
		return nil
	}
	root, err := n.Agreed(ctx, generation, seq)
	if err != nil {
		n.unsigned.Add(1)
		return err
	}
	c := evidence.Checkpoint{Origin: n.Origin, Size: seq, Root: root}
	note, err := evidence.SignCheckpoint(c, *keys...)
	if err != nil {
		n.unsigned.Add(1)
		return err
	}
	if err := n.keep(c, note); err != nil {
		n.unsigned.Add(1)
		return err
	}
	n.behind.CompareAndSwap(0, time.Now().UnixNano())
	n.shown.Store(&Shown{c, note, keys, generation})
	n.late.Store(0)
	n.signed.Add(1)
	n.wake()
	return nil
}

// wake ends the waits for the next checkpoint.
func (n *Notary) wake() {
	c := make(chan struct{})
	if old := n.waiters.Swap(&c); old != nil {
		close(*old)
	}
}

// next returns a channel that is closed with the next checkpoint.
func (n *Notary) next() <-chan struct{} { return *n.waiters.Load() }

// rereadKeys takes over the keys of the file. A file that cannot be used changes nothing.
func (n *Notary) rereadKeys() {
	keys, err := ReadKeys(n.KeyFile, n.Origin)
	if failed := err != nil; n.filesFailed.Swap(failed) != failed && failed {
		n.Logger.Error("the checkpoint keys cannot be read again; the keys of before stay in use", "error", err)
	}
	if err != nil || sameKeys(keys, *n.keys.Load()) {
		return
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.String()
	}
	n.keys.Store(&keys)
	n.Logger.Info("checkpoint keys read again", "keys", names)
}

// closed returns the reason why this node gives no evidence, nil for none. Everybody may ask for evidence, so a
// node gives it out only when its operator has set a key.
func (n *Notary) closed() *wire.Problem {
	if n.KeyFile == "" {
		return wire.NewProblem(wire.CodeNotFound,
			"this node has no checkpoint key (setting checkpoint_key_file); ask another one")
	}
	return n.Withheld()
}

// Latest returns the newest checkpoint, cosigned or not. A node without a key has none, which is a problem
// not_found, and one that has signed nothing yet is not_ready. So is one that will sign nothing, with the reason and no
// time to wait.
func (n *Notary) Latest() (*Shown, error) {
	if p := n.closed(); p != nil {
		return nil, p
	}
	shown := n.shown.Load()
	if shown == nil && n.contradict.Load() {
		return nil, wire.NewProblem(wire.CodeNotReady, ErrContradiction.Error()+" (docs/runbooks/checkpoints.md)")
	}
	if shown == nil {
		return nil, wire.NewProblem(wire.CodeNotReady, "no checkpoint is signed yet").WithRetry(retryAfter)
	}
	return shown, nil
}

// Checkpoint returns the note of the newest checkpoint. It implements api.Evidence.
func (n *Notary) Checkpoint() ([]byte, error) {
	shown, err := n.Latest()
	if err != nil {
		return nil, err
	}
	if c := n.cosigned.Load(); c != nil && !n.stale() {
		shown = c
	}
	return shown.Note, nil
}
