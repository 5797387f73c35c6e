package node

import (
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// statusOf is the HTTP status with which a submission is answered that stands as r.
func statusOf(r *projections.Result) int { return wire.StatusOf(r.Outcome.String(), r.Reason.String()) }

// reasonText says for people why an outcome is what it is. The fold keeps no text where the state of a
// key decided. The texts for these cases name no key, because everybody may look up a record.
func reasonText(r *projections.Result) string {
	if r.Detail != "" {
		return r.Detail
	}
	switch r.Reason {
	case verify.ReasonBadSignature:
		return "no registered key verifies the signature"
	case verify.ReasonKeyNotAllowed:
		return "the terms of the key that signed it do not allow this shard at this time"
	case verify.ReasonKeyRevoked:
		return "the key that signed it is revoked"
	}
	return ""
}
