// Package fsm turns committed log positions into folded state. Raft's goroutines only learn here that a position is
// committed; follower loops with cursors of their own read the committed entries and fold them: one for the control
// state (derived/), one for the live generation (generations/1/). Start-up, live tail and replay are the same loop.
//
// The package refuses to fold anything on Raft's goroutines, to read an entry that is not committed, and to go on after
// a store error, a gap or an event kind that it does not know.
package fsm

import (
	"errors"
	"io"

	"github.com/hashicorp/raft"
)

// ErrRestore is returned to Raft when it tries to install a snapshot: a node is seeded from the log or from a copy of
// its files, never from a Raft snapshot.
var ErrRestore = errors.New("fsm: restoring from a raft snapshot is not supported")

// Publisher learns how far the log is committed.
type Publisher interface {
	CommittedTo(index uint64)
}

// FSM is the raft.BatchingFSM of the ledger: it publishes the committed position and folds nothing.
type FSM struct {
	log Publisher
}

var _ raft.BatchingFSM = (*FSM)(nil)

// New returns the FSM that publishes committed positions to log.
func New(log Publisher) *FSM { return &FSM{log: log} }

// Apply publishes the position of one committed entry.
func (f *FSM) Apply(l *raft.Log) any {
	f.log.CommittedTo(l.Index)
	return nil
}

// ApplyBatch publishes the position of the last entry of a committed batch. The answers are nil: an outcome comes from
// the live fold, never from Raft.
func (f *FSM) ApplyBatch(logs []*raft.Log) []any {
	if len(logs) > 0 {
		f.log.CommittedTo(logs[len(logs)-1].Index)
	}
	return make([]any, len(logs))
}

// Snapshot returns an empty snapshot: the log is never compacted and the folded state is on disk already.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) { return emptySnapshot{}, nil }

// Restore refuses.
func (f *FSM) Restore(r io.ReadCloser) error {
	return errors.Join(ErrRestore, r.Close())
}

type emptySnapshot struct{}

func (emptySnapshot) Persist(sink raft.SnapshotSink) error { return sink.Close() }
func (emptySnapshot) Release()                             {}
