package node_test

import (
	"context"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
)

// TestFollowerKnowsCommits: an idle leader tells its commit index once a minute here. A follower still answers a
// submission and a linearizable read at once, because the answer of the leader names the committed entry. One
// client alone sends one record after the other, so no later entry carries the commit index of an earlier one.
func TestFollowerKnowsCommits(t *testing.T) {
	c := nodetest.Start(t, 3, node.RarelyTellCommits(time.Minute))
	f := nodetest.NewRecords(t)
	ctx, cancel := context.WithTimeout(t.Context(), opTime)
	defer cancel()
	leader := c.Leader()
	writer, reader := (leader+1)%3, (leader+2)%3
	for epoch := range int64(20) {
		a, err := c.Submit(ctx, c.At(writer), f.Sign(nodetest.Record{Shard: "s", Epoch: epoch, Root: "r"}))
		if err != nil || a.Submit == nil {
			t.Fatalf("record %d through node %d: status %d, %v", epoch, writer, a.Status, err)
		}
		for _, i := range []int{writer, reader, leader} {
			got, err := c.At(i).Get(ctx, a.Submit.PCSID, client.Read{})
			if err != nil || got.Seq != a.Seq {
				t.Fatalf("record %d on node %d: %v", epoch, i, err)
			}
		}
	}
	c.Check()
}
