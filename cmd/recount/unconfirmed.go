package main

import (
	"context"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// noteUnconfirmed prints a warning when the node that answered sees no majority of the cluster, so nobody confirmed
// the list.
func (a *app) noteUnconfirmed(ctx context.Context, c *client.Client, r client.Read) {
	if a.quiet || r.Consistency == wire.ConsistencyLinearizable {
		return
	}
	cluster, err := withTimeout(ctx, a, c.Cluster)
	if err != nil {
		a.notef("Nobody confirmed that this is all: the nodes could not be asked: %v", err)
		return
	}
	voters, away := 0, 0
	for _, m := range cluster.Members {
		if m.Suffrage != "voter" {
			continue
		}
		if voters++; m.State == "unreachable" {
			away++
		}
	}
	if cluster.Leader == "" || 2*away >= voters && voters > 0 {
		a.notef("Nobody confirmed that this is all: the node that answered is without a majority (%d of %d "+
			"voters do not answer it). What the others "+
			"have accepted meanwhile is missing. Ask again with --consistency linearizable when they are back.",
			away, voters)
	}
}
