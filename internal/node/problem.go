package node

import (
	"errors"
	"time"

	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/wire"
)

// retryAfter is the time that a client is told to wait when the node cannot answer now.
const retryAfter = time.Second

// proposeProblem returns the problem to answer for an error of the packer of a node.
func proposeProblem(err error, n *Node) error {
	switch {
	case errors.Is(err, propose.ErrUnknown):
		return wire.NewProblem(wire.CodeOutcomeUnknown, "")
	case errors.Is(err, errLeaderDisk):
		return wire.NewProblem(wire.CodeOverloaded, errLeaderDisk.Error()).WithRetry(retryAfter)
	case errors.Is(err, propose.ErrOverloaded):
		return wire.NewProblem(wire.CodeOverloaded, "").WithRetry(retryAfter)
	case errors.Is(err, propose.ErrClosed):
		if p := n.withheld(); p != nil && !n.closing.Load() { // it was removed
			return p
		}
		return wire.NewProblem(wire.CodeShuttingDown, "").WithRetry(retryAfter)
	case errors.Is(err, propose.ErrNoLeader):
		if p := n.clock.Disputed(); p != nil {
			return p
		}
		return wire.NewProblem(wire.CodeNoLeader, "").WithRetry(retryAfter)
	}
	return err
}
