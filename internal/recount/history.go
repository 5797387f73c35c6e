package recount

import (
	"fmt"

	"github.com/recount-ledger/recount/internal/fsm"
)

// neededByHistory returns the generations of activations whose flips are not recorded here yet.
func (m *Manager) neededByHistory() map[uint32]bool {
	out := map[uint32]bool{}
	for _, a := range m.ctrl.Control().Activations() {
		if _, ok, err := m.history.Change(a.Seq); err == nil && !ok {
			out[a.Generation], out[a.From] = true, true
		}
	}
	return out
}

// Change returns what is recorded of the activation at event seq. A damaged history quarantines this node. The
// activation counts as recorded then.
func (m *Manager) Change(seq uint64) (fsm.Change, bool, error) {
	c, ok, err := m.history.Change(seq)
	if m.historyLost() {
		return c, true, nil
	}
	return c, ok, err
}

// ReadChange is Change for other nodes: a damaged history is an error.
func (m *Manager) ReadChange(seq uint64) (fsm.Change, bool, error) {
	c, ok, err := m.history.Change(seq)
	m.historyLost()
	return c, ok, err
}

// Recorded returns the newest flips of a pcs_id that are recorded up to the activation at seq upTo, at most limit.
func (m *Manager) Recorded(pcsID string, upTo uint64, limit int) ([]fsm.Recorded, error) {
	recorded, err := m.history.Of(pcsID, upTo, limit)
	m.historyLost()
	return recorded, err
}

// Complete returns at most limit pcs_ids with recorded flips that begin with prefix.
func (m *Manager) Complete(prefix string, limit int) ([]string, error) {
	ids, err := m.history.Complete(prefix, limit)
	m.historyLost()
	return ids, err
}

// History returns what is recorded at this moment. The caller closes it.
func (m *Manager) History() *fsm.HistoryView { return m.history.View() }

// HistoryBytes returns the bytes on disk of history/.
func (m *Manager) HistoryBytes() uint64 { return m.history.DiskBytes() }

// historyDamaged is told by the store and must not wait.
func (m *Manager) historyDamaged(err error) {
	m.o.Host.Unwritten(err)
	go m.quarantineHistory(err)
}

// historyLost reports that history/ cannot be read. This node is quarantined then, whoever noticed it first.
func (m *Manager) historyLost() bool {
	err := m.history.Damage()
	if err != nil {
		m.quarantineHistory(err)
	}
	return err != nil
}

// quarantineHistory: history/ cannot be folded again here once the generations are gone. Another node has the same.
func (m *Manager) quarantineHistory(err error) {
	m.o.Host.Quarantine(fmt.Sprintf("history/ cannot be read (%v); put in its place a copy from another node that is "+
		"stopped, remove the file quarantine, then start again", err))
}
