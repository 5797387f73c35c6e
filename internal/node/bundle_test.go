package node_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// judgeAgain gets a bundle from node i and reproduces its verdicts, as "generation outcome reason, ...".
func judgeAgain(r recounter, key evidence.PublicKey, i int, id string, seq uint64) (words []string, got evidence.Reproduced) {
	r.t.Helper()
	var text []byte
	r.c.Await("a bundle", func() (err error) {
		text, err = client.EvidenceOf(r.c.At(i)).Bundle(r.ctx, id, seq)
		return err
	})
	b, err := evidence.ParseBundle(text)
	r.must(err)
	if got, err = b.Check(nil, key); err != nil {
		r.t.Fatalf("node %d, event %d: %v\n%s", i+1, seq, err, text)
	}
	for _, v := range got.Verdicts {
		words = append(words, fmt.Sprint(v.Outcome.Generation, " ", v.Outcome.Outcome, " ", v.Outcome.ReasonCode()))
	}
	return words, got
}

// TestBundles: every outcome of real nodes is reproduced from its bundle, without a node. A record that was accepted under
// one policy and is refused since a recount shows both verdicts.
func TestBundles(t *testing.T) {
	path, _, key := checkpointKey(t, "nodetest")
	c := nodetest.Start(t, 3, func(cfg *node.Config) { cfg.CheckpointKeyFile = path })
	f, r := nodetest.NewRecords(t), newRecounter(t, c)
	lax, plain := r.publish(laxPolicy), r.publish(plainPolicy)
	_, err := c.Client.ApplyPolicy(r.ctx, lax, wire.ApplyRequest{})
	r.must(err)
	type sent struct {
		record nodetest.Record
		want   string
		seq    uint64
	}
	submit := func(s *sent) {
		t.Helper()
		a, err := c.Client.Submit(r.ctx, f.Sign(s.record))
		var p *wire.Problem
		if errors.As(err, &p) {
			s.seq = p.Seq
			return
		}
		r.must(err)
		s.seq = a.Seq
	}
	all := []*sent{
		{record: nodetest.Record{Shard: "alpha", Epoch: 1, Root: "w"}, want: "accepted ok"},
		{record: nodetest.Record{Shard: "alpha", Epoch: 9, Root: "x", Near: true, Bare: true}, want: "accepted ok"},
		{record: nodetest.Record{Shard: "alpha", Epoch: 3, Root: "y"}, want: "escalated epoch_regression"},
		{record: nodetest.Record{Shard: "alpha", Epoch: 9, Root: "x"}, want: "conflict conflict"},
		{record: nodetest.Record{Shard: "alpha", Epoch: 9, Root: "z"}, want: "escalated epoch_equivocation"},
		{record: nodetest.Record{Shard: "beta", Epoch: 1, Root: "w", Wrong: true}, want: "escalated d_hat_mismatch"},
		{record: nodetest.Record{Shard: "beta", Epoch: 2, Root: "w", Forged: true}, want: "refused bad_signature"},
		{record: nodetest.Record{Shard: "beta", Epoch: 1, Root: "w"}, want: "conflict conflict"},
	}
	for _, s := range all {
		submit(s)
	}
	_, err = c.Client.Freeze(r.ctx, wire.FreezeRequest{Scope: "shard", Subject: "alpha", Op: wire.Op{Reason: "test"}})
	r.must(err)
	for n, s := range all {
		words, got := judgeAgain(r, key, n%3, s.record.ID(), s.seq)
		if strings.Join(words, ", ") != "1 "+s.want || got.Outcome.Seq != s.seq {
			t.Errorf("event %d: %q, want %q", s.seq, words, s.want)
		}
	}
	number := r.start(plain)
	r.activate(number, r.diff(number).Digest)
	forged := all[1]
	for i := range 3 {
		words, got := judgeAgain(r, key, i, forged.record.ID(), forged.seq)
		if want := fmt.Sprintf("1 accepted ok, %d refused bad_signature", number); strings.Join(words, ", ") != want {
			t.Errorf("after the recount: %q", words)
		}
		if v := got.Verdicts; v[0].Outcome.Policy == v[1].Outcome.Policy || v[0].Signature != evidence.Unsigned {
			t.Errorf("%+v", v)
		}
	}
	if words, _ := judgeAgain(r, key, 0, all[2].record.ID(), 0); strings.Join(words, ", ") !=
		fmt.Sprintf("1 escalated epoch_regression, %d accepted ok", number) {
		t.Errorf("a record that stands in both: %q", words)
	}
	for _, path := range []string{"/v1/pcs/" + forged.record.ID() + "/bundle?seq=1",
		"/v1/pcs/" + strings.Repeat("0", 64) + "/bundle"} {
		if status, body := c.Once(0, http.MethodGet, path, nil); status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}
