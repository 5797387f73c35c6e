// Package ledgertest runs the ledger of one node in memory. Log, control state, generations and packer are the
// real ones, on a file system in memory. Consensus commits every entry at once, and the clock stands still until
// a test moves it.
package ledgertest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// Node is the id of the only node.
const Node = "n1"

// Start is the time at which the clock stands first.
var Start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Ledger is a running ledger. Its end is part of the cleanup of the test.
type Ledger struct {
	Store  *log.Store
	State  *fsm.Derived
	Gens   *recount.Manager
	Packer *propose.Packer[projections.Result]

	t      testing.TB
	keySet *verify.KeySet
	now    atomic.Int64 // Unix nanoseconds

	mu   sync.Mutex
	last uint64 // index of the last entry
	down bool   // no quorum
}

// New starts a ledger with its first policy, in which the keys are registered.
func New(t testing.TB, keys ...verify.Key) *Ledger {
	t.Helper()
	l := &Ledger{t: t, keySet: verify.NewKeySet(keys)}
	l.now.Store(Start.UnixNano())
	fs, quiet := vfs.NewMem(), slog.New(slog.DiscardHandler)
	var err error
	l.Store, err = log.Open("events", log.Options{FS: fs, Logger: quiet})
	l.must(err)
	l.begin(keys)
	l.State, err = fsm.OpenDerived(fs, "derived", l.Store, 1<<20, quiet, nil)
	l.must(err)
	l.must(l.State.CatchUp(t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	l.Gens, err = recount.Open(ctx, recount.Options{
		Dir:     "n",
		FS:      fs,
		Batch:   1 << 20,
		Log:     l.Store,
		Control: l.State,
		Host:    host{l},
		Disk:    space{},
		Peers:   recount.Peers{Self: Node, IDs: func() []string { return []string{Node} }},
		Logger:  quiet,
	})
	l.must(err)
	l.Packer = propose.New(propose.Options[projections.Result]{
		Log:      consensus{l},
		Outcomes: l.Gens.Outcomes,
		Now:      l.now.Load,
		MaxQueue: 1 << 20,
		Deadline: 10 * time.Second,
	})
	var loops sync.WaitGroup
	for _, run := range []func(context.Context) error{l.State.Run, l.Gens.Run} {
		loops.Go(func() {
			if err := run(ctx); ctx.Err() == nil {
				t.Errorf("a loop ended: %v", err)
			}
		})
	}
	t.Cleanup(func() {
		l.Packer.Close()
		cancel()
		loops.Wait()
		if err := errors.Join(l.Gens.Close(), l.State.Close(), l.Store.Close()); err != nil {
			t.Error(err)
		}
	})
	l.must(errors.Join(l.Confirm(t.Context()), l.Gens.AwaitServing(t.Context())))
	return l
}

// begin appends the first event, with the default policy, and the keys.
func (l *Ledger) begin(keys []verify.Key) {
	l.t.Helper()
	policy := verify.DefaultPolicy()
	l.append(event.Genesis, &event.GenesisV1{
		ClusterId: "c",
		Policy:    policy.Canonical(),
		Kernel:    uint32(policy.Kernel),
	})
	for _, k := range keys {
		l.append(event.KeyAdded, &event.KeyAddedV1{
			KeyId:       k.ID,
			Alg:         uint32(k.Alg),
			Public:      k.Public,
			Fingerprint: k.Fingerprint[:],
			Source:      "env",
			Node:        Node,
		})
	}
}

func (l *Ledger) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// append adds an event that nobody waits for.
func (l *Ledger) append(kind event.Kind, m proto.Message) {
	l.t.Helper()
	ev, err := propose.NewEvent(kind, m)
	l.must(err)
	l.Pack(ev)
}

// Add commits an event as another node would, and waits until it is folded everywhere.
func (l *Ledger) Add(kind event.Kind, m proto.Message) {
	l.t.Helper()
	l.append(kind, m)
	l.must(l.Confirm(l.t.Context()))
}

// Pack commits events in one entry, as a busy node would, and waits for nothing.
func (l *Ledger) Pack(events ...event.Event) {
	l.t.Helper()
	pack := event.Pack{ProposedAt: l.now.Load(), Events: events}
	_, err := l.commit(pack.Append(nil))
	l.must(err)
}

func (l *Ledger) commit(entry []byte) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	err := l.Store.StoreLogs([]*raft.Log{{Index: l.last, Term: 1, Type: raft.LogCommand, Data: entry}})
	l.Store.CommittedTo(l.last)
	return l.last, err
}

// Entries returns the number of entries in the log.
func (l *Ledger) Entries() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// errDown means that no quorum confirms anything.
var errDown = errors.New("no quorum")

// LoseQuorum makes ReadIndex and Confirm fail from now on.
func (l *Ledger) LoseQuorum() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
}

// ReadIndex returns the index of the last entry.
func (l *Ledger) ReadIndex(context.Context) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return 0, errDown
	}
	return l.last, nil
}

// Confirm returns once everything in the log is folded, by the control state and the active generation.
func (l *Ledger) Confirm(ctx context.Context) error {
	index, err := l.ReadIndex(ctx)
	if err != nil {
		return err
	}
	return errors.Join(l.State.WaitIndex(ctx, index), l.Gens.WaitIndex(ctx, index))
}

// Verifiers returns the keys of New.
func (l *Ledger) Verifiers() *verify.KeySet { return l.keySet }

// Now returns the time of the clock.
func (l *Ledger) Now() time.Time { return time.Unix(0, l.now.Load()) }

// LogTime returns the least log time of the next event.
func (l *Ledger) LogTime() int64 { return max(l.State.Cursor().LogTime, l.now.Load()) }

// Disputed returns nil: nobody contradicts the clock.
func (l *Ledger) Disputed() *wire.Problem { return nil }

// Advance moves the clock.
func (l *Ledger) Advance(d time.Duration) { l.now.Add(int64(d)) }

// consensus implements propose.Log on a node that always leads.
type consensus struct{ l *Ledger }

func (c consensus) IsLeader() bool           { return true }
func (c consensus) Changed() <-chan struct{} { return nil }

func (c consensus) Propose(_ context.Context, entry []byte) (uint64, error) { return c.l.commit(entry) }

func (c consensus) Forward(context.Context, []byte) (propose.LogPosition, error) {
	return propose.LogPosition{}, propose.ErrNoLeader
}

// host implements recount.Host. A test fails when a generation cannot go on.
type host struct{ l *Ledger }

func (h host) Verifiers() *verify.KeySet                { return h.l.keySet }
func (h host) Fail(err error)                           { h.l.t.Errorf("a generation failed: %v", err) }
func (h host) Unwritten(err error)                      { h.l.t.Errorf("not written: %v", err) }
func (h host) Quarantine(reason string)                 { h.l.t.Errorf("quarantined: %s", reason) }
func (h host) FactsMismatch(_ uint32, seq uint64)       { h.l.t.Errorf("event %d has false facts", seq) }
func (h host) DigestFolded(projections.DigestRow, bool) {}
func (h host) Folded(projections.Result)                {}

// space implements recount.Disk with plenty of it.
type space struct{}

func (space) Free() uint64       { return 1 << 40 }
func (space) PauseBelow() uint64 { return 1 << 30 }
