package projections

import (
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/internal/verify"
)

// epochs puts the epoch reasons before those of the content and returns the root that (shard, epoch) already
// has. If a record is judged again, its age is not held against it: it keeps a regression only if it had one
// before.
func (s *evaluation) epochs(old *idRow) (*epochRow, error) {
	if s.shard == nil {
		return nil, nil
	}
	var e *epochRow
	if s.knownEpoch() {
		var err error
		if e, err = read(s.tx, s.epochKey(), decodeEpochRow); err != nil {
			return nil, err
		}
	}
	var reasons []verify.Reason
	r, rule := &s.r, s.policy.Policy.Epochs.OnRegression
	var detail string
	if e != nil && e.root != s.root {
		reasons = append(reasons, verify.ReasonEpochEquivocation)
		r.CausedBySeq = e.seq
		detail = fmt.Sprintf("event %d set merkle_root %x for epoch %d", e.seq, e.root, r.Epoch)
	}
	below, err := s.belowMark(old, e)
	if err != nil {
		return nil, err
	}
	switch below {
	case verify.ReasonEpochRegression:
		reasons = append(reasons, below)
		if detail == "" {
			r.CausedBySeq = s.shard.markSeq
			detail = fmt.Sprintf("epoch %d is below the shard's high-water mark %d", r.Epoch, s.shard.mark)
		}
	case verify.ReasonLateEpoch:
		s.late()
	}
	if len(reasons) == 0 {
		return e, nil
	}
	r.Outcome, r.Accepted, r.Reason, r.Detail = verify.Escalated, false, reasons[0], detail
	if reasons[0] == verify.ReasonEpochRegression && rule == verify.RegressionReject {
		r.Outcome = verify.Refused
	}
	r.Reasons = append(reasons, r.Reasons...)
	return e, nil
}

// belowMark returns the reason for an epoch below the mark: a regression, late within the window of the policy,
// or 0. A record that is judged again keeps its reason.
func (s *evaluation) belowMark(old *idRow, e *epochRow) (verify.Reason, error) {
	r, rules := &s.r, &s.policy.Policy.Epochs
	if !s.shard.hasMark || r.Epoch >= s.shard.mark || rules.OnRegression == verify.RegressionAllow {
		return 0, nil
	}
	if old != nil {
		prior, err := readRow(s.tx, old.judged)
		switch {
		case err != nil:
			return 0, err
		case slices.Contains(prior.Reasons, verify.ReasonEpochRegression):
		case slices.Contains(prior.Reasons, verify.ReasonLateEpoch) && rules.LateWindow > 0 &&
			(e == nil || e.root == s.root):
			return verify.ReasonLateEpoch, nil
		default:
			return 0, nil
		}
	}
	if e == nil && s.shard.mark-r.Epoch <= rules.LateWindow {
		return verify.ReasonLateEpoch, nil
	}
	return verify.ReasonEpochRegression, nil
}

// late notes that the policy accepts a late epoch. It is not a fault, so the reasons of the content come first.
func (s *evaluation) late() {
	r := &s.r
	r.CausedBySeq = s.shard.markSeq
	if r.Reasons = append(r.Reasons, verify.ReasonLateEpoch); r.Reason == verify.ReasonOK {
		r.Reason = verify.ReasonLateEpoch
		r.Detail = fmt.Sprintf("every check passed; epoch %d comes late: the shard's high-water mark is %d, "+
			"and the policy accepts "+
			"unused epochs down to %d below it",
			r.Epoch, s.shard.mark, s.policy.Policy.Epochs.LateWindow)
	}
}

// epochKey returns the key of the epoch row, which is valid until the next key.
func (s *evaluation) epochKey() []byte {
	s.key = appendNums(s.key[:0], spaceEpoch, s.shard.first, uint64(s.r.Epoch))
	return s.key
}
