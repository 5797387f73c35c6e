package projections

import (
	"fmt"
	"sync"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// ControlView is the control state that a fold reads: as of an event, including that event. Control.For returns
// it.
type ControlView interface {
	PolicyAt(seq uint64) (PolicyRow, bool)
	// RegisteredKey returns the algorithm of a registered key and, for Ed25519, its public key. Neither ever
	// changes for a key.
	RegisteredKey(id string, seq uint64) (alg verify.Alg, public []byte, ok bool)
	// Revoked reports whether an event of that log time must ignore the key because it was revoked.
	Revoked(id string, seq uint64, logTime int64) bool
	// Allowed reports whether the terms of a key permit a submission to a shard.
	Allowed(id, shard string, seq uint64, logTime int64) bool
	// SecretRetired reports whether nodes may lack the secret of a key. Nothing that a fold writes may depend
	// on it.
	SecretRetired(id string) bool
	// Disputed reports whether a majority of the voters had found the recorded facts of event seq false before
	// this fold was started. The fold then ignores them.
	Disputed(seq uint64) bool
	// Frozen returns the freeze that refuses new submissions of a shard and key at event seq. It returns false
	// if there is none.
	Frozen(shard, key string, seq uint64) (FreezeRow, bool)
}

// GenesisRow identifies the ledger.
type GenesisRow struct {
	Seq       uint64
	LogTime   int64
	ClusterID string
	Kernel    int
	Policy    [32]byte // id of policy 1
}

// PolicyRow is a policy and the event that made it known.
type PolicyRow struct {
	Seq    uint64
	ID     [32]byte
	Policy verify.Policy
}

// DigestRow is a logged state digest: the state of the leader's folds after event At.
type DigestRow struct {
	Seq                 uint64 // the event that carries it
	LogTime             int64
	At                  uint64
	Log, State, Control [32]byte
	Generation          uint32
}

// Control folds operators' events. Rows are versioned by seq and cached in memory, so reads as of any seq are
// cheap. Several goroutines may read while one goroutine folds. After an error of Fold, or if its Tx was not
// committed, the Control must be loaded again.
type Control struct {
	mu      sync.RWMutex
	seq     uint64 // last operator's event folded
	run     uint64 // first of the operators' events that end with seq without a submission between them
	digest  [32]byte
	genesis *GenesisRow
	sched   schedules
	reg     registry
	creds   credentials

	restored []RestoredRow
	version  uint32   // of the cluster
	raised   []uint64 // events that raised it
	invited  invitations
}

// NewControl returns the control state before the first event.
func NewControl() *Control {
	return &Control{sched: newSchedules(), reg: newRegistry(), creds: newCredentials(),
		version: event.FirstVersion}
}

// Genesis returns the genesis row, or false if there is none as of seq.
func (c *Control) Genesis(seq uint64) (GenesisRow, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.genesis == nil || c.genesis.Seq > seq {
		return GenesisRow{}, false
	}
	return *c.genesis, true
}

// Digest returns the last operator's event folded and the control digest after it.
func (c *Control) Digest() (seq uint64, digest [32]byte) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.seq, c.digest
}

func upTo[T any](rows []T, in func(T) bool) []T {
	n := 0
	for n < len(rows) && in(rows[n]) {
		n++
	}
	return append(make([]T, 0, n), rows[:n]...)
}

// Fold folds one event. Submissions change nothing. Events must come in order of seq. Fold fails with
// ErrUnknownKind, ErrClusterVersion, ErrBadEvent, ErrOrder or an error about a policy that this binary cannot apply. Such a log
// must not be folded further.
func (c *Control) Fold(tx Tx, it *Item) error {
	if !it.Kind.Known() {
		return fmt.Errorf("event %d: %w: %d", it.Seq, ErrUnknownKind, it.Kind)
	}
	if it.Kind == event.Submission {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if it.Seq <= c.seq {
		return fmt.Errorf("event %d after %d: %w", it.Seq, c.seq, ErrOrder)
	}
	return c.foldOperator(tx, it)
}
