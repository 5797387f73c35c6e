package node

import (
	"context"
	"encoding/hex"
	"errors"
	"path/filepath"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/copies"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/wire"
)

// copyLife is the time after which a copy of the log that nobody uses is removed.
const copyLife = 15 * time.Minute

// copyMemory bounds the memory in which the end of a copy is written to a table, in bytes.
const copyMemory = 16 << 20

// retryCopy is the time that a client is told to wait when this node has no room for a copy.
const retryCopy = 10 * time.Second

// copyKeeper implements api.Copies. A node whose data is not on the disk keeps no copies.
type copyKeeper struct{ *copies.Manager }

var _ api.Copies = copyKeeper{}

func newCopies(n *Node) (copyKeeper, error) {
	if n.cfg.FS != nil {
		return copyKeeper{}, nil
	}
	m, err := copies.New(copies.Options{
		Dir:       filepath.Join(n.cfg.Dir, "copies"),
		Node:      n.cfg.NodeID,
		ClusterID: n.cfg.ClusterID,
		Rate:      int64(n.cfg.CopyRate),
		Life:      copyLife,
		Short:     func() bool { return n.disk.Free() < n.disk.PauseBelow() },
		Logger:    n.log,
		Make:      func(ctx context.Context, dir string) (copies.At, error) { return makeCopy(ctx, n, dir) },
	})
	return copyKeeper{m}, err
}

// makeCopy copies the log up to the last entry that the serving generation has folded.
func makeCopy(ctx context.Context, n *Node, dir string) (copies.At, error) {
	serving := n.gens.Serving()
	end := serving.Cursor()
	d, err := n.derived.DigestsAt(serving.Generation, end.Seq)
	if err != nil {
		return copies.At{}, err
	}
	if err := n.store.Checkpoint(ctx, dir, end.Index); err != nil {
		return copies.At{}, err
	}
	return copies.At{
		Position: wire.CopyPosition{
			Index:   end.Index,
			Term:    end.Term,
			Seq:     end.Seq,
			LogTime: wire.TimeNS(end.LogTime),
		},
		Digest: copyDigest(d, serving.Number()),
	}, log.Trim(dir, end.Index, log.Options{Logger: n.log, MemTableBytes: copyMemory, CacheBytes: copyMemory})
}

func copyDigest(d fsm.Digests, generation uint32) wire.CopyDigest {
	return wire.CopyDigest{
		Log:        hex.EncodeToString(d.Log[:]),
		State:      hex.EncodeToString(d.State[:]),
		Control:    hex.EncodeToString(d.Control[:]),
		Generation: generation,
	}
}

// runCopies removes copies that nobody uses.
func (k copyKeeper) run(ctx context.Context) error {
	if k.Manager == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	return k.Run(ctx)
}

var errNoCopies = wire.NewProblem(wire.CodeNotFound, "this node has no data on a disk to copy")

// copyProblem returns what a client gets for an error of the manager.
func copyProblem(err error) error {
	switch {
	case errors.Is(err, copies.ErrNotFound):
		return api.ErrNotFound
	case errors.Is(err, copies.ErrNotReady):
		return wire.NewProblem(wire.CodeStale, "the files of the copy are still being hashed; wait until it is ready")
	case errors.Is(err, copies.ErrTooMany):
		return wire.NewProblem(wire.CodeOverloaded, "this node keeps no more copies; remove one, or wait until one "+
			"expires").WithRetry(retryCopy)
	case errors.Is(err, copies.ErrDisk):
		return wire.NewProblem(wire.CodeOverloaded, "too little disk space for a copy").WithRetry(retryCopy)
	}
	return err
}

// Create implements api.Copies.
func (k copyKeeper) Create(ctx context.Context) (wire.CopyAnswer, error) {
	if k.Manager == nil {
		return wire.CopyAnswer{}, errNoCopies
	}
	a, err := k.Manager.Create(ctx)
	return a, copyProblem(err)
}

// Copies implements api.Copies.
func (k copyKeeper) Copies() []wire.CopyAnswer {
	if k.Manager == nil {
		return nil
	}
	return k.Manager.Copies()
}

// Copy implements api.Copies.
func (k copyKeeper) Copy(id string) (wire.CopyAnswer, error) {
	if k.Manager == nil {
		return wire.CopyAnswer{}, errNoCopies
	}
	a, err := k.Manager.Copy(id)
	return a, copyProblem(err)
}

// Remove implements api.Copies.
func (k copyKeeper) Remove(id string) error {
	if k.Manager == nil {
		return errNoCopies
	}
	return copyProblem(k.Manager.Remove(id))
}

// Open implements api.Copies.
func (k copyKeeper) Open(ctx context.Context, id, name string) (api.CopyContent, error) {
	if k.Manager == nil {
		return api.CopyContent{}, errNoCopies
	}
	f, err := k.Manager.Open(ctx, id, name)
	if err != nil {
		return api.CopyContent{}, copyProblem(err)
	}
	return api.CopyContent{ReadSeekCloser: f, CopyFile: f.CopyFile}, nil
}
