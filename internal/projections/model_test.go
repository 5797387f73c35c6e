package projections

import (
	"fmt"
	"slices"
	"strings"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// model is a second, dumb implementation of the outcome rules over plain maps.
type model struct {
	policy verify.Policy
	ids    map[string]*modelID
	marks  map[string]int64
	roots  map[string]string // shard and epoch -> root
	rows   []Result
	again  map[string]*Item // refusals that a repetition answers with, by what was sent

	frozen         map[string]bool // "", "alpha" or a key id
	revoked        map[string]bool
	retired        map[string]bool
	scope          map[string]string // key id -> the one shard that it may write to
	closed, opened map[string]int64  // key id -> log time
}

func newModel(p verify.Policy) *model {
	return &model{policy: p, again: map[string]*Item{}, ids: map[string]*modelID{}, marks: map[string]int64{}, roots: map[string]string{}, frozen: map[string]bool{},
		revoked: map[string]bool{}, retired: map[string]bool{}, scope: map[string]string{}, closed: map[string]int64{}, opened: map[string]int64{}}
}

// operation takes note of an operation.
func (m *model) act(it *Item) {
	_, msg, err := it.Event.Message()
	if err != nil {
		panic(err)
	}
	switch a := msg.(type) {
	case *event.FrozenV1:
		m.frozen[a.Subject] = true
	case *event.ThawedV1:
		delete(m.frozen, a.Subject)
	case *event.KeyRevokedV1:
		m.revoked[a.KeyId] = true
	case *event.KeyRetiredV1:
		m.retired[a.KeyId] = true
	case *event.KeyAddedV1:
		if a.Op != nil && !m.revoked[a.KeyId] && !m.retired[a.KeyId] {
			m.scope[a.KeyId] = strings.Join(a.Scope, "")
			m.opened[a.KeyId], m.closed[a.KeyId] = a.NotBefore, a.NotAfter
		}
	}
}

// mayWrite: the key is neither retired nor out of its shards and times.
func (m *model) mayWrite(key, shard string, at int64) bool {
	in := m.scope[key] == "" || m.scope[key] == shard || m.scope[key] == shard[:1]+"*"
	return in && !m.retired[key] && at >= m.opened[key] && (m.closed[key] == 0 || at < m.closed[key])
}

type modelID struct {
	first, judged  uint64
	at             int64
	signed, inputs [32]byte
	key            string
}

func (m *model) step(it *Item) Result {
	r := m.judge(it)
	m.repeated(it, &r)
	m.rows = append(m.rows, r)
	return r
}

// repeated finds the evidence that a conflict or a fault of structure repeats.
func (m *model) repeated(it *Item, r *Result) {
	if it.Kind != event.Submission || !it.Prepared.Facts.Valid() || len(r.Reasons) == 0 {
		return
	}
	status := wire.StatusOf(r.Outcome.String(), r.Reasons[0].String())
	if status != 409 && status != 400 || r.Reasons[0] == verify.ReasonEpochRegression {
		return
	}
	what := fmt.Sprint(r.Reasons[:1], it.Prepared.Facts.KeyID, it.Prepared.Rec.PCSID, it.Prepared.Inputs)
	if status == 400 {
		what = fmt.Sprint(r.Reasons[:1], string(it.Prepared.Sub.Body))
	}
	if w := m.again[what]; w != nil && it.LogTime-w.LogTime <= m.policy.Params.DedupTTL {
		r.AgainSeq = w.Seq
		return
	}
	m.again[what] = it
}

func (m *model) judge(it *Item) Result {
	c := it.Prepared
	if it.Kind != event.Submission {
		m.act(it)
		return Result{}
	}
	v := c.Verdict
	r := Result{Seq: it.Seq, Outcome: v.Outcome, Accepted: v.Accepted, Reasons: slices.Clone(v.Reasons), JudgedSeq: it.Seq}
	if v.Outcome == verify.Refused {
		return r
	}
	rec := c.Rec
	shard, at, root := rec.ShardID, fmt.Sprint(rec.ShardID, "|", rec.Epoch), rec.MerkleRoot
	refused := func(x verify.Reason) Result {
		return Result{Seq: it.Seq, Outcome: verify.Refused, Reasons: []verify.Reason{x}, JudgedSeq: it.Seq}
	}
	if m.revoked[c.Facts.KeyID] {
		return refused(verify.ReasonKeyRevoked)
	}
	if !m.mayWrite(c.Facts.KeyID, shard, it.LogTime) {
		return refused(verify.ReasonKeyNotAllowed)
	}
	id := m.ids[rec.PCSID]
	replayed := id != nil && id.signed == c.Signed && it.LogTime-id.at <= m.policy.Params.DedupTTL
	if !replayed && (m.frozen[""] || m.frozen[shard] || m.frozen[c.Facts.KeyID]) {
		return refused(verify.ReasonFrozen)
	}
	if id != nil && id.signed != c.Signed {
		r.Outcome, r.Accepted, r.FirstSeq, r.JudgedSeq = verify.Conflict, false, id.first, id.judged
		r.Reasons = append([]verify.Reason{verify.ReasonConflict}, r.Reasons...)
		return r
	}
	if replayed {
		old := m.rows[id.judged-1]
		old.Seq, old.Replayed, old.Reverified, old.FirstSeq, old.JudgedSeq = it.Seq, true, false, id.first, id.judged
		old.Evidence = id.inputs != c.Inputs || id.key != c.Facts.KeyID
		old.Occupied, old.MovedMark, old.Registered = false, false, false
		return old
	}
	other, known := m.roots[at]
	mark, marked := m.marks[shard]
	var epoch []verify.Reason
	if known && other != root {
		epoch = append(epoch, verify.ReasonEpochEquivocation)
	}
	old := marked && rec.Epoch < mark && m.policy.Epochs.OnRegression != "allow"
	if old && (id == nil || slices.Contains(m.rows[id.judged-1].Reasons, verify.ReasonEpochRegression)) {
		epoch = append(epoch, verify.ReasonEpochRegression)
	}
	wasLate := id != nil && slices.Contains(m.rows[id.judged-1].Reasons, verify.ReasonLateEpoch)
	switch window := m.policy.Epochs.LateWindow; {
	case len(epoch) > 0 && epoch[len(epoch)-1] == verify.ReasonEpochRegression && !known && mark-rec.Epoch <= window,
		old && wasLate && window > 0 && (!known || other == root):
		epoch, r.Reasons = nil, append(r.Reasons, verify.ReasonLateEpoch)
	}
	if len(epoch) > 0 {
		r.Outcome, r.Accepted = verify.Escalated, false
		if epoch[0] == verify.ReasonEpochRegression && m.policy.Epochs.OnRegression == "reject" {
			r.Outcome = verify.Refused
		}
		r.Reasons = append(epoch, r.Reasons...)
	}
	r.Reverified = id != nil
	if id != nil {
		r.FirstSeq = id.first
	}
	if r.Outcome == verify.Refused {
		return r
	}
	r.Occupied = true
	next := &modelID{first: it.Seq, judged: it.Seq, at: it.LogTime, signed: c.Signed, inputs: c.Inputs, key: c.Facts.KeyID}
	if id != nil {
		next.first = id.first
	}
	m.ids[rec.PCSID], r.FirstSeq = next, next.first
	if r.Accepted {
		r.Registered = !known
		if !known {
			m.roots[at] = root
		}
		if r.MovedMark = id == nil && (!marked || rec.Epoch > mark); r.MovedMark {
			m.marks[shard] = rec.Epoch
		}
	}
	return r
}

// same compares what the model knows.
func same(a, b Result) bool {
	return a.Seq == b.Seq && a.Outcome == b.Outcome && a.Accepted == b.Accepted &&
		slices.Equal(a.Reasons, b.Reasons) && a.Replayed == b.Replayed && a.Reverified == b.Reverified &&
		a.Evidence == b.Evidence && a.FirstSeq == b.FirstSeq && a.JudgedSeq == b.JudgedSeq &&
		a.AgainSeq == b.AgainSeq && a.Occupied == b.Occupied && a.MovedMark == b.MovedMark && a.Registered == b.Registered
}
