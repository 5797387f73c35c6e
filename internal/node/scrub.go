package node

import (
	"context"
	"time"

	"github.com/recount-ledger/recount/internal/pause"
)

// scrubStep is the number of bytes of the log that are examined between two pauses.
const scrubStep = 256 << 10

// scrubLog examines the tables of the log at ScrubRate, again and again, so that damage on the disk is found
// while the other nodes still have the entries. The store quarantines the node then, as for every entry that it
// cannot read.
func (n *Node) scrubLog(ctx context.Context) error {
	if n.cfg.ScrubRate <= 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	due := 0
	pace := func(ctx context.Context, bytes int) error {
		n.stats.scrubbed.Add(uint64(bytes))
		if due += bytes; due < scrubStep {
			return ctx.Err()
		}
		rest := time.Duration(float64(due) / float64(n.cfg.ScrubRate) * float64(time.Second))
		due = 0
		return pause.For(ctx, rest)
	}
	for {
		if err := pause.For(ctx, n.cfg.ScrubPause); err != nil {
			return err
		}
		if err := n.store.Scrub(ctx, pace); err != nil {
			return err
		}
		n.stats.scrubs.Add(1)
	}
}
