package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/reads"
	"github.com/recount-ledger/recount/wire"
)

// ErrRebuild ends a node whose derived/ cannot be read. When the node opens again, it deletes derived/ and
// folds it anew.
var ErrRebuild = errors.New("derived/ cannot be read; it is deleted and folded again when the node opens")

// droppedSuffix ends the name of a derived/ that is being removed.
const droppedSuffix = ".dropped-"

// derivedMark stands beside derived/ when that must not be opened again.
const derivedMark = "derived.damaged"

func (c Config) fs() vfs.FS {
	if c.FS != nil {
		return c.FS
	}
	return vfs.Default
}

// openDerived opens derived/, or deletes it and begins anew when it cannot be read.
func (n *Node) openDerived() error {
	dir, mark := filepath.Join(n.cfg.Dir, "derived"), filepath.Join(n.cfg.Dir, derivedMark)
	open := func() (err error) {
		n.derived, err = fsm.OpenDerived(n.cfg.FS, dir, n.store, n.cfg.FoldReadBytes, n.log, n.derivedDamaged)
		return err
	}
	_, marked := n.cfg.fs().Stat(mark)
	if marked != nil {
		err := open()
		if err == nil || !fsm.Rebuildable(err) {
			return err
		}
		if errors.Is(err, fsm.ErrFormat) {
			n.log.Info("derived/ was written by another release; it is deleted and folded again", "error", err)
		} else {
			n.log.Error("derived/ cannot be opened; it is deleted and folded again", "error", err)
		}
		marked = err
	}
	if !errors.Is(marked, fsm.ErrFormat) {
		n.damages.Add(1)
	}
	if err := durable.RemoveDir(n.cfg.FS, dir, dir+droppedSuffix); err != nil {
		return err
	}
	if err := n.cfg.fs().Remove(mark); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	n.log.Info("derived/ is folded again from the log")
	return open()
}

// explain returns the problem of a request that met a store that is damaged, or one that was dropped meanwhile.
func (n *Node) explain(err error) *wire.Problem {
	switch {
	case errors.Is(err, fsm.ErrDamaged), errors.Is(err, log.ErrCorrupt):
		if p := n.withheld(); p != nil {
			return p // the event log or history/, which are not folded again
		}
		return reads.ErrRefolded
	case errors.Is(err, fsm.ErrDropped):
		return reads.ErrRefolded
	}
	return nil
}

// endUnwritten ends the process when a disk is full or fails. That is no damage: nothing is deleted and nobody
// is quarantined.
func (n *Node) endUnwritten(err error) {
	if errors.Is(err, fsm.ErrUnwritten) {
		n.fatal(err)
	}
}

// derivedDamaged takes the report of the store that derived/ is damaged. It must not wait.
func (n *Node) derivedDamaged(err error) {
	n.endUnwritten(err)
	go func() {
		if werr := durable.WriteFile(filepath.Join(n.cfg.Dir, derivedMark), []byte(err.Error()), 0o600); werr != nil {
			n.log.Error("the damage could not be written down", "error", werr)
		}
		n.fail(fmt.Errorf("%w: %w", ErrRebuild, err))
	}()
}

// unreadable begins the reason of a quarantine because of a damaged log.
const unreadable = "the event log cannot be read"

// UnreadableLog reports whether the node in dir is quarantined because its log could not be read.
func UnreadableLog(dir string) (bool, error) {
	reason, err := os.ReadFile(filepath.Join(dir, quarantineFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return strings.HasPrefix(string(reason), unreadable), err
}

// EndUnreadable ends such a quarantine, once the node has another log.
func EndUnreadable(dir string) error {
	is, err := UnreadableLog(dir)
	if err != nil || !is {
		return err
	}
	return errors.Join(os.Remove(filepath.Join(dir, quarantineFile)), durable.SyncDir(nil, dir))
}

// logFailed ends the process. When an entry cannot be read it quarantines the node first, so that it does not
// come back as if nothing were wrong.
func (n *Node) logFailed(err error) {
	if errors.Is(err, log.ErrCorrupt) {
		n.quarantine.enter(fmt.Sprintf("%s: %v", unreadable, err))
	}
	n.fatal(err)
}
