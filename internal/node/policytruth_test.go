package node_test

import (
	"encoding/json"
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

// TestWrongProfilesAreRecounted: a policy that forgot the agents' profile refuses their records, but they are recorded with what
// verified them, so that a recount under the mended policy brings all of them back, and one under another list that writes them
// alike takes none away.
func TestWrongProfilesAreRecounted(t *testing.T) {
	c := nodetest.Start(t, 1)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	plain := r.publish(plainPolicy)
	r.apply(r.publish("signature: {profiles: [go-fold]}\n"))
	const records = 10
	for i := range records {
		if status, code := r.submit(f.Sign(nodetest.Record{Shard: "alpha", Epoch: int64(i + 1), Root: "r"})); status != 401 {
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
