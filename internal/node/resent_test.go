package node_test

import (
	"testing"

	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// TestResentAfterRevocation: of a pack that was sent twice the first copy may be accepted and the second refused, because the key
// was revoked between them. The client is told what stands; what was sent once is refused.
func TestResentAfterRevocation(t *testing.T) {
	c := nodetest.Start(t, 1)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	body := f.Sign(nodetest.Record{Shard: "alpha", Epoch: 1, Root: "r"})
	first, err := c.Client.Submit(r.ctx, body)
	r.must(err)
	_, err = c.Client.RevokeKey(r.ctx, r.keys()[0].KeyID, wire.RevokeRequest{})
	r.must(err)
	again, err := c.Node(0).SubmitResent(r.ctx, body, true)
	if err != nil || again.Seq != first.Seq || !again.Accepted || again.PCSID != first.PCSID {
		t.Errorf("the second copy: %+v %v, the first: %+v", again, err, first)
	}
	if _, err := c.Node(0).SubmitResent(r.ctx, body, false); codeOf(err) != wire.CodeKeyNotAllowed {
		t.Errorf("sent once, after the revocation: %v", err)
	}
	other := f.Sign(nodetest.Record{Shard: "alpha", Epoch: 2, Root: "r"})
	if _, err := c.Node(0).SubmitResent(r.ctx, other, true); codeOf(err) != wire.CodeKeyNotAllowed {
		t.Errorf("a record that never was accepted: %v", err)
	}
}
