package node

import (
	"sync/atomic"

	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
)

// stats has counters outside the fold.
type stats struct {
	scrubbed, scrubs                       atomic.Uint64 // of the log: bytes, and complete examinations
	falseFacts                             atomic.Uint64
	accepted, escalated, refused, conflict atomic.Uint64
	folded                                 atomic.Uint64
}

func (s *stats) count(r projections.Result) {
	s.folded.Add(1)
	switch r.Outcome {
	case verify.Accepted:
		s.accepted.Add(1)
	case verify.Escalated:
		s.escalated.Add(1)
	case verify.Refused:
		s.refused.Add(1)
	case verify.Conflict:
		s.conflict.Add(1)
	}
}
