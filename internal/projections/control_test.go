package projections

import (
	"errors"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestControlAsOf: rows count from their own event on, the first key of a fingerprint wins, contradictions change nothing.
func TestControlAsOf(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	k := mustHMAC("one")
	if _, ok := l.ctrl.For(1).PolicyAt(0); ok {
		t.Error("a policy before genesis")
	}
	if _, ok := l.ctrl.Key(k.ID, 1); ok {
		t.Error("key before its event")
	}
	again := keyAdded(k)
	again.Source, again.Node = "operator", "n2"
	l.message(event.KeyAdded, again)
	bad := keyAdded(mustHMAC("two"))
	bad.KeyId = "hmac-0000000000000000"
	l.message(event.KeyAdded, bad)
	if rows := l.ctrl.Keys(l.seq); len(rows) != 1 || rows[0].Source != "env" || rows[0].Seq != 2 {
		t.Errorf("keys %+v", rows)
	}
	l.message(event.Genesis, &event.GenesisV1{ClusterId: "other", Policy: verify.DefaultPolicy().Canonical(), Kernel: 1})
	if g, ok := l.ctrl.Genesis(l.seq); !ok || g.ClusterID != "test" || g.Seq != 1 {
		t.Errorf("genesis %+v", g)
	}
	l.message(event.TermStart, &event.TermStartV1{Term: 3, Node: "n1", Software: "v1", Capabilities: []string{"kernel1"}})
	h := make([]byte, 32)
	at, before := l.ctrl.Digest()
	l.message(event.StateDigest, &event.StateDigestV1{Seq: at, Log: h, State: h, Control: before[:], Generation: 1})
	l.message(event.StateDigest, &event.StateDigestV1{Seq: at, Log: h[:3], State: h, Control: h})
	rows, err := StateDigests(l.ctrlDB, 0, 0, 10)
	if err != nil || len(rows) != 1 || rows[0].At != at || rows[0].Control != before {
		t.Errorf("state digests %+v %v", rows, err)
	}
	if d, err := ControlDigestAt(l.ctrlDB, at); err != nil || d != before {
		t.Errorf("control digest %x %v, want %x", d, err, before)
	}
	l.message(event.ClockStep, &event.ClockStepV1{Node: "n1", Before: 1, After: 2, Reason: "ntp"})
	l.message(event.RefusalsDropped, &event.RefusalsDroppedV1{Node: "n1", Count: 9})
}

// TestFoldStops: what this binary cannot fold is an error, not a guess.
func TestFoldStops(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy())
	next := func(k event.Kind, payload []byte) Item {
		return Item{Seq: l.seq + 1, Kind: k, LogTime: l.now, Event: event.Event{Kind: k, Payload: payload}}
	}
	unknown := next(event.Kind(99), make([]byte, 16))
	if err := l.ctrl.Fold(l.ctrlDB, &unknown); !errors.Is(err, ErrUnknownKind) {
		t.Errorf("control, unknown kind: %v", err)
	}
	if _, err := l.gen.Fold(l.db, &unknown, l.ctrl.For(1)); !errors.Is(err, ErrUnknownKind) {
		t.Errorf("generation, unknown kind: %v", err)
	}
	broken := next(event.KeyAdded, []byte("short"))
	if err := l.ctrl.Fold(l.ctrlDB, &broken); !errors.Is(err, ErrBadEvent) {
		t.Errorf("broken event: %v", err)
	}
	broken = next(event.Submission, []byte("short"))
	if _, err := l.gen.Fold(l.db, &broken, l.ctrl.For(1)); !errors.Is(err, ErrBadEvent) {
		t.Errorf("broken submission: %v", err)
	}
	gap := next(event.ClockStep, make([]byte, 16))
	gap.Seq++
	if _, err := l.gen.Fold(l.db, &gap, l.ctrl.For(1)); !errors.Is(err, ErrOrder) {
		t.Errorf("gap: %v", err)
	}
	old := next(event.ClockStep, make([]byte, 16))
	old.Seq = 1
	if err := l.ctrl.Fold(l.ctrlDB, &old); !errors.Is(err, ErrOrder) {
		t.Errorf("old event: %v", err)
	}
	early := Item{Seq: 1, Kind: event.Submission, Event: event.Event{Kind: event.Submission, Payload: event.Sub{Body: []byte("{}")}.Payload()}}
	if _, err := NewGeneration(1).Fold(NewMemStore(), &early, NewControl().For(1)); !errors.Is(err, ErrNoPolicy) {
		t.Errorf("before genesis: %v", err)
	}
	p := verify.DefaultPolicy()
	p.Kernel = 9
	payload, err := event.NewPayload([16]byte{}, &event.GenesisV1{ClusterId: "x", Policy: p.Canonical(), Kernel: 9})
	if err != nil {
		t.Fatal(err)
	}
	first := Item{Seq: 1, Kind: event.Genesis, Event: event.Event{Kind: event.Genesis, Payload: payload}}
	if err := NewControl().Fold(NewMemStore(), &first); !errors.Is(err, verify.ErrUnknownKernel) {
		t.Errorf("unknown kernel: %v", err)
	}
}

// BenchmarkFold is the sequential part of one accepted submission.
func BenchmarkFold(b *testing.B) {
	l := newLedger(b, verify.DefaultPolicy(), "one")
	items := make([]Item, 2000)
	for i := range items {
		body := spec{shard: "alpha", root: "a", epoch: int64(i), dhat: "2.0", slope: 2}.body("one")
		f := l.ingress(body)
		sub := event.Sub{Body: body, Facts: event.Facts{KeyID: f.KeyID, Alg: uint8(f.Alg), Profile: uint8(f.Profile), Mode: uint8(f.Mode)}}
		items[i] = Item{LogTime: l.now, Seq: 3, Kind: event.Submission, Event: event.Event{Kind: event.Submission, Payload: sub.Payload()}}
		Prepare(&items[i], l.keySet, l.ctrl.For(1))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		it := items[i%len(items)]
		it.Seq = l.gen.seq + 1
		if _, err := l.gen.Fold(l.db, &it, l.ctrl.For(1)); err != nil {
			b.Fatal(err)
		}
	}
}
