package node_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

func (r recounter) apply(id string) {
	r.t.Helper()
	_, err := r.c.Client.ApplyPolicy(r.ctx, id, wire.ApplyRequest{})
	r.must(err)
}

// TestWrongProfilesAreRecounted: a policy that forgot the agents' profile refuses their records, but they are
// recorded with what verified them, so that a recount under the corrected policy brings all of them back, and one
// under another list that writes them alike takes none away.
func TestWrongProfilesAreRecounted(t *testing.T) {
	c := nodetest.Start(t, 1)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	plain := r.publish(plainPolicy)
	r.apply(r.publish("signature: {profiles: [go-fold]}\n"))
	const records = 10
	for i := range records {
		if status, code := r.submit(f.Sign(nodetest.Record{
			Shard: "alpha",
			Epoch: int64(i + 1),
			Root:  "r",
		})); status != 401 {
			t.Fatalf("under the policy without f9: %d %s", status, code)
		}
	}
	number := r.start(plain)
	if d := r.diff(number); d.Flips != records || d.ByOutcome["refused->accepted"] != records {
		t.Errorf("under the mended policy: %+v", d)
	}
	page, err := c.Client.AuditPage(r.ctx, client.AuditQuery{Key: r.keys()[0].KeyID})
	r.must(err)
	if len(page.Items) != 0 {
		t.Errorf("a record that the policy does not take counts as the key's: %+v", page.Items)
	}
}

// TestUnsignedUnderTheAcknowledgedPolicy: once a policy is acknowledged, no other node refuses for good what it takes.
func TestUnsignedUnderTheAcknowledgedPolicy(t *testing.T) {
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	lax, plain := r.publish(laxPolicy), r.publish(plainPolicy)
	got := map[int]int{}
	for i := range 15 {
		r.apply(plain)
		body := padded(t, f.Sign(nodetest.Record{Shard: "alpha", Epoch: int64(i + 1), Root: "r", Bare: true}))
		away := (c.Leader() + 1) % c.Size()
		r.apply(lax)
		status, _ := c.Once(away, "POST", client.SubmitPath, body)
		got[status]++
	}
	if got[401] != 0 || got[200] == 0 {
		t.Errorf("unsigned records under an acknowledged policy that takes them: %v", got)
	}
}

// padded makes a body too large for the budget of refusals that are logged, where the fold would decide.
func padded(t *testing.T, body []byte) []byte {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		t.Fatal(err)
	}
	members["note"] = json.RawMessage(`"` + strings.Repeat("x", 20<<10) + `"`)
	out, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPolicyIntervals: the list of policies says when each was in force, over an apply, an activation and a rollback.
func TestPolicyIntervals(t *testing.T) {
	r := newRecounter(t, nodetest.Start(t, 1))
	lax, plain := r.publish(laxPolicy), r.publish(plainPolicy)
	r.apply(lax)
	number := r.start(plain)
	r.await(number)
	r.activate(number, r.diff(number).Digest)
	_, err := r.c.Client.Rollback(r.ctx, wire.RollbackRequest{Op: wire.Op{Reason: "was wrong", Ticket: "INC-7"}})
	r.must(err)
	page, err := r.c.Client.Policies(r.ctx)
	r.must(err)
	said := map[string]string{}
	ends := map[uint64]string{}
	for _, p := range page.Items {
		for _, i := range p.Intervals {
			said[p.ID] += fmt.Sprintf("%s by %d %s;", i.By, i.Generation, i.Ticket)
			ends[i.ToSeq] = i.To
			if to, known := ends[i.FromSeq]; known && to != i.From {
				t.Errorf("%+v does not begin when the one before ends", i)
			}
		}
		if p.InForce != (len(p.Intervals) > 0 && p.Intervals[len(p.Intervals)-1].ToSeq == 0) {
			t.Errorf("in force: %v, intervals %+v", p.InForce, p.Intervals)
		}
	}
	if said[lax] != "applied by 1 ;rolled_back by 1 INC-7;" || said[plain] != "genesis by 1 ;activated by 2 ;" {
		t.Errorf("%+v", said)
	}
}
