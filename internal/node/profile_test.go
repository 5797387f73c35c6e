package node_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"testing"

	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/wire"
)

// TestNewProfileWaitsForEveryNode: while a voter says that its release does not know py-bin, no node takes a
// record that py-bin alone writes, nor a policy that names it. All else is taken.
func TestNewProfileWaitsForEveryNode(t *testing.T) {
	c := nodetest.Start(t, 3, abuseKeys(t), node.KnowVersions(1))
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	old := (c.Leader() + 1) % 3
	c.Node(old).PretendOlder("profile-py-bin")
	record := func(shard string) nodetest.Members { return f.Members(shard, 1).With("r", "0.3916015625") } // a tie
	send := func(i int, shard string) (int, wire.Problem) {
		m := record(shard)
		payload, err := pcs.Decode(m.Text(t)).AppendPayload(nil, pcs.PyBin)
		r.must(err)
		sum := sha256.Sum256(payload)
		status, _, p := post(c, i, m.Carry(nodetest.AbuseSigners["hmac"](sum[:])).Text(t))
		return status, p
	}
	for i := range 3 {
		if status, p := send(i, fmt.Sprintf("früh-%d", i)); status != http.StatusServiceUnavailable ||
			p.Code != wire.CodeOverloaded {
			t.Errorf("node %d: a record that node %d cannot read: %d %+v", i+1, old+1, status, p)
		}
		if status, _, p := post(c, i,
			record(fmt.Sprintf("offen-ä-%d", i)).SignPCS1(t, nodetest.AbuseSigners["hmac"]).Text(t)); status >= 300 {
			t.Errorf("node %d: a record that everybody can read: %d %+v", i+1, status, p)
		}
	}
	for document, want := range map[string]wire.Code{
		"kernel: 1\n":                       wire.CodeStale,
		"signature: {profiles: [f9, py]}\n": "",
	} {
		if _, err := c.Client.PublishPolicy(r.ctx, wire.PolicyRequest{
			Document: document,
			Op:       wire.Op{Reason: "a test"},
		}); codeOf(err) != want {
			t.Errorf("publish %q: %v", document, err)
		}
	}
	c.Node(old).PretendOlder("nothing")
	for i := range 3 {
		c.Await("py-bin", func() error {
			if status, p := send(i, fmt.Sprintf("spät-%d", i)); status >= 300 {
				return fmt.Errorf("%d %+v", status, p)
			}
			return nil
		})
	}
	c.Check()
}
