package node_test

import (
	"fmt"
	"net/http"
	"regexp"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// TestRefusalAgain: a conflicting record, and a signed one that is wrong in structure, is logged once. Every
// node answers it again with the evidence of then, also under another leader and after every node was stopped;
// another conflict is news.
func TestRefusalAgain(t *testing.T) {
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	first := nodetest.Record{Shard: "alpha", Epoch: 1, Root: "r"}
	submitAll(t, c, 1, [][]byte{f.Sign(first)})
	conflict, near := first, first
	conflict.Wrong, near.Near = true, true
	regime := regexp.MustCompile(`"regime":"[a-z_]+"`)
	refused := []struct {
		body   []byte
		status int
		seq    uint64
	}{
		{f.Sign(conflict), http.StatusConflict, 0},
		{regime.ReplaceAll(f.Sign(nodetest.Record{Shard: "beta", Epoch: 1, Root: "r"}),
			[]byte(`"regime":"purple"`)), http.StatusBadRequest, 0},
	}
	send := func(what string) {
		t.Helper()
		for i := range refused {
			for n := range c.Size() {
				w := &refused[i]
				status, _, p := post(c, n, w.body)
				again := w.seq != 0
				if status != w.status || p.Seq == 0 || again && p.Seq != w.seq || p.Replayed != again {
					t.Errorf("%s, node %d: %d, %+v, the evidence is event %d", what, n, status, p, w.seq)
				}
				w.seq = p.Seq
			}
		}
	}
	kept := func() (n int) {
		for item, err := range c.Client.Audit(r.ctx, client.AuditQuery{
			Read: client.Read{Consistency: wire.ConsistencyLinearizable},
		}) {
			r.must(err)
			if item.Status >= 400 {
				n++
			}
		}
		return n
	}
	// A node that cannot ask a quorum lets the log decide, so a round may leave an event while leaders change,
	// and never another answer.
	rounds := func(what string) {
		t.Helper()
		c.Await(what+": a round of repetitions adds no event", func() error {
			before := kept()
			if send(what); kept() != before {
				return fmt.Errorf("%d refusals in the log, %d before", kept(), before)
			}
			return nil
		})
	}
	send("at first")
	rounds("again")
	c.Lead((c.Leader() + 1) % c.Size())
	rounds("under another leader")
	stopAll(c)
	for i := range c.Size() {
		c.Restart(i)
	}
	for i := range c.Size() {
		c.AwaitReady(i)
	}
	rounds("after a restart")
	before := kept()
	if status, _, p := post(c, 0, f.Sign(near)); status != http.StatusConflict || p.Replayed ||
		p.Seq <= refused[1].seq {
		t.Errorf("another conflict: %d %+v", status, p)
	}
	if n := kept(); n != before+1 {
		t.Errorf("%d refusals in the log, want one more than %d", n, before)
	}
}
