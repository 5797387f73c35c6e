package node

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/disk"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestServingAfterRestart: a node whose active generation has to fold its activation once more, because the crash came before
// it was on the disk, serves when that is done. It waited for ever, and a leader never opened its term.
func TestServingAfterRestart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	quiet, fs := slog.New(slog.DiscardHandler), vfs.NewMem()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	store, err := log.Open("events", log.Options{FS: fs, Logger: quiet})
	must(err)
	policy, entries := verify.DefaultPolicy(), []*raft.Log(nil)
	id := policy.ID()
	add := func(kind event.Kind, m proto.Message) {
		ev, err := newEvent(kind, m)
		must(err)
		index := uint64(len(entries) + 1)
		pack := event.Pack{ProposedAt: int64(index), Events: []event.Event{ev}}
		entries = append(entries, &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: pack.Append(nil)})
	}
	add(event.Genesis, &event.GenesisV1{ClusterId: "c", Policy: policy.Canonical(), Kernel: uint32(policy.Kernel)})
	add(event.GenerationStarted, &event.GenerationStartedV1{Policy: id[:], FromSeq: 1})
	for range 5_000 { // one step of the fold each, so that the wait begins well before its end
		add(event.RefusalsDropped, &event.RefusalsDroppedV1{Node: "n", Count: 1})
	}
	add(event.GenerationActivated, &event.GenerationActivatedV1{Generation: 2, From: 1, Position: 2, Diff: make([]byte, 32)})
	must(store.StoreLogs(entries))
	store.CommittedTo(uint64(len(entries)))
	derived, err := fsm.OpenDerived(fs, "derived", store, 1<<20, quiet, nil)
	must(err)
	must(derived.CatchUp(ctx))
	n := &Node{cfg: Config{Dir: "n", FS: fs, PackBatchBytes: 1}, log: quiet, store: store, derived: derived,
		disk: disk.New(disk.Options{Virtual: true, Unflushed: func() uint64 { return 0 }})}
	n.own.Store(new([]verify.Key))
	n.history, err = fsm.OpenHistory(fs, "history", quiet, nil)
	must(err)
	must(n.openGenerations())
	if n.live().Number() != 2 || !n.switching() {
		t.Fatalf("generation %d serves, switching: %v", n.live().Number(), n.switching())
	}
	served := make(chan error, 1)
	go func() { served <- n.awaitServing(ctx) }()
	fold, stop := context.WithCancel(ctx)
	folded := make(chan error, 1)
	go func() { folded <- n.live().Run(fold) }()
	must(<-served)
	stop()
	<-folded
	n.waitersMoveOn(ctx, t, uint64(len(entries)))
	must(n.closeGenerations())
	must(n.history.Close())
	must(derived.Close())
	must(store.Close())
}

// waitersMoveOn: who waits on a generation that is deleted and folded again is answered by the new one, and what failed before is
// forgotten. They waited for ever.
func (n *Node) waitersMoveOn(ctx context.Context, t *testing.T, last uint64) {
	t.Helper()
	var stop context.CancelFunc
	n.ctx, stop = context.WithCancel(ctx)
	defer stop()
	old, failed := n.live(), errors.New("x")
	for number := range n.openNumbers() {
		r, _ := n.gens.get(number)
		r.cancel = func() {}
		r.failed.Store(&failed)
	}
	gone, outcomes := make(chan error, 1), make(chan error, 1)
	go func() { gone <- old.WaitIndex(ctx, last+1) }()
	if err := n.rebuild(old); err != nil {
		t.Fatal(err)
	}
	if err := <-gone; !errors.Is(err, fsm.ErrDropped) {
		t.Errorf("waiting on a generation that is gone: %v", err)
	}
	go func() {
		_, err := n.outcomes(ctx, last)
		outcomes <- err
	}()
	if err := errors.Join(n.waitLive(ctx, last), <-outcomes); err != nil {
		t.Error(err)
	}
	for number := range n.openNumbers() {
		if r, _ := n.gens.get(number); r == old || r.failed.Load() != nil {
			t.Errorf("generation %d is the old one, or still counts as failed", number)
		}
	}
	if n.gens.serve(old) || n.live() == old {
		t.Error("the generation that is gone answers")
	}
}
