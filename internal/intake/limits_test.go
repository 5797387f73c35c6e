package intake_test

import (
	"context"
	"errors"
	"testing"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/intake"
	"github.com/recount-ledger/recount/internal/ledgertest"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// TestRates: a record pays from the rate of its key only when that key has signed it. Others pay from the rate
// of their address, before anybody else is asked about them.
func TestRates(t *testing.T) {
	asked := 0
	var confirm func(context.Context) error
	b := newBench(t, func(o *intake.Options) {
		o.KeyRate, o.TokenRate = 0.001, 1000
		confirm = o.Confirm
		o.Confirm = func(ctx context.Context) error {
			asked++
			return confirm(ctx)
		}
	})
	for i := range int64(20) {
		forged := b.sign(nodetest.Record{Shard: "a", Epoch: i, Root: "r", Forged: true})
		if _, code := b.submit(forged, false); code != wire.CodeBadSignature {
			t.Fatalf("forgery %d: %q", i, code)
		}
	}
	if asked != 20 {
		t.Errorf("the quorum was asked about %d forgeries", asked)
	}
	codes := map[wire.Code]int{}
	for i := range int64(5) {
		_, code := b.submit(b.sign(nodetest.Record{Shard: "b", Epoch: i, Root: "r"}), false)
		codes[code]++
	}
	if codes[""] == 0 || codes[wire.CodeThrottled] == 0 || len(codes) != 2 {
		t.Errorf("a key above its rate: %v", codes)
	}
	if got := b.Counters().ThrottledByKey.Load(); got != uint64(codes[wire.CodeThrottled]) {
		t.Errorf("%d of %d are counted", got, codes[wire.CodeThrottled])
	}
	_, err := b.Submit(t.Context(), b.sign(nodetest.Record{Shard: "b", Epoch: 9, Root: "r"}), api.Meta{})
	var p *wire.Problem
	if !errors.As(err, &p) || p.Status != 429 || p.RetryAfterMS == 0 {
		t.Errorf("%+v", p)
	}

	asked = 0
	slow := newBench(t, func(o *intake.Options) {
		o.TokenRate = 0.001
		confirm = o.Confirm
		o.Confirm = func(ctx context.Context) error {
			asked++
			return confirm(ctx)
		}
	})
	for i := range int64(5) {
		_, _ = slow.submit(slow.sign(nodetest.Record{Shard: "a", Epoch: i, Root: "r", Forged: true}), false)
	}
	if throttled := slow.Counters().ThrottledByNode.Load(); throttled == 0 || asked != 5-int(throttled) {
		t.Errorf("%d of 5 forgeries were throttled, and the quorum was asked about %d", throttled, asked)
	}
}

// TestForgeriesWithoutQuorum: without a quorum no record is refused for its signature.
func TestForgeriesWithoutQuorum(t *testing.T) {
	b := newBench(t)
	b.ledger.LoseQuorum()
	forged := b.sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r", Forged: true})
	if _, code := b.submit(forged, false); code != wire.CodeKeysUnconfirmed {
		t.Errorf("%q", code)
	}
}

// TestDroppedRefusals: above the budget forgeries are answered and summed, and the sum goes into the log.
func TestDroppedRefusals(t *testing.T) {
	b := newBench(t)
	large := b.sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r", Forged: true})
	large = append(large, make([]byte, 32<<10)...)
	for i := len(large) - 32<<10; i < len(large); i++ {
		large[i] = ' '
	}
	before := b.ledger.Entries()
	if _, code := b.submit(large, false); code != wire.CodeBadSignature || b.ledger.Entries() != before {
		t.Fatalf("%q, in %d entries", code, b.ledger.Entries()-before)
	}
	c := b.Counters()
	if c.Dropped.Load() != 1 || c.DroppedBytes.Load() != uint64(len(large)) {
		t.Errorf("%d of %d bytes", c.Dropped.Load(), c.DroppedBytes.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.ReportRefusals(ctx) }()
	if err := b.ledger.State.WaitIndex(t.Context(), before+1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	seq, err := b.ledger.State.SeqOf(before + 1)
	if err != nil {
		t.Fatal(err)
	}
	it, err := b.ledger.State.Item(seq)
	if err != nil {
		t.Fatal(err)
	}
	_, m, err := it.Event.Message()
	if sum, ok := m.(*event.RefusalsDroppedV1); err != nil || !ok || sum.Count != 1 || sum.Node != ledgertest.Node ||
		sum.Bytes != uint64(len(large)) {
		t.Errorf("%v %v", m, err)
	}
}

// TestFrozen: a freeze keeps new records out of the log. What was answered before is answered still.
func TestFrozen(t *testing.T) {
	b := newBench(t)
	old := b.sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"})
	if _, code := b.submit(old, false); code != "" {
		t.Fatal(code)
	}
	b.ledger.Add(event.Frozen, &event.FrozenV1{
		Scope:   uint32(projections.FreezeShard),
		Subject: "a",
		Op:      &event.OpV1{Actor: "alice", OpId: "f"},
	})
	before := b.ledger.Entries()
	fresh := b.sign(nodetest.Record{Shard: "a", Epoch: 2, Root: "r"})
	if _, code := b.submit(fresh, false); code != wire.CodeFrozen || b.Counters().Frozen.Load() != 1 {
		t.Errorf("%q, %d", code, b.Counters().Frozen.Load())
	}
	if a, code := b.submit(old, false); code != "" || !a.Replayed {
		t.Errorf("a replay: %+v %q", a, code)
	}
	if b.ledger.Entries() != before {
		t.Error("there is an event")
	}
	if _, code := b.submit(b.sign(nodetest.Record{Shard: "b", Epoch: 1, Root: "r"}), false); code != "" {
		t.Errorf("another shard: %q", code)
	}
}
