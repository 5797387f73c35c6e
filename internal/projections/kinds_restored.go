package projections

import "github.com/recount-ledger/recount/internal/event"

// RestoredRow is one restoration: a cluster was founded with the log of another one, from a backup or from a node that
// survived the loss of a majority. Events up to Kept are those of the earlier cluster.
type RestoredRow struct {
	Seq     uint64
	LogTime int64

	From, ClusterID     string // names of the ledger before and after
	Kept, KeptIndex     uint64 // last event and last entry that were kept
	Log, State, Control [32]byte
	Generation          uint32 // active after event Kept, the one of State
	Backup              string // id of the backup, empty with a survivor
	BackupSeq           uint64 // last event of the backup. If it is above Kept, the ledger was cut
	Survivor            string // node whose log was kept, empty with a backup
	Floor, FloorSeq     uint64 // last entry, and its last event, that the survivor knew to be committed
	Node                string // the only node at first
	RestoredAt          int64  // Unix nanoseconds, clock of the machine that restored
	Op                  Op
}

// decideRestored applies a restoration directly behind the events that it keeps, to a name that the ledger never had.
func decideRestored(c *Control, o *operator, m *event.RestoredV1) Effect {
	names := c.names(o.seq)
	if len(names) == 0 || names[len(names)-1] != m.FromClusterId || m.ClusterId == "" || !hasSource(m) ||
		m.Node == "" || m.Seq != o.seq-1 || m.Index == 0 ||
		len(m.Log) != 32 || len(m.State) != 32 || len(m.Control) != 32 {
		return Ignored
	}
	for _, name := range names {
		if name == m.ClusterId {
			return Ignored
		}
	}
	return Applied
}

// hasSource reports whether the log came either from a backup or from a survivor.
func hasSource(m *event.RestoredV1) bool {
	if m.Survivor == "" {
		return m.Backup != "" && m.BackupSeq >= m.Seq && m.Floor == 0 && m.FloorSeq == 0
	}
	return m.Backup == "" && m.BackupSeq == 0 && m.Floor > 0 && m.Floor <= m.Index && m.FloorSeq <= m.Seq
}

func applyRestored(c *Control, o *operator, m *event.RestoredV1) {
	c.restored = append(c.restored, RestoredRow{
		Seq:        o.seq,
		LogTime:    o.logTime,
		From:       m.FromClusterId,
		ClusterID:  m.ClusterId,
		Kept:       m.Seq,
		KeptIndex:  m.Index,
		Log:        [32]byte(m.Log),
		State:      [32]byte(m.State),
		Control:    [32]byte(m.Control),
		Generation: m.Generation,
		Backup:     m.Backup,
		BackupSeq:  m.BackupSeq,
		Survivor:   m.Survivor,
		Floor:      m.Floor,
		FloorSeq:   m.FloorSeq,
		Node:       m.Node,
		RestoredAt: m.RestoredAt,
		Op:         opOf(m.Op),
	})
	for i := range c.invited {
		if r := &c.invited[i]; r.open(o.logTime) {
			r.End = EndedByRestoring
		}
	}
}

// names returns the names of the ledger up to event seq, oldest first. c.mu must be held.
func (c *Control) names(seq uint64) []string {
	if c.genesis == nil || c.genesis.Seq > seq {
		return nil
	}
	out := []string{c.genesis.ClusterID}
	for _, r := range c.restored {
		if r.Seq <= seq {
			out = append(out, r.ClusterID)
		}
	}
	return out
}

// Names returns the ids of the clusters that had this ledger up to event seq, oldest first: the one of the genesis
// event, then one for each restoration. It is empty before the genesis event.
func (c *Control) Names(seq uint64) []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.names(seq)
}

// Restorations returns the restorations up to event seq, oldest first.
func (c *Control) Restorations(seq uint64) []RestoredRow {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return upTo(c.restored, func(r RestoredRow) bool { return r.Seq <= seq })
}
