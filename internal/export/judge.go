package export

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// submission is one event with a record, decoded.
type submission struct {
	*Event
	sub   event.Sub
	facts verify.Facts
	rec   *pcs.Record
	at    int64 // log time
}

// submission checks a record: its signature, that the response belongs to it, and the response itself.
func (w *walk) submission(e *Event) error {
	sub, err := event.DecodeSubmission(e.Payload)
	if err != nil {
		return fmt.Errorf("%w: event %d: %w", ErrFormat, e.Seq, err)
	}
	at, err := wire.ParseTime(e.LogTime)
	if err != nil {
		return nil // the check of times has reported this
	}
	s := &submission{Event: e, sub: sub, rec: pcs.Decode(sub.Body), at: at.UnixNano()}
	s.facts = verify.Facts{
		KeyID:   sub.Facts.KeyID,
		Alg:     verify.Alg(sub.Facts.Alg),
		Profile: pcs.Profile(sub.Facts.Profile),
		Mode:    verify.Mode(sub.Facts.Mode),
	}
	if r := w.m.Range; r.Shard != "" && s.rec.ShardID != r.Shard {
		w.fault(CheckEvents, "event %d is of shard %q", e.Seq, s.rec.ShardID)
	}
	v, err := w.nextAnswer(e.Seq)
	if err != nil {
		return err
	}
	if s.facts != (verify.Facts{}) && !s.facts.Valid() {
		w.fault(CheckEvents, "event %d has signature facts that this program does not know; a newer release may", e.Seq)
		return nil
	}
	w.signature(s)
	if v == nil {
		return nil
	}
	if what := s.differs(v); what != "" {
		w.fault(CheckAnswers, "the answer to event %d says another %s than the event", e.Seq, what)
	}
	w.verdict(s, v)
	return w.table.add(v)
}

// hidden adds a fault if the public keys of the export show that another key signed the record than the facts name.
func (w *walk) hidden(s *submission) {
	key, what := projections.FalseFacts(&s.sub, w.publicKeys(), false, false)
	if k := w.keys[key]; key != "" {
		at, err := wire.ParseTime(k.At)
		if err != nil || k.Seq >= s.Seq || s.at < at.UnixNano()+projections.KeyGrace {
			return
		}
	}
	if what != "" {
		w.doubts.add(w.board, s.Seq, CheckEd25519, "event %d: %s", s.Seq, what)
	}
}

// publicKeys returns the Ed25519 keys of the export.
func (w *walk) publicKeys() *verify.KeySet {
	if w.ed25519 == nil {
		var list []verify.Key
		for id := range w.keys {
			if public, ok := w.public(id); ok {
				list = append(list, verify.Key{ID: id, Alg: verify.Ed25519, Public: public})
			}
		}
		slices.SortFunc(list, func(a, b verify.Key) int { return strings.Compare(a.ID, b.ID) })
		w.ed25519 = verify.NewKeySet(list)
	}
	return w.ed25519
}

// signature checks the recorded facts with the key.
func (w *walk) signature(s *submission) {
	if s.facts.Alg != verify.Ed25519 {
		w.hidden(s)
	}
	switch s.facts.Alg {
	case 0:
	case verify.Ed25519:
		w.looked(CheckEd25519)
		public, ok := w.public(s.facts.KeyID)
		if !ok {
			w.doubts.add(w.board, s.Seq, CheckEd25519, "event %d: the key %q is not in %s", s.Seq, s.facts.KeyID,
				KeysFile)
		} else if !verify.RecheckEd25519(public, s.rec, s.facts) {
			w.doubts.add(w.board, s.Seq, CheckEd25519, "event %d: %s did not sign the record", s.Seq, s.facts.KeyID)
		}
	case verify.HMACSHA256:
		if k, ok := w.keys[s.facts.KeyID]; !ok || k.Alg != s.facts.Alg.String() {
			w.doubts.add(w.board, s.Seq, CheckHMAC, "event %d: the key %q is not in %s", s.Seq, s.facts.KeyID, KeysFile)
		}
		ok, known := w.keySet.Recheck(s.rec, s.facts)
		if !known {
			w.unknown++
		} else if w.known++; !ok {
			w.doubts.add(w.board, s.Seq, CheckHMAC, "event %d: %s did not sign the record", s.Seq, s.facts.KeyID)
		}
	}
}

// nextAnswer returns the line about an event, or nil.
func (w *walk) nextAnswer(seq uint64) (*wire.AuditItem, error) {
	if w.answersLost {
		return nil, nil
	}
	v, err := w.answers.next()
	switch {
	case errors.Is(err, io.EOF):
		w.fault(CheckAnswers, "there is none to event %d", seq)
	case errors.Is(err, ErrFormat):
		w.fault(CheckAnswers, "%v", err)
	case err != nil:
		return nil, err
	case v.Seq != seq:
		w.fault(CheckAnswers, "where the answer to event %d is expected, there is one to event %d", seq, v.Seq)
	default:
		w.looked(CheckAnswers)
		w.counts.Submissions++
		w.counts.Outcomes[v.Outcome]++
		w.page.count(v)
		return v, nil
	}
	w.answersLost = true
	return nil, nil
}

// differs describes how a response differs from the submission of the event, or returns "".
func (s *submission) differs(v *wire.AuditItem) string {
	switch {
	case v.LogTime != s.LogTime:
		return "log time"
	case v.ReceivedAt != wire.TimeNS(s.sub.ReceivedAt) || v.Node != s.sub.Node || v.RequestID != s.sub.RequestID ||
		v.Remote != s.sub.Remote:
		return "way of coming in"
	case v.KeyID != "" && v.KeyID != s.facts.KeyID:
		return "key"
	case v.InputsSigned != (v.KeyID != "" && s.facts.InputsSigned()):
		return "scope of the signature"
	case (v.PCSID != "") != named(s.rec), v.PCSID == "" && (v.ShardID != "" || v.Epoch != 0),
		v.PCSID != "" && (v.PCSID != strings.ToLower(s.rec.PCSID) || v.ShardID != s.rec.ShardID ||
			v.Epoch != s.rec.Epoch):
		return "identity"
	case (v.DHat != nil) != (v.KeyID != "" && s.rec.Signable),
		v.DHat != nil && *v.DHat != s.rec.Tuple(s.facts.Profile).DHat:
		return "claimed D_hat"
	}
	return ""
}

// named reports whether the ledger can read what a record names itself: id, root, epoch and shard.
func named(r *pcs.Record) bool {
	id, err := hex.DecodeString(r.PCSID)
	root, err2 := hex.DecodeString(r.MerkleRoot)
	return (r.Fault == nil || r.Fault.Class != pcs.ClassMalformed) && err == nil && err2 == nil && len(id) == 32 &&
		len(root) == 32 && r.Epoch >= 0 && r.ShardID != "" && len(r.ShardID) <= pcs.MaxShardID
}

// verdict judges the record again, under the policy that the answer names.
func (w *walk) verdict(s *submission, v *wire.AuditItem) {
	outcome, err := verify.ParseOutcome(v.Outcome)
	reason, reasonErr := verify.ParseReason(v.ReasonCode)
	if reasonErr != nil {
		reason = verify.ReasonRule // a code of the policy
	}
	if err != nil || v.Status != wire.StatusOf(v.Outcome, reason.String()) ||
		v.Accepted && outcome != verify.Accepted && outcome != verify.Escalated {
		w.fault(CheckAnswers, "the answer to event %d contradicts itself: %s, status %d", s.Seq, v.Outcome, v.Status)
		return
	}
	if was := &v.Was; was.Generation == v.Generation && (was.Outcome != v.Outcome || was.Accepted != v.Accepted ||
		was.ReasonCode != "" && was.ReasonCode != v.ReasonCode) {
		w.fault(CheckAnswers, "generation %d said two things of event %d", v.Generation, s.Seq)
	}
	w.generation(s.Seq, v)
	w.again(s, said{v.Outcome, v.Accepted, v.ReasonCode, v.Policy}, v)
	for _, other := range []*wire.AuditAnswer{&v.Was, v.Now} {
		if other != nil && other.Generation != v.Generation && other.Policy != "" {
			w.again(s, said{other.Outcome, other.Accepted, other.ReasonCode, other.Policy}, nil)
		}
	}
}

// generation sees that the generations that answered are those of the list, and that the policy is that of the
// schedule. A replay or a conflict has the policy of an earlier record.
func (w *walk) generation(seq uint64, v *wire.AuditItem) {
	if by := w.activeAfter(seq); v.Was.Generation != by {
		w.fault(CheckAnswers, "event %d was answered by generation %d first, not by %d", seq, by, v.Was.Generation)
	}
	if !w.listed(v.Generation) || v.Now != nil && !w.listed(v.Now.Generation) {
		w.fault(CheckAnswers, "the answer to event %d is of a generation that is not in %s", seq, GenerationsFile)
	} else if !v.Replayed && v.Outcome != wire.OutcomeConflict && !w.scheduled(v.Generation, seq, v.Policy) {
		w.fault(CheckAnswers, "generation %d did not judge event %d under policy %.16q", v.Generation, seq, v.Policy)
	}
}

// said is one answer of the ledger.
type said struct {
	outcome  string
	accepted bool
	reason   string
	policy   string
}

// byHistory are the reasons that depend on earlier events.
var byHistory = []string{verify.ReasonKeyNotAllowed.String(), verify.ReasonKeyRevoked.String(),
	verify.ReasonFrozen.String(),
	verify.ReasonConflict.String(), verify.ReasonEpochEquivocation.String(), verify.ReasonEpochRegression.String()}

// again judges the record and compares the result. row has the whole response. It is nil for responses at other
// times, for which it is not known whether they repeat an earlier outcome, so a difference proves nothing.
func (w *walk) again(s *submission, a said, row *wire.AuditItem) {
	p, ok := w.policies[a.policy]
	if !ok {
		w.fault(CheckPolicies, "the answer to event %d was given under policy %q, which is not in the export",
			s.Seq, a.policy)
		return
	}
	if row != nil && row.Replayed || slices.Contains(byHistory, a.reason) {
		w.history++
		return
	}
	verdict := verify.Evaluate(p, s.rec, s.facts, s.at)
	what := compare(&verdict, a, row)
	switch {
	case what != "" && row == nil, what != "" && s.facts.Valid() && !w.registered(s):
		w.history++
	case what != "":
		w.looked(CheckJudged)
		w.doubts.add(w.board, s.Seq, CheckJudged,
			"event %d: judged again it has another %s: %s %s, and the answer was %s %s",
			s.Seq, what, verdict.Outcome, reasonWord(&verdict, verdict.Reason), a.outcome, a.reason)
	default:
		w.looked(CheckJudged)
	}
}

// registered reports whether the signing key was registered before the event.
func (w *walk) registered(s *submission) bool {
	k, ok := w.keys[s.facts.KeyID]
	return ok && k.Seq < s.Seq
}

// compare describes how a verdict differs from a response, or returns "".
func compare(v *verify.Verdict, a said, row *wire.AuditItem) string {
	reason := reasonWord(v, v.Reason)
	late := verify.ReasonLateEpoch.String()
	if a.reason == late && v.Reason == verify.ReasonOK { // decided by the epochs, which change nothing else
		reason = late
	}
	switch {
	case v.Outcome.String() != a.outcome:
		return "outcome"
	case v.Accepted != a.accepted:
		return "accepted"
	case reason != a.reason:
		return "reason"
	case row == nil:
		return ""
	}
	var reasons []string
	for _, r := range v.Reasons {
		if r != verify.ReasonOK {
			reasons = append(reasons, reasonWord(v, r))
		}
	}
	said := slices.DeleteFunc(slices.Clone(row.Reasons), func(r string) bool { return r == late })
	if len(reasons) == 0 && reason != "ok" && reason != late {
		reasons = []string{reason}
	}
	if !slices.Equal(reasons, said) {
		return "list of reasons"
	}
	if text := (&projections.Result{Reason: v.Reason, Detail: v.Evidence}).ReasonText(); reason != late &&
		row.Reason != text && row.Reason != "" {
		return "text of its reason"
	}
	if v.Outcome == verify.Refused {
		return ""
	}
	return otherValues(v, row)
}

func otherValues(v *verify.Verdict, row *wire.AuditItem) string {
	if v.HasDHat != (row.RecomputedDHat != nil) || v.HasDHat && v.DHatUpper != *row.RecomputedDHat ||
		v.Budget != row.RecomputedBudget {
		return "value"
	}
	return ""
}

// reasonWord returns a reason as clients see it.
func reasonWord(v *verify.Verdict, r verify.Reason) string {
	if r == verify.ReasonRule {
		return v.RuleReason
	}
	return r.String()
}
