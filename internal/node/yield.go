package node

import (
	"context"
	"errors"

	"github.com/recount-ledger/recount/internal/pause"
)

// errYielding keeps this node from proposing as the leader that it still is for a moment.
var errYielding = errors.New("this node cannot take what is submitted, and a majority of the others can: " +
	"another one is to lead")

// unfit returns the reason why this node cannot do the work of a leader, "" when it can. A node that cannot
// does not lead while a majority of the others can.
func (n *Node) unfit() string {
	if n.quarantine.entered() {
		return "it is quarantined"
	}
	if reason := n.doubts.Suspended(); reason != "" {
		return "it is suspended: " + reason
	}
	if n.joined.Load() {
		if err := n.clock.startFault(true); err != nil {
			return err.Error()
		}
	}
	if n.disk.Unfit() {
		return "it is short of disk space"
	}
	return ""
}

// watchLead logs when this node yields and when that is over.
func (n *Node) watchLead(ctx context.Context) error {
	said := false
	for {
		if err := pause.For(ctx, clockPause); err != nil {
			return err
		}
		switch now, why := n.cluster.Yielding(), n.unfit(); {
		case now && !said:
			n.log.Warn("this node does not lead, since others can do what it cannot", "because", why)
			said = true
		case said && why == "":
			n.log.Info("this node may lead again")
			said = false
		}
	}
}
