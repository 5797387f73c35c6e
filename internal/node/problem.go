package node

import (
	"errors"
	"time"

	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/wire"
)

// retryAfter is the time that a client is told to wait when the node cannot answer now.
const retryAfter = time.Second

// proposeProblem returns the problem to answer for an error of the packer.
func proposeProblem(err error, clock *ledgerClock) error {
	switch {
	case errors.Is(err, propose.ErrUnknown):
		return wire.NewProblem(wire.CodeOutcomeUnknown, "")
	case errors.Is(err, errLeaderDisk):
		return wire.NewProblem(wire.CodeOverloaded, errLeaderDisk.Error()).WithRetry(retryAfter)
	case errors.Is(err, propose.ErrOverloaded):
		return wire.NewProblem(wire.CodeOverloaded, "").WithRetry(retryAfter)
	case errors.Is(err, propose.ErrClosed):
		return wire.NewProblem(wire.CodeShuttingDown, "").WithRetry(retryAfter)
	case errors.Is(err, propose.ErrNoLeader):
		if p := clock.Disputed(); p != nil {
			return p
		}
		return wire.NewProblem(wire.CodeNoLeader, "").WithRetry(retryAfter)
	}
	return err
}
