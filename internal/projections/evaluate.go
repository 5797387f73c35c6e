package projections

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// evaluation is the fold of one submission. The checks come in the order structure, signature, identity (validate),
// dedup, epochs, content. The first that fails names the reason. The terms of the key are checked between validation
// and dedup, freezes together with dedup.
type evaluation struct {
	tx     Tx
	mem    *rowCache
	it     *Item
	c      *Prepared // of the item, or own
	own    Prepared  // with other facts or under another policy
	policy PolicyRow
	r      Result
	pcsID  [32]byte
	root   [32]byte
	shard  *shardRow // nil if the shard is not known yet
	passed bool      // validate accepted it

	key, row []byte // memory for the next key and row
}

// foldSubmission judges one submission and writes everything but its row. It returns the result, the hash of
// the row's core and the row, which is valid until the next call.
func (g *Generation) foldSubmission(tx Tx, it *Item, view ControlView) (Result, [32]byte, []byte, error) {
	rows, s := g.rows.begin(tx), &g.eval
	if err := s.begin(rows, g.mem, it, view); err != nil {
		return Result{}, [32]byte{}, nil, err
	}
	s.r.Generation = g.number
	if err := s.judge(view); err != nil {
		return Result{}, [32]byte{}, nil, err
	}
	if err := s.write(g); err != nil {
		return Result{}, [32]byte{}, nil, err
	}
	s.r.MaxEpoch = -1
	if s.passed {
		s.r.MaxEpoch = s.shard.top
	}
	s.r.wrote = rows.digest()
	core := s.r.appendCore(s.row[:0])
	hash := sum(core)
	s.row = s.r.appendTail(core)
	return s.r, hash, s.row, nil
}

// begin begins the evaluation of another submission in the same memory.
func (s *evaluation) begin(tx Tx, mem *rowCache, it *Item, view ControlView) error {
	p, ok := view.PolicyAt(it.Seq)
	if !ok {
		return ErrNoPolicy
	}
	if it.Prepared == nil {
		Prepare(it, nil, view)
	}
	s.tx, s.mem, s.it, s.c, s.policy = tx, mem, it, it.Prepared, p
	s.pcsID, s.root, s.shard, s.passed = [32]byte{}, [32]byte{}, nil, false
	if errors.Is(s.c.Err, ErrNewer) {
		return s.c.Err
	}
	if s.c.Err != nil {
		return fmt.Errorf("%w: %w", ErrBadEvent, s.c.Err)
	}
	if !s.c.Known && s.c.Facts.Alg == verify.Ed25519 {
		s.copy().checkFacts(it.Seq, nil, view) // the key may have entered the log after Check
	}
	if s.c.Policy != p.ID {
		s.copy().judge(p, it.LogTime)
	}
	v := &s.c.Verdict
	s.r = Result{
		Seq:           it.Seq,
		LogTime:       it.LogTime,
		ReceivedAt:    s.c.Sub.ReceivedAt,
		Node:          nodeName(s.c.Sub.Node),
		Policy:        p.ID,
		policySeq:     p.Seq,
		Outcome:       v.Outcome,
		Accepted:      v.Accepted,
		Reason:        v.Reason,
		Detail:        clip(v.Evidence),
		HasDHat:       v.HasDHat,
		DHat:          v.DHatUpper,
		DHatLower:     v.DHatLower,
		JudgedSeq:     it.Seq,
		FactsMismatch: s.c.mismatch() && !view.SecretRetired(s.c.Facts.KeyID),
	}
	s.r.Reasons, s.r.RuleReason = contentReasons(v), v.RuleReason
	s.identity()
	return nil
}

// contentReasons lists a verdict's reasons without ok, or nil.
func contentReasons(v *verify.Verdict) []verify.Reason {
	var out []verify.Reason
	for _, r := range v.Reasons {
		if r != verify.ReasonOK {
			out = append(out, r)
		}
	}
	if len(out) == 0 && v.Reason != verify.ReasonOK {
		out = append(out, v.Reason)
	}
	return out
}

// nodeName returns the name of a receiving node for its row, or "" if it cannot be a name.
func nodeName(s string) string {
	if len(s) > maxNode || !utf8.ValidString(s) {
		return ""
	}
	return s
}

func clip(s string) string {
	if len(s) > maxDetail {
		return ""
	}
	return s
}

// identity records the identity fields as claimed, if all of them are well formed.
func (s *evaluation) identity() {
	rec := s.c.Rec
	if rec.Fault != nil && rec.Fault.Class == pcs.ClassMalformed {
		return
	}
	id, err := parseHex(rec.PCSID)
	root, err2 := parseHex(rec.MerkleRoot)
	if err != nil || err2 != nil || rec.Epoch < 0 || rec.ShardID == "" || len(rec.ShardID) > pcs.MaxShardID {
		return
	}
	s.pcsID, s.root = id, root
	s.r.PCSID, s.r.MerkleRoot = hexText(id), hexText(root)
	// clone, because results live longer than the record that it is a part of
	s.r.ShardID, s.r.Epoch = strings.Clone(rec.ShardID), rec.Epoch
}

func (s *evaluation) judge(view ControlView) (err error) {
	if s.r.ShardID != "" {
		if s.shard, err = s.mem.shard(s.tx, s.r.ShardID); err != nil {
			return err
		}
	}
	if !s.validate(view) {
		if s.r.KeyID != "" && faulty(s.r.Reason) {
			return s.again(s.c.faultKey(s.r.Reason))
		}
		return nil
	}
	if !s.allowed(view) {
		return nil
	}
	s.passed, s.r.HasBudget, s.r.Budget = true, true, s.c.Verdict.Budget
	if s.shard != nil {
		s.r.HadMark, s.r.MarkBefore = s.shard.hasMark, s.shard.mark
	}
	var id *idRow
	if s.knownEpoch() {
		s.key = appendID(s.key[:0], s.pcsID)
		if id, err = read(s.tx, s.key, decodeIDRow); err != nil {
			return err
		}
	}
	same := id != nil && id.signed == s.c.Signed
	switch {
	case same && uint64(s.it.LogTime)-uint64(id.judgedAt) <= uint64(s.policy.Policy.Params.DedupTTL):
		return s.replay(id)
	case s.frozen(view):
		return nil
	case id != nil && !same:
		return s.conflict(id)
	}
	return s.decide(id)
}

// allowed refuses what the terms of the key do not permit. It comes before dedup, so that such a key learns
// nothing about ids.
func (s *evaluation) allowed(view ControlView) bool {
	if s.r.KeyID == "" || view.Allowed(s.r.KeyID, s.r.ShardID, s.it.Seq, s.it.LogTime) {
		return true
	}
	s.refuse(verify.ReasonKeyNotAllowed)
	return false
}

// frozen refuses what an operator has frozen. It comes after replays, which are still answered, and before all
// checks that change an id or an epoch.
func (s *evaluation) frozen(view ControlView) bool {
	f, ok := view.Frozen(s.r.ShardID, s.r.KeyID, s.it.Seq)
	if !ok {
		return false
	}
	r := &s.r
	s.passed, r.HadMark, r.MarkBefore, r.HasBudget, r.Budget = false, false, 0, false, 0
	s.refuse(verify.ReasonFrozen)
	r.Detail = fmt.Sprintf("event %d froze submissions", f.Seq)
	return true
}

// knownEpoch reports whether an id or a root of this epoch may exist. A pcs_id that passed validation is the hash
// of root, epoch and shard, so an epoch above all epochs with occupied ids in the shard is new.
func (s *evaluation) knownEpoch() bool { return s.shard != nil && s.r.Epoch <= s.shard.top }

// validate refuses a record that is structurally invalid, not validly signed by a registered key, or misnamed. A
// refusal leaves no trace in identity or order.
func (s *evaluation) validate(view ControlView) bool {
	f := s.c.Facts
	signed := f.Valid() && s.c.Rec.Signable && s.r.Reason != verify.ReasonBadSignature
	if signed {
		alg, _, ok := view.RegisteredKey(f.KeyID, s.it.Seq)
		signed = ok && alg == f.Alg && (alg == verify.HMACSHA256 || s.c.FactsOK)
	}
	if signed {
		s.r.KeyID, s.r.Facts = f.KeyID, f
	}
	reason := s.r.Reason
	switch {
	case reason == verify.ReasonMalformed || reason == verify.ReasonSchema:
	case f.Valid() && !signed, reason == verify.ReasonIDMismatch && !signed:
		reason = verify.ReasonBadSignature
	case reason == verify.ReasonIDMismatch || reason == verify.ReasonBadSignature:
	case signed && view.Revoked(f.KeyID, s.it.Seq, s.it.LogTime):
		reason = verify.ReasonKeyRevoked
	case s.r.PCSID != "":
		return true
	default:
		reason = verify.ReasonSchema
	}
	s.refuse(reason)
	return false
}

func (s *evaluation) refuse(reason verify.Reason) {
	r := &s.r
	if reason != r.Reason {
		r.Detail = ""
	}
	if reason != verify.ReasonRule {
		r.RuleReason = ""
	}
	r.Outcome, r.Accepted, r.Reason, r.Reasons = verify.Refused, false, reason, []verify.Reason{reason}
	r.HasDHat, r.DHat, r.DHatLower = false, 0, 0
}

// conflict refuses other signed values under an occupied id, at any time.
func (s *evaluation) conflict(id *idRow) error {
	first, err := readRow(s.tx, id.judged)
	if err != nil {
		return err
	}
	first.Generation = s.r.Generation
	r := &s.r
	r.Outcome, r.Accepted, r.Reason = verify.Conflict, false, verify.ReasonConflict
	r.Reasons = append([]verify.Reason{verify.ReasonConflict}, r.Reasons...)
	r.FirstSeq, r.JudgedSeq, r.CausedBySeq, r.First = id.first, id.judged, id.judged, &first
	r.Detail = fmt.Sprintf("event %d has this pcs_id with other signed values", id.first)
	return s.again(s.c.conflictKey(s.pcsID))
}

// replay answers the same signed values within the TTL with the outcome that stands.
func (s *evaluation) replay(id *idRow) error {
	first, err := readRow(s.tx, id.judged)
	if err != nil {
		return err
	}
	first.Generation = s.r.Generation
	r := &s.r
	r.Outcome, r.Accepted, r.Reason, r.Reasons, r.RuleReason = first.Outcome, first.Accepted, first.Reason,
		first.Reasons, first.RuleReason
	r.HasDHat, r.DHat, r.DHatLower = first.HasDHat, first.DHat, first.DHatLower
	r.HasBudget, r.Budget, r.Detail = first.HasBudget, first.Budget, first.Detail
	r.Policy, r.policySeq = first.Policy, first.policySeq
	r.Replayed, r.Evidence = true, id.inputs != s.c.Inputs || id.key != r.KeyID
	r.FirstSeq, r.JudgedSeq, r.CausedBySeq, r.First = id.first, id.judged, id.judged, &first
	return nil
}

// decide judges a submission whose id is free or was judged longer than the TTL ago.
func (s *evaluation) decide(old *idRow) error {
	r := &s.r
	if r.Outcome == verify.Refused { // by a rule: no trace in identity or order
		s.passed, r.HadMark, r.MarkBefore, r.HasBudget, r.Budget = false, false, 0, false, 0
		s.refuse(r.Reason)
		return nil
	}
	r.Reverified = old != nil
	epoch, err := s.epochs(old)
	if err != nil {
		return err
	}
	if r.Outcome == verify.Refused {
		r.Accepted = false
	}
	if old != nil {
		r.FirstSeq = old.first
	}
	if r.Outcome != verify.Accepted && r.Outcome != verify.Escalated {
		return nil
	}
	if old == nil {
		r.FirstSeq = r.Seq
	}
	r.Occupied = true
	w := idRow{first: r.FirstSeq, judged: r.Seq, judgedAt: r.LogTime, signed: s.c.Signed, inputs: s.c.Inputs,
		outcome: r.Outcome, accepted: r.Accepted, key: r.KeyID}
	s.key, s.row = appendID(s.key[:0], s.pcsID), w.append(s.row[:0])
	s.tx.Set(s.key, s.row)
	if r.Accepted {
		r.Registered = epoch == nil
		r.MovedMark = old == nil && (s.shard == nil || !s.shard.hasMark || r.Epoch > s.shard.mark)
	}
	return nil
}

// write updates shard, epoch, policy and index rows.
func (s *evaluation) write(g *Generation) error {
	r := &s.r
	if !g.policies[r.policySeq] {
		// written again after every start, so it is not part of the digest
		g.rows.Tx.Set(numKey(spacePolicy, r.policySeq), r.Policy[:])
		g.policies[r.policySeq] = true
	}
	if s.passed || s.shard != nil && r.KeyID != "" {
		s.writeShard()
	}
	if r.ShardID != "" {
		s.key = binary.BigEndian.AppendUint64(appendByShard(s.key[:0], r.ShardID), r.Seq)
		s.tx.Set(s.key, nil)
	}
	if r.KeyID != "" {
		if err := s.indexKey(); err != nil {
			return err
		}
	}
	if r.FirstSeq != 0 && r.FirstSeq != r.Seq {
		s.tx.Set(sameKey(s.pcsID, r.Seq), nil)
	}
	var seen uint64
	for _, x := range r.Reasons {
		if seen&(1<<x) == 0 {
			s.tx.Set(codeKey(spaceByReason, byte(x), r.Seq), nil)
		}
		seen |= 1 << x
	}
	if r.Outcome != verify.Accepted {
		s.tx.Set(codeKey(spaceByResult, byte(r.Outcome), r.Seq), nil)
	}
	return nil
}

func (s *evaluation) writeShard() {
	r := &s.r
	if s.shard == nil {
		s.shard = &shardRow{first: r.Seq, firstAt: r.LogTime, top: -1}
		s.mem.shards.put(r.ShardID, s.shard)
	}
	s.shard.count(r)
	if r.MovedMark {
		s.shard.hasMark, s.shard.mark, s.shard.markSeq, s.shard.root = true, r.Epoch, r.Seq, s.root
	}
	if r.Occupied {
		s.shard.top = max(s.shard.top, r.Epoch)
	}
	if r.Registered {
		e := epochRow{root: s.root, seq: r.Seq}
		s.row = e.append(s.row[:0])
		s.tx.Set(s.epochKey(), s.row)
	}
	s.key, s.row = appendText(s.key[:0], spaceShard, r.ShardID), s.shard.append(s.row[:0])
	s.tx.Set(s.key, s.row)
}

func (s *evaluation) indexKey() error {
	num, known, err := s.mem.key(s.tx, s.r.KeyID)
	if err != nil {
		return err
	}
	if !known {
		num = s.r.Seq
		s.tx.Set(textKey(spaceKey, s.r.KeyID), binary.BigEndian.AppendUint64(nil, num))
		s.mem.keys.put(s.r.KeyID, num)
	}
	s.key = appendNums(s.key[:0], spaceByKey, num, s.r.Seq)
	s.tx.Set(s.key, nil)
	return nil
}
