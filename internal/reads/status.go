package reads

import (
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// statusOf returns the HTTP status of the answer to a submission with the result r.
func statusOf(r *projections.Result) int { return wire.StatusOf(r.Outcome.String(), r.Reason.String()) }
