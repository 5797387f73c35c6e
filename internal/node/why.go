package node

import (
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// statusOf is the HTTP status with which a submission is answered that stands as r.
func statusOf(r *projections.Result) int { return wire.StatusOf(r.Outcome.String(), r.Reason.String()) }
