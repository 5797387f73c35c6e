package recount

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
)

// Host gives the manager what it needs of the node that it runs in. Its methods must not wait.
type Host interface {
	// Verifiers returns the keys that the node can check signatures with now.
	Verifiers() *verify.KeySet
	// Fail ends the node, because the active generation, or the one being activated, cannot go on.
	Fail(err error)
	// Unwritten ends the process when err says that a disk is full or fails (fsm.ErrUnwritten), and does
	// nothing otherwise.
	Unwritten(err error)
	// Quarantine makes the node answer no client until somebody has examined it.
	Quarantine(reason string)
	// FactsMismatch hears that the recorded signature facts of an event do not hold with the keys of this node.
	FactsMismatch(generation uint32, seq uint64)
	// DigestFolded hears of a digest in the log, and whether this node has the same.
	DigestFolded(logged projections.DigestRow, agrees bool)
	// Folded hears of every outcome that the serving generation has folded.
	Folded(r projections.Result)
}

// Disk knows the space for the data directory, in bytes.
type Disk interface {
	Free() uint64
	PauseBelow() uint64 // below this, generations that are not active wait
}

// Peers are the voters of the cluster.
type Peers struct {
	Self string          // the id of this node, which may be a learner
	IDs  func() []string // returns the ids of all voters now

	// Call sends a peer RPC to another voter.
	Call func(ctx context.Context, voter, path string, body []byte) ([]byte, error)
}

// Options are the parts that a manager works with.
type Options struct {
	Dir   string // data directory of the node; the manager uses generations/ and history/ in it
	FS    vfs.FS // nil: the disk
	Batch int    // bytes of log that one batch of the active generation reads

	Log     *log.Store
	Control *fsm.Derived // control state, folded up to what is known to be committed
	Host    Host
	Disk    Disk
	Peers   Peers
	Logger  *slog.Logger
}

// Manager opens, builds, compares, switches and drops the generations of one node. It is safe for concurrent use.
type Manager struct {
	o    Options
	log  *slog.Logger
	ctx  context.Context // of the loops
	ctrl *fsm.Derived

	history *fsm.History

	mu      sync.Mutex
	open    map[uint32]*Running
	changed chan struct{}           // closed when a generation is opened, closed or begins to serve
	serving atomic.Pointer[Running] // changed only when the next one has folded the event that activates it

	impossible map[uint32]bool // folded again because of rows that no fold writes; for reconcile alone
	damages    atomic.Uint64   // generations that could not be read and are folded again
	submitted  atomic.Int64    // when a submission came in last, Unix nanoseconds
}

// Running is a generation that this node has open, with its loops.
type Running struct {
	*fsm.Generation
	cancel context.CancelFunc
	done   sync.WaitGroup
	failed atomic.Pointer[error]
	diff   atomic.Pointer[fsm.Comparison] // with the generation that was active when it began
	meter  meter
	until  uint64 // event that it must have folded before it answers: what the node knew when it was opened

	folding, comparing throttle
	paused             atomic.Pointer[string] // why it waits
}

// Comparison returns the comparison with the generation that was active when it began, nil before the first one. The
// caller must check that its Old is still the one it means.
func (r *Running) Comparison() *fsm.Comparison { return r.diff.Load() }

// Open opens history/ and the generations that the control state knows. Its loops start with Run and end with ctx.
func Open(ctx context.Context, o Options) (*Manager, error) {
	m := &Manager{o: o, log: o.Logger, ctx: ctx, ctrl: o.Control, open: map[uint32]*Running{},
		changed: make(chan struct{}), impossible: map[uint32]bool{}}
	var err error
	m.history, err = fsm.OpenHistory(o.FS, filepath.Join(o.Dir, "history"), o.Logger, m.historyDamaged)
	if err != nil {
		return nil, err
	}
	m.historyLost()
	if err := m.openAll(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Get returns an open generation, nil when this node has none of that number, and a channel that is closed when
// that may have changed.
func (m *Manager) Get(number uint32) (*Running, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.open[number], m.changed
}

// Await returns a generation once it is open.
func (m *Manager) Await(ctx context.Context, number uint32) (*Running, error) {
	for {
		r, changed := m.Get(number)
		if r != nil {
			return r, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// each calls fn for every open generation, in no order.
func (m *Manager) each(fn func(r *Running)) {
	for number := range m.numbers() {
		if r, _ := m.Get(number); r != nil {
			fn(r)
		}
	}
}

func (m *Manager) numbers() map[uint32]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[uint32]bool{}
	for number := range m.open {
		out[number] = true
	}
	return out
}

func (m *Manager) notify() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.changed)
	m.changed = make(chan struct{})
}

// remove takes a generation from the open ones.
func (m *Manager) remove(number uint32) {
	m.mu.Lock()
	delete(m.open, number)
	m.mu.Unlock()
	m.notify()
}

// serve makes a generation the serving one, unless another one has been opened under its number.
func (m *Manager) serve(r *Running) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open[r.Number()] != r {
		return false
	}
	m.serving.Store(r)
	return true
}

// Damages counts the generations that could not be read and were, or are, folded again.
func (m *Manager) Damages() uint64 { return m.damages.Load() }

// DiskBytes returns the bytes on disk of all open generations.
func (m *Manager) DiskBytes() (sum uint64) {
	m.each(func(r *Running) { sum += r.DiskBytes() })
	return sum
}

// Unflushed returns what all open generations have in memory and not on the disk, at most, in bytes.
func (m *Manager) Unflushed() (sum uint64) {
	m.each(func(r *Running) { sum += r.Unflushed() })
	return sum
}

// Close ends all loops and closes the stores. Run must have returned.
func (m *Manager) Close() error {
	m.each(func(r *Running) { // all before the first store is closed: a comparison reads two
		if r.cancel != nil {
			m.Stop(r)
		}
	})
	var errs []error
	m.each(func(r *Running) { errs = append(errs, r.Close()) })
	return errors.Join(append(errs, m.history.Close())...)
}
