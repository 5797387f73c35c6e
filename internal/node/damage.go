package node

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// ErrRebuild ends a node whose derived/ cannot be read: opened again, it deletes derived/ and folds it anew.
var ErrRebuild = errors.New("derived/ cannot be read; it is deleted and folded again when the node opens")

// droppedPrefix names what is being removed in generations/, so that half of it is never taken for a generation.
const droppedPrefix = ".dropped-"

// derivedMark stands beside derived/ when that must not be opened again.
const derivedMark = "derived.damaged"

func (n *Node) fs() vfs.FS {
	if n.cfg.FS != nil {
		return n.cfg.FS
	}
	return vfs.Default
}

// removeGeneration takes the directory of a closed generation out of sight in one step and removes it then.
func (n *Node) removeGeneration(number uint32) error {
	return n.removeDir(n.generationDir(number), filepath.Join(n.cfg.Dir, "generations", droppedPrefix+strconv.FormatUint(uint64(number), 10)))
}

func (n *Node) removeDir(dir, aside string) error {
	disk := n.fs()
	if err := disk.RemoveAll(aside); err != nil {
		return err
	}
	if err := disk.Rename(dir, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := durable.SyncDir(disk, filepath.Dir(dir)); err != nil {
		return err
	}
	return disk.RemoveAll(aside)
}

// removeLeftovers ends removals that a crash has cut short.
func (n *Node) removeLeftovers() error {
	return errors.Join(n.removeAll(n.cfg.Dir, "derived"+droppedPrefix), n.removeAll(filepath.Join(n.cfg.Dir, "generations"), droppedPrefix))
}

func (n *Node) removeAll(dir, prefix string) error {
	names, err := n.fs().List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			n.log.Info("removing the rest of a folded state", "dir", name)
			err = errors.Join(err, n.fs().RemoveAll(filepath.Join(dir, name)))
		}
	}
	return err
}

// rebuildDamaged deletes generations whose files cannot be read and folds them again. Until the one that answers is back,
// this node answers 503.
func (n *Node) rebuildDamaged() error {
	for number := range n.openNumbers() {
		r, _ := n.gens.get(number)
		if r.Damage() == nil {
			continue
		}
		if n.impossible[number] && errors.Is(r.Damage(), projections.ErrCorrupt) {
			return fmt.Errorf("generation %d was folded again and its rows are wrong once more, so its files are not the reason; "+
				"leave this node stopped and report it: %w", number, r.Damage())
		}
		n.impossible[number] = errors.Is(r.Damage(), projections.ErrCorrupt)
		n.log.Error("a generation is damaged; it is deleted and folded again", "generation", number, "error", r.Damage())
		n.damages.Add(1)
		if err := n.rebuild(r); err != nil {
			return fmt.Errorf("fold generation %d again: %w", number, err)
		}
	}
	return nil
}

// rebuild puts a new generation in the place of a damaged one. The others' comparisons are begun again with the new one.
func (n *Node) rebuild(r *running) error {
	n.stopGeneration(r)
	n.gens.remove(r.Number()) // first: who is told that it is gone waits for the next one
	if err := errors.Join(r.Close(), n.removeGeneration(r.Number())); err != nil {
		return err
	}
	fresh, err := n.openGeneration(r.Number())
	if err != nil {
		return err
	}
	n.gens.serving.CompareAndSwap(r, fresh)
	for number := range n.openNumbers() {
		if other, _ := n.gens.get(number); other != fresh {
			n.stopGeneration(other)
			n.startGeneration(other)
		}
	}
	n.startGeneration(fresh)
	return nil
}

func (n *Node) stopGeneration(r *running) {
	r.cancel()
	r.done.Wait()
}

// openDerived opens derived/, or deletes it and begins anew when it cannot be read.
func (n *Node) openDerived() error {
	dir, mark := filepath.Join(n.cfg.Dir, "derived"), filepath.Join(n.cfg.Dir, derivedMark)
	open := func() (err error) {
		n.derived, err = fsm.OpenDerived(n.cfg.FS, dir, n.store, n.cfg.PackBatchBytes, n.log, n.derivedDamaged)
		return err
	}
	_, marked := n.fs().Stat(mark)
	if marked != nil {
		err := open()
		if err == nil || !fsm.Rebuildable(err) {
			return err
		}
		n.log.Error("derived/ cannot be opened; it is deleted and folded again", "error", err)
	}
	n.damages.Add(1)
	if err := n.removeDir(dir, dir+droppedPrefix); err != nil {
		return err
	}
	if err := n.fs().Remove(mark); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	n.log.Info("derived/ is folded again from the log")
	return open()
}

// errRefolded is the answer of a node that has found a store unreadable which it folds again by itself.
var errRefolded = wire.NewProblem(wire.CodeNotReady,
	"a damaged store of this node is deleted and folded again; ask another node").WithRetry(retryAfter)

// explain says in words why a request met a store that is damaged, or one that is gone meanwhile.
func (n *Node) explain(err error) *wire.Problem {
	switch {
	case errors.Is(err, fsm.ErrDamaged), errors.Is(err, log.ErrCorrupt):
		if p := n.withheld(); p != nil {
			return p // the event log or history/, which are not folded again
		}
		return errRefolded
	case errors.Is(err, fsm.ErrDropped):
		return errRefolded
	}
	return nil
}

// listed is the generation that a list was begun with.
func (n *Node) listed(number uint32) (*running, error) {
	if r, _ := n.gens.get(number); r != nil {
		return r, nil
	}
	return nil, n.gone(number)
}

// gone says why a generation is not open here: the log has dropped it, or it is folded again.
func (n *Node) gone(number uint32) error {
	if row, ok := n.generationRow(number); ok && row.Dropped == 0 {
		return errRefolded
	}
	return api.ErrGenerationGone
}

// endUnwritten ends the process when a disk is full or fails. That is no damage: nothing is deleted and nobody is quarantined.
func (n *Node) endUnwritten(err error) {
	if errors.Is(err, fsm.ErrUnwritten) {
		n.fatal(err)
	}
}

// derivedDamaged is told by the store and must not wait.
func (n *Node) derivedDamaged(err error) {
	n.endUnwritten(err)
	go func() {
		if werr := durable.WriteFile(filepath.Join(n.cfg.Dir, derivedMark), []byte(err.Error()), 0o600); werr != nil {
			n.log.Error("the damage could not be written down", "error", werr)
		}
		n.fail(fmt.Errorf("%w: %w", ErrRebuild, err))
	}()
}

// historyDamaged is told by the store and must not wait.
func (n *Node) historyDamaged(err error) {
	n.endUnwritten(err)
	go n.quarantineHistory(err)
}

// historyLost reports that history/ cannot be read. This node is quarantined then, whoever noticed it first.
func (n *Node) historyLost() bool {
	err := n.history.Damage()
	if err != nil {
		n.quarantineHistory(err)
	}
	return err != nil
}

// quarantineHistory: history/ cannot be folded again here once the generations are gone; another node has the same.
func (n *Node) quarantineHistory(err error) {
	n.enterQuarantine(fmt.Sprintf("history/ cannot be read (%v); put in its place a copy from another node that is "+
		"stopped, remove the file quarantine, then start again", err))
}

// logFailed ends the process. When an entry cannot be read it quarantines the node first, so that it does not come back as if
// nothing were wrong.
func (n *Node) logFailed(err error) {
	if errors.Is(err, log.ErrCorrupt) {
		n.enterQuarantine(fmt.Sprintf("the event log cannot be read: %v", err))
	}
	n.fatal(err)
}
