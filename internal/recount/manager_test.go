package recount

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// fakeHost is a node that remembers why it was quarantined and checks no signatures.
type fakeHost struct {
	unwritten   error
	quarantined chan string
}

func (h *fakeHost) Verifiers() *verify.KeySet { return verify.NewKeySet(nil) }
func (h *fakeHost) Fail(error)                {}
func (h *fakeHost) Unwritten(err error)       { h.unwritten = err }
func (h *fakeHost) Quarantine(reason string) {
	if h.quarantined != nil {
		h.quarantined <- reason
	}
}
func (h *fakeHost) FactsMismatch(uint32, uint64)             {}
func (h *fakeHost) DigestFolded(projections.DigestRow, bool) {}
func (h *fakeHost) Folded(projections.Result)                {}

// space is a disk that pauses below 1 GiB.
type space struct {
	mu   sync.Mutex
	free uint64
}

func (s *space) Free() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free
}

func (s *space) PauseBelow() uint64 { return 1 << 30 }

func (s *space) set(free uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = free
}

// ledger is a log in memory with its control state, folded to the end.
type ledger struct {
	t       *testing.T
	fs      vfs.FS
	store   *log.Store
	derived *fsm.Derived
	entries []*raft.Log
}

// newLedger starts generation 2 under the policy of generation 1, after which there are some events more.
func newLedger(t *testing.T, more int) *ledger {
	t.Helper()
	l := &ledger{t: t, fs: vfs.NewMem()}
	policy := verify.DefaultPolicy()
	id := policy.ID()
	l.add(event.Genesis, &event.GenesisV1{ClusterId: "c", Policy: policy.Canonical(), Kernel: uint32(policy.Kernel)})
	l.add(event.GenerationStarted, &event.GenerationStartedV1{Policy: id[:], FromSeq: 1})
	for range more {
		l.add(event.RefusalsDropped, &event.RefusalsDroppedV1{Node: "n", Count: 1})
	}
	return l
}

func (l *ledger) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *ledger) add(kind event.Kind, m proto.Message) {
	l.t.Helper()
	payload, err := event.NewPayload([event.SaltSize]byte{}, m)
	l.must(err)
	index := uint64(len(l.entries) + 1)
	pack := event.Pack{ProposedAt: int64(index), Events: []event.Event{{Kind: kind, Payload: payload}}}
	l.entries = append(l.entries, &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: pack.Append(nil)})
}

// open stores what was added and opens the manager.
func (l *ledger) open(ctx context.Context, host Host, disk Disk) *Manager {
	l.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	var err error
	l.store, err = log.Open("events", log.Options{FS: l.fs, Logger: quiet})
	l.must(err)
	l.must(l.store.StoreLogs(l.entries))
	l.store.CommittedTo(uint64(len(l.entries)))
	l.derived, err = fsm.OpenDerived(l.fs, "derived", l.store, 1<<20, quiet, nil)
	l.must(err)
	l.must(l.derived.CatchUp(ctx))
	m, err := Open(ctx, Options{Dir: "n", FS: l.fs, Batch: 1, Log: l.store, Control: l.derived, Host: host, Disk: disk,
		Peers: Peers{
			Self: "n1",
			IDs:  func() []string { return []string{"n1", "n2"} },
			Call: func(context.Context, string, string, []byte) ([]byte, error) {
				return nil, errors.New("down")
			},
		}, Logger: quiet})
	l.must(err)
	l.t.Cleanup(func() { l.must(errors.Join(m.Close(), l.derived.Close(), l.store.Close())) })
	return m
}

// TestServingAfterRestart: a node whose active generation has to fold its activation once more, because the
// crash came before it was on the disk, serves when that is done. It waited without end, and a leader never opened
// its term.
func TestServingAfterRestart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	l := newLedger(t, 5_000) // one batch of the fold each, so that the wait begins well before its end
	l.add(event.GenerationActivated, &event.GenerationActivatedV1{
		Generation: 2,
		From:       1,
		Position:   2,
		Diff:       make([]byte, 32),
	})
	m := l.open(ctx, &fakeHost{}, &space{free: 1 << 40})
	if m.Serving().Number() != 2 || !m.Switching() {
		t.Fatalf("generation %d serves, switching: %v", m.Serving().Number(), m.Switching())
	}
	served := make(chan error, 1)
	go func() { served <- m.AwaitServing(ctx) }()
	fold, stop := context.WithCancel(ctx)
	folded := make(chan error, 1)
	go func() { folded <- m.Serving().Run(fold) }()
	l.must(<-served)
	stop()
	<-folded
	waitersMoveOn(ctx, t, m, uint64(len(l.entries)))
}

// TestBuildAndCompare: a generation that was started is built and compared up to the end of the log by the
// loops alone, and every voter that can be asked says so.
func TestBuildAndCompare(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	l := newLedger(t, 100)
	m := l.open(ctx, &fakeHost{}, &space{free: 1 << 40})
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the loops ended with %v", err)
		}
	}()
	end := uint64(len(l.entries))
	l.must(m.WaitSeq(ctx, end))
	r, changed := m.Get(2)
	for r == nil || r.Comparison() == nil {
		<-changed
		r, changed = m.Get(2)
	}
	l.must(r.Comparison().WaitSeq(ctx, end))
	nodes := m.Progress(ctx, 2, end)
	if p := nodes[0]; p.State != StateFollowing || p.Compared != end || p.DiffAt == "" || p.StateAt == "" ||
		!Follows(p) {
		t.Errorf("this node: %+v", p)
	}
	if p := nodes[1]; p.Node != "n2" || p.State != StateUnreachable {
		t.Errorf("the other one: %+v", p)
	}
	diff := func(p wire.NodeProgress) string { return p.DiffAt }
	if agree, reporters, absent := Agree(nodes, 2, diff); agree || len(reporters) != 1 || len(absent) != 1 {
		t.Errorf("one of two is a majority: %v, %v, %v", agree, reporters, absent)
	}
	nodes[1].DiffAt = nodes[0].DiffAt
	if agree, _, _ := Agree(nodes, 2, diff); !agree {
		t.Error("two of two are none")
	}
	nodes[1].DiffAt = DiffText(end, [32]byte{1})
	if agree, _, _ := Agree(nodes, 2, diff); agree {
		t.Error("two that differ agree")
	}
	if at, _, ok := ParseDiff(nodes[0].DiffAt); !ok || at != end {
		t.Errorf("%s is for event %d", nodes[0].DiffAt, at)
	}
}

// TestThrottle: a generation that is not active waits while disk space is short and says why. The active one does not.
func TestThrottle(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	disk := &space{free: 1 << 20}
	m := newLedger(t, 1).open(ctx, &fakeHost{}, disk)
	if err := m.pace(ctx, 1); err != nil {
		t.Errorf("the active generation waited: %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- m.pace(ctx, 2) }()
	for r, _ := m.Get(2); r.paused.Load() == nil; {
		runtime.Gosched()
	}
	p := m.progress(2, 0)
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("the other one went on: %v", err)
	}
	if p.State != StatePaused || !strings.Contains(p.Why, "bytes of disk are free") {
		t.Errorf("%+v", p)
	}
	if after := m.progress(2, 0); after.State == StatePaused {
		t.Errorf("nothing waits any more: %+v", after)
	}
	disk.set(1 << 40)
	if err := m.pace(t.Context(), 2); err != nil || m.progress(2, 0).State == StatePaused {
		t.Errorf("with room again: %v, %+v", err, m.progress(2, 0))
	}
}

// TestDamagedHistoryIsToldInOrder: a full disk under history/ ends the process before anybody is quarantined for it.
func TestDamagedHistoryIsToldInOrder(t *testing.T) {
	host := &fakeHost{quarantined: make(chan string, 1)}
	m := newLedger(t, 1).open(t.Context(), host, &space{free: 1 << 40})
	damage := errors.New("block 7")
	m.historyDamaged(damage)
	if !errors.Is(host.unwritten, damage) {
		t.Errorf("the host heard %v first", host.unwritten)
	}
	if reason := <-host.quarantined; !strings.Contains(reason, "block 7") || !strings.Contains(reason, "history/") {
		t.Errorf("quarantined because %q", reason)
	}
}

// waitersMoveOn: who waits on a generation that is deleted and folded again is answered by the new one, and
// what failed before is forgotten. They waited without end.
func waitersMoveOn(ctx context.Context, t *testing.T, m *Manager, last uint64) {
	t.Helper()
	old, failed := m.Serving(), errors.New("x")
	for number := range m.numbers() {
		r, _ := m.Get(number)
		r.cancel = func() {}
		r.failed.Store(&failed)
	}
	gone, outcomes := make(chan error, 1), make(chan error, 1)
	go func() { gone <- old.WaitIndex(ctx, last+1) }()
	if err := m.rebuild(old); err != nil {
		t.Fatal(err)
	}
	if err := <-gone; !errors.Is(err, fsm.ErrDropped) {
		t.Errorf("waiting on a generation that is gone: %v", err)
	}
	go func() {
		_, err := m.Outcomes(ctx, last)
		outcomes <- err
	}()
	if err := errors.Join(m.WaitIndex(ctx, last), <-outcomes); err != nil {
		t.Error(err)
	}
	for number := range m.numbers() {
		if r, _ := m.Get(number); r == old || r.failed.Load() != nil {
			t.Errorf("generation %d is the old one, or still counts as failed", number)
		}
	}
	if m.serve(old) || m.Serving() == old {
		t.Error("the generation that is gone answers")
	}
}
