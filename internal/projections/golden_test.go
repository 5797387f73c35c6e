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
	goldenKernel1 = "8893e8a1b27982f775bbdebe72e086b4902fdd6a4cb515b5ba71f7b84d3e9bda"
	goldenKernel2 = "49c967a904cb79dfd7e458d392493aec50fbd04587c0ec345f6e3bba2ff3fe90"
	goldenRules   = "35c84e9552a4ad23ae6d6dc1af475fa06fb208bc401aecf41823ba3b05ce05d5"
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
