package intake_test

import (
	"bytes"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/intake"
	"github.com/recount-ledger/recount/internal/ledgertest"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// TestFreezeComesLast: a freeze hides no refusal that the fold gives before it looks for one. The answer frozen says
// that the verifier would let the record pass.
func TestFreezeComesLast(t *testing.T) {
	signed := nodetest.Record{Shard: "a", Epoch: 1, Root: "r"}
	bare := signed
	bare.Bare = true
	for name, c := range map[string]struct {
		record nodetest.Record
		before func(b *bench)
		change func(body []byte) []byte
		want   wire.Code
	}{
		"nothing": {record: signed, want: wire.CodeFrozen},
		"a revoked key": {record: signed, want: wire.CodeKeyNotAllowed, before: func(b *bench) {
			b.ledger.Add(event.KeyRevoked, &event.KeyRevokedV1{KeyId: b.key.ID, Since: ledgertest.Start.UnixNano(),
				Op: &event.OpV1{Actor: "alice", OpId: "k"}})
		}},
		"an algorithm that the policy does not take": {record: signed, want: wire.CodeBadSignature,
			before: func(b *bench) {
				b.apply(func(p *verify.Policy) { p.Signature.Algorithms = []verify.Alg{verify.Ed25519} })
			}},
		"a version that the policy does not take": {record: signed, want: wire.CodeSchema,
			change: func(body []byte) []byte {
				return bytes.Replace(body, []byte(`"`+pcs.DefaultVersion+`"`), []byte(`"0.9"`), 1)
			}},
		"an unsigned record under another id": {record: bare, want: wire.CodeBadSignature,
			before: func(b *bench) { b.apply(func(p *verify.Policy) { p.Signature.Required = false }) },
			change: func(body []byte) []byte {
				other := nodetest.Record{Shard: "a", Epoch: 2, Root: "r"}
				return bytes.Replace(body, []byte(bare.ID()), []byte(other.ID()), 1)
			}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if c.before != nil {
				c.before(b)
			}
			body := b.sign(c.record)
			if c.change != nil {
				body = c.change(body)
			}
			b.ledger.Add(event.Frozen, &event.FrozenV1{Scope: uint32(projections.FreezeShard), Subject: "a",
				Op: &event.OpV1{Actor: "alice", OpId: "f"}})
			for _, dry := range []bool{true, false} {
				if p := b.problem(body, dry); p.Code != c.want {
					t.Errorf("dry %v: %q, not %q", dry, p.Code, c.want)
				}
			}
			if got := b.Counters().Frozen.Load(); (got == 1) != (c.want == wire.CodeFrozen) {
				t.Errorf("%d were counted as frozen", got)
			}
		})
	}
}

// suddenly is the generations of a node whose fold goes on while it answers.
type suddenly struct {
	intake.Generations
	next func()
}

func (s *suddenly) Serving() *recount.Running {
	if f := s.next; f != nil {
		s.next = nil
		f()
	}
	return s.Generations.Serving()
}

// TestFreezeMeanwhile: when a freeze is folded after the node has looked for one, the fold decides. The node has asked
// no quorum, so it cannot know that the policy lets the record pass.
func TestFreezeMeanwhile(t *testing.T) {
	for _, bare := range []bool{false, true} {
		gens := &suddenly{}
		b := newBench(t, func(o *intake.Options) {
			gens.Generations = o.Generations
			o.Generations = gens
		})
		b.apply(func(p *verify.Policy) { p.Signature.Required = false })
		gens.next = func() {
			b.ledger.Add(event.Frozen, &event.FrozenV1{Scope: uint32(projections.FreezeShard), Subject: "a",
				Op: &event.OpV1{Actor: "alice", OpId: "f"}})
		}
		before := b.ledger.Entries() + 1 // the freeze
		p := b.problem(b.sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r", Bare: bare}), false)
		if p.Code != wire.CodeFrozen || p.Seq == 0 || b.ledger.Entries() != before+1 {
			t.Errorf("bare %v: %+v, and %d entries", bare, p, b.ledger.Entries()-before)
		}
	}
}
