package projections

import (
	"fmt"

	"github.com/recount-ledger/recount/internal/verify"
)

// epochs puts the epoch reasons before those of the content and returns the root that (shard, epoch) has already. A record
// that is judged anew is no regression for having grown old: the reason stays only with one that had it before.
func (s *step) epochs(old *idRow) (*epochRow, error) {
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
		r.BehindSeq = e.seq
		detail = fmt.Sprintf("event %d set merkle_root %x for epoch %d", e.seq, e.root, r.Epoch)
	}
	below := s.shard.hasMark && r.Epoch < s.shard.mark && rule != verify.RegressionAllow
	if below && old != nil {
		var err error
		if below, err = s.regressedBefore(old); err != nil {
			return nil, err
		}
	}
	if below {
		reasons = append(reasons, verify.ReasonEpochRegression)
		if detail == "" {
			r.BehindSeq = s.shard.markSeq
			detail = fmt.Sprintf("epoch %d is below the shard's high-water mark %d", r.Epoch, s.shard.mark)
		}
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

func (s *step) regressedBefore(old *idRow) (bool, error) {
	prior, err := readRow(s.tx, old.judged)
	if err != nil {
		return false, err
	}
	for _, x := range prior.Reasons {
		if x == verify.ReasonEpochRegression {
			return true, nil
		}
	}
	return false, nil
}

func (s *step) epochKey() []byte { return numKey(spaceEpoch, s.shard.first, uint64(s.r.Epoch)) }
