package projections

import (
	"encoding/hex"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// The digests of the golden log, the published records in their order, under each kernel and under rules. They never change
// for a released kernel; `make golden-arm64` holds them on the other architecture.
const (
	goldenKernel1 = "77bc5194ac2d2ac1789ac763d7f4eb6bff35eac73fb7f114bbab72413046c8d1"
	goldenKernel2 = "639d5ae1f6c9939b3d2ef14edde665f66d7eee266f80f81ba53c185b52602d5b"
	goldenRules   = "d2c11f440fee8e0d51b52451ae46b642586170d85713aa5a0e912e8cbe019734"
)

// TestGoldenLog folds the published records through every kernel: three generations of one log.
func TestGoldenLog(t *testing.T) {
	l := corpusLedger(t)
	for _, file := range []string{"good-hmac.ndjson", "good-ed25519.ndjson", "bad-input.ndjson"} {
		for _, c := range readCorpus(t, file) {
			if body := c.bytes(t); len(body) <= 1<<20 && c.Expect.Class != "http" {
				l.send(body)
			}
		}
	}
	second, ruled := verify.DefaultPolicy(), verify.DefaultPolicy()
	second.Kernel, second.Params.TolD = 2, 50_000_000 // no published record is further than the default tolerance from the mean
	ruled.Rules = []verify.Rule{
		{Reason: "steep", Then: verify.RuleRefuse, When: verify.Expr{Op: "gt", Args: []verify.Expr{{Op: "field", Name: "d_hat"}, {Op: "int", Int: 2_500_000_000}}}},
		{Reason: "first_shard", Then: verify.RuleEscalate, When: verify.Expr{Op: "ends", Args: []verify.Expr{{Op: "field", Name: "shard_id"}, {Op: "str", Name: "1"}}}},
	}
	for _, p := range []*verify.Policy{&second, &ruled} {
		p.Signature.Profiles |= pcs.ProfilesOf(pcs.Bin)
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	_, first := l.gen.Digest()
	if got := hex.EncodeToString(first[:]); got != goldenKernel1 {
		t.Errorf("kernel 1: %s", got)
	}
	for i, c := range []struct {
		name string
		p    verify.Policy
		want string
	}{{"kernel 2", second, goldenKernel2}, {"rules", ruled, goldenRules}} {
		number := l.start(l.publish(c.p), 1)
		g, db := l.second(number)
		_, d := g.Digest()
		if got := hex.EncodeToString(d[:]); got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
		if flips := l.flips(number, db); len(flips) == 0 {
			t.Errorf("%s changes nothing", c.name)
		} else {
			t.Logf("%s: %d of %d events flip", c.name, len(flips), l.seq)
		}
		l.message(event.GenerationDropped, &event.GenerationDroppedV1{Generation: uint32(i) + 2, Op: &event.OpV1{}})
	}
}
