package notary

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/wire"
)

// witnessGrace is the time for which a cosigned checkpoint is shown instead of newer ones without a quorum.
const witnessGrace = 10 * time.Second

// confirmTimeout bounds one wait for what was committed before the start.
const confirmTimeout = 5 * time.Second

// follows reports whether this node may sign the size seq: it has folded what it signed before it was started,
// and that was of the same tree. What it signed was committed, so it needs no history to know that it has folded it.
// A history that goes beyond all that is committed is of another ledger.
func (n *Notary) follows(ctx context.Context, seq uint64) (bool, error) {
	if !n.caughtUp {
		ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
		defer cancel()
		if err := n.Confirm(ctx); err != nil {
			return false, fmt.Errorf("what was committed before the start is not folded: %w", err)
		}
		n.caughtUp = true
		if _, head := n.Head(); head > seq {
			return false, nil
		}
	}
	if n.history == nil || n.compared {
		return true, nil
	}
	last, found := n.history.newest()
	if !found {
		n.compared = true
		return true, nil
	}
	if seq < last.Size {
		return false, n.contradicted()
	}
	root, err := n.Tree.Root(last.Size)
	if err != nil {
		return false, err
	}
	if root != last.Root {
		return false, n.contradicted()
	}
	n.compared = true
	return true, nil
}

func (n *Notary) contradicted() error {
	n.contradict.Store(true)
	return ErrContradiction
}

// keep adds a checkpoint to the history.
func (n *Notary) keep(c evidence.Checkpoint, note []byte) error {
	if n.history == nil {
		return nil
	}
	return n.history.add(Kept{c, time.Now().UTC(), note})
}

// publish shows a checkpoint that a quorum of witnesses cosigned.
func (n *Notary) publish(s *Shown) {
	if err := n.keep(s.Checkpoint, s.Note); err != nil {
		n.Logger.Warn("a cosigned checkpoint is not kept in the history", "error", err)
	}
	n.cosigned.Store(s)
	if newest := n.shown.Load(); newest.Size == s.Size && newest.generation == s.generation {
		n.behind.Store(0)
	} else {
		n.behind.Store(time.Now().UnixNano())
	}
	n.wake()
}

// stale reports whether the witnesses lag behind for so long that newer checkpoints are shown without them.
func (n *Notary) stale() bool { return since(n.behind.Load()) > witnessGrace }

// covers returns a checkpoint that has event seq and was agreed on under the generation, nil for none yet.
// Without last it is one that a quorum cosigned, as long as the witnesses answer.
func (n *Notary) covers(newest *Shown, seq uint64, generation uint32, last bool) *Shown {
	for _, s := range []*Shown{n.cosigned.Load(), newest} {
		alone := s == newest && n.cosigner != nil && !last && !n.stale()
		if s != nil && !alone && s.Size >= seq && s.generation == generation {
			return s
		}
	}
	return nil
}

// Checkpoints lists checkpoints that this node signed, with sizes less than before, the largest first. It implements
// api.Evidence.
func (n *Notary) Checkpoints(before uint64, limit int) (*wire.CheckpointPage, error) {
	if p := n.closed(); p != nil {
		return nil, p
	}
	page := &wire.CheckpointPage{Checkpoints: []wire.CheckpointEntry{}}
	if n.history == nil {
		return page, nil
	}
	list, more := n.history.before(before, limit)
	for _, k := range list {
		page.Checkpoints = append(page.Checkpoints, wire.CheckpointEntry{Size: k.Size, Root: hex.EncodeToString(k.Root[:]),
			SignedAt: wire.Time(k.At), Note: string(k.Note)})
	}
	if more {
		page.NextBefore = list[len(list)-1].Size
	}
	return page, nil
}
