// Package fsm turns committed log entries into folded state on disk. Raft's goroutines only learn here that a
// position is committed. Loops with cursors of their own read the committed entries and fold them with the
// rules of package projections.
//
// # Folds
//
// A node runs one fold of the control state, in derived/, and one fold for each generation that it keeps, in
// generations/N/. derived/ holds what all generations share: the number and the place of every event, the
// Merkle hashes, the operators' events and the Raft configuration. A generation holds the outcomes of all
// submissions under one sequence of policies. It never passes derived/, because it reads the control state as
// of each event.
//
// Start-up, live operation and a recount are the same loop, called follow. In miniature:
//
//	for {
//		committed := log.Wait(ctx, cursor.Index)    // until Raft commits more
//		for cursor.Index < committed {
//			b := f.read(ctx, cursor)        // a run of entries; events decoded, numbered, dated
//			f.prepare(b, 0, len(b.items))   // decode records, check signatures, on all processors
//			f.fold(ctx, b)                  // in order; rows and cursor into the open step
//		}
//	}
//
// While few entries wait, the loop does this one batch after the other. While many wait, a pipeline (pipeline.go) reads
// and prepares the next batches as one batch is folded, within a bound of memory. Only fold depends on the order. It must
// give the same rows on every node, so it reads no clock, no configuration and nothing random.
//
// derived/ keeps the newest entries decoded (head, bounded in bytes). A generation at the head of the log takes its
// batches from there, so that a node decodes and hashes each entry once. A generation that is further behind, such
// as one that is being built, reads the log itself.
//
// derived/ also keeps in memory the right edge of the Merkle tree, so that it appends events without reading a hash,
// and the entry and the leaf of the last events. Each generation compares the last event of a batch with them.
//
// # Numbers and log time
//
// Events are numbered from 1 along the log. An entry of Raft's own holds no event and moves the index only:
//
//	entry   1        2         3          4
//	holds   config   pack[2]   pack[3]    noop
//	seq     -        1 2       3 4 5      -
//
// Each pack carries the clock of the node that proposed it. Log time follows these clocks but never runs
// backwards, and one pack moves it by an hour at most (MaxStep). A pack that is further ahead leaves it
// unchanged, unless the pack is a ClockStep event that more than half of the voters agreed on.
//
// # Steps
//
// The rows of several batches reach Pebble together, in one step. A row that each of them writes, such as the cursor
// or the row of a busy shard, is then written once. A step is applied when it is large, at the end of a window of
// 100 ms, and before anybody reads, so that readers see all that is folded. A batch that comes after an idle time
// is applied at once. A large step is applied while the fold goes on in the next one. Those who wait for outcomes get
// them from memory and wait for no step:
//
//	batch      1         2    3         4    5         reader    6
//	applied    1                        2-4            5         at the end of the window
//	           window 1 ........ window 2 ........... window 3 ..
//
// # Durability
//
// A folded state has no write-ahead log. Pebble makes steps durable in the order in which they were applied, and
// each step holds rows together with the cursor. After a crash the store is therefore at an
// earlier cursor and the loop continues there. Flushes bound this work to about a second.
//
// A file that cannot be read (ErrDamaged) is no reason to stop the node: the directory is deleted and folded
// again. A full disk (ErrUnwritten) ends the process and damages nothing. History, which must survive dropped
// generations, is the exception: it is written with synced batches.
//
// # Comparisons
//
// Comparison reads two generations event by event and stores each difference, called a flip, beside the rows of
// the newer one. Its running digest goes into the log when a generation is activated, so that all nodes switch
// on equal contents. History keeps the flips of every activation permanently.
//
// # Limits
//
// FSM.Apply never folds, and its responses are nil: outcomes come from the fold of the active generation.
// Nothing here reads an entry that is not committed. A loop stops at an error of the log, at a gap and at an
// event kind that this release does not know. Raft snapshots are empty, and Restore returns ErrRestore: a new
// node copies the log.
package fsm

import (
	"errors"
	"io"

	"github.com/hashicorp/raft"
)

// ErrRestore is returned to Raft when it tries to install a snapshot. A node is seeded from the log or from a
// copy of its files.
var ErrRestore = errors.New("fsm: restoring from a raft snapshot is not supported")

// Publisher records the committed position of the log.
type Publisher interface {
	CommittedTo(index uint64)
}

// FSM is the raft.BatchingFSM of the ledger. It publishes the committed position and folds nothing.
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

// ApplyBatch publishes the position of the last entry of a committed batch. The responses are nil because
// outcomes come from the fold of the active generation, never from Raft.
func (f *FSM) ApplyBatch(logs []*raft.Log) []any {
	if len(logs) > 0 {
		f.log.CommittedTo(logs[len(logs)-1].Index)
	}
	return make([]any, len(logs))
}

// Snapshot returns an empty snapshot, because the log is never compacted and the folded state is already on
// disk.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) { return emptySnapshot{}, nil }

// Restore closes r and returns ErrRestore.
func (f *FSM) Restore(r io.ReadCloser) error {
	return errors.Join(ErrRestore, r.Close())
}

type emptySnapshot struct{}

func (emptySnapshot) Persist(sink raft.SnapshotSink) error { return sink.Close() }
func (emptySnapshot) Release()                             {}
