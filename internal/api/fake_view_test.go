package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// fakeView reads the fake. Reads see what is there when they begin, as those of a node do.
type fakeView struct {
	*fakeLedger
	at Position
}

func (t fakeView) Position() Position { return t.at }

func (t fakeView) Answers() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.withheld
}

func (t *fakeLedger) View(ctx context.Context, r Read) (View, error) {
	t.mu.Lock()
	t.reads = append(t.reads, r)
	for t.fail == nil && uint64(len(t.rows)) < r.MinSeq {
		cause := t.cause
		t.mu.Unlock()
		select {
		case <-cause:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		t.mu.Lock()
	}
	defer t.mu.Unlock()
	v := fakeView{t, Position{uint64(len(t.rows)), t.gen}}
	if r.Generation != 0 {
		v.at.Generation = r.Generation
	}
	if t.gone[v.at.Generation] {
		return nil, fmt.Errorf("generation %d: %w", v.at.Generation, ErrGenerationGone)
	}
	return v, t.fail
}

// fakeCondition holds for every row.
type fakeCondition string

func (fakeCondition) Holds(func(string) any) (bool, error) { return true, nil }

func (t *fakeLedger) Condition(text string) (Condition, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conditions = append(t.conditions, text)
	if text == "wrong" {
		return nil, wire.NewProblem(wire.CodeBadRequest, "line 1, column 1: wrong").WithField("filter")
	}
	return fakeCondition(text), nil
}

func (t fakeView) AsOf(_ context.Context, then Then) (uint64, error) {
	if then.AsOf > t.at.AppliedSeq {
		return 0, badParameter("as_of", "is not there yet")
	}
	if then.AsOfTime != 0 {
		then.AsOf = t.eventAt(then.AsOfTime)
	}
	return then.AsOf, t.fail
}

// eventAt returns the last row at a time.
func (t *fakeLedger) eventAt(ns int64) (seq uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, row := range t.rows {
		if row.at.UnixNano() <= ns {
			seq++
		}
	}
	return seq
}

func (t fakeView) Lookup(_ context.Context, id string, then Then) (*wire.PCSAnswer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.first[id]
	if !ok {
		return nil, fmt.Errorf("pcs %s: %w", id, ErrNotFound)
	}
	answer := &wire.PCSAnswer{SubmitAnswer: t.rows[at].answer, AsOf: then.AsOf}
	for i, row := range t.rows {
		if row.record.PCSID == id {
			answer.Events = append(answer.Events, uint64(i+1))
		}
	}
	return answer, nil
}

func (t fakeView) History(ctx context.Context, id string) (*wire.PCSHistory, error) {
	a, err := t.Lookup(ctx, id, Then{})
	if err != nil {
		return nil, err
	}
	out := &wire.PCSHistory{PCSID: id, AppliedSeq: t.at.AppliedSeq, Generation: t.at.Generation}
	for _, seq := range a.Events {
		row := t.rows[seq-1]
		out.Submissions = append(out.Submissions, wire.SubmissionHistory{Seq: seq, Answers: []wire.GivenAnswer{{
			AuditAnswer: wire.AuditAnswer{Generation: 1, Outcome: row.answer.Outcome, Accepted: row.answer.Accepted},
			FromSeq:     seq, At: wire.Time(row.at), By: wire.BySubmitted,
		}}})
	}
	return out, t.fail
}

func (t fakeView) Complete(_ context.Context, prefix string, limit int) (ids []string, _ error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(t.first)) {
		if strings.HasPrefix(id, prefix) && len(ids) < limit {
			ids = append(ids, id)
		}
	}
	return ids, t.fail
}

func (q AuditQuery) matches(row fakeRow) bool {
	ns := row.at.UnixNano()
	return (q.Shard == "" || q.Shard == row.record.ShardID) && (q.Key == "" || q.Key == "hmac-1") &&
		(q.Outcome == "" || q.Outcome == row.answer.Outcome) && (q.Reason == "" || q.Reason == row.answer.ReasonCode) &&
		ns >= q.Since && (q.Until == 0 || ns < q.Until)
}

func (t fakeView) Audit(_ context.Context, q AuditQuery) (AuditResult, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone[t.at.Generation] {
		return AuditResult{}, fmt.Errorf("generation %d: %w", t.at.Generation, ErrGenerationGone)
	}
	out := AuditResult{AsOf: q.Then.AsOf}
	t.thens = append(t.thens, q.Then)
	head := uint64(len(t.rows))
	if q.Then.AsOf != 0 {
		head = min(head, q.Then.AsOf)
	}
	first, last, step := q.FromSeq, head, 1
	if q.ToSeq != 0 {
		last = min(last, q.ToSeq)
	}
	if q.Newest {
		first, last, step = head, max(q.ToSeq, 1), -1
		if q.FromSeq != 0 {
			first = min(first, q.FromSeq)
		}
	}
	for seq := first; seq != 0 && (q.Newest && seq >= last || !q.Newest && seq <= last); seq = uint64(int(seq) + step) {
		row := t.rows[seq-1]
		if !q.matches(row) {
			continue
		}
		if len(out.Items) == q.Limit {
			out.Next = seq
			break
		}
		a := row.answer
		out.Items = append(out.Items, wire.AuditItem{
			Seq: seq, LogTime: wire.Time(row.at), ReceivedAt: wire.Time(row.at), Node: a.Node, PCSID: a.PCSID, ShardID: a.ShardID,
			Epoch: a.Epoch, KeyID: "hmac-1", Status: row.status, Outcome: a.Outcome, Accepted: a.Accepted, ReasonCode: a.ReasonCode,
			Reasons: a.Reasons, RecomputedDHat: a.RecomputedDHat, RecomputedBudget: a.RecomputedBudget, Policy: a.Policy, Generation: t.at.Generation,
			Was: wire.AuditAnswer{Generation: 1, Outcome: a.Outcome, Accepted: a.Accepted},
		})
	}
	return out, t.fail
}

func (t fakeView) Event(_ context.Context, seq uint64) (*wire.EventAnswer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if seq > uint64(len(t.rows)) {
		return nil, ErrNotFound
	}
	row := t.rows[seq-1]
	sum := sha256.Sum256(row.body)
	return &wire.EventAnswer{
		Seq: seq, Kind: "submission", Index: seq, Term: 1, RawTime: wire.Time(row.at), LogTime: wire.Time(row.at),
		Leaf:     wire.Leaf{Format: 1, Seq: seq, RawTimeNS: row.at.UnixNano(), Kind: 2, PayloadSHA256: hex.EncodeToString(sum[:])},
		LeafHash: hexOf("leaf", seq), Payload: row.body, Summary: map[string]any{"pcs_id": row.record.PCSID},
	}, nil
}

func (t fakeView) Events(ctx context.Context, q EventsQuery) (out EventsResult, err error) {
	for seq := q.From; seq <= t.fakeLedger.Position().AppliedSeq && (q.To == 0 || seq <= q.To); seq++ {
		if len(out.Items) == q.Limit {
			out.Next = seq
			break
		}
		if q.Shard != "" && t.rows[seq-1].record.ShardID != q.Shard {
			continue
		}
		e, err := t.Event(ctx, seq)
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, *e)
	}
	return out, t.fail
}

func (t *fakeLedger) shardRows() []wire.ShardAnswer {
	byID := map[string]*wire.ShardAnswer{}
	for i, row := range t.rows {
		seq := uint64(i + 1)
		s := byID[row.record.ShardID]
		if s == nil {
			s = &wire.ShardAnswer{ShardID: row.record.ShardID, FirstSeq: seq}
			byID[row.record.ShardID] = s
		}
		s.Submissions, s.LastSeq, s.LastAt = s.Submissions+1, seq, wire.Time(row.at)
		if row.answer.Accepted {
			epoch := row.record.Epoch
			s.Accepted, s.Epoch, s.EpochSeq = s.Accepted+1, &epoch, seq
		}
	}
	all := make([]wire.ShardAnswer, 0, len(byID))
	for _, s := range byID {
		all = append(all, *s)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].ShardID < all[j].ShardID })
	return all
}

func (t fakeView) Shards(_ context.Context, q ShardsQuery) (ShardsResult, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone[t.at.Generation] {
		return ShardsResult{}, ErrGenerationGone
	}
	t.thens = append(t.thens, q.Then)
	head := fakeStart.Add(time.Duration(max(len(t.rows), 1)-1) * time.Second)
	out := ShardsResult{LogTime: head.UnixNano(), Generation: t.at.Generation, AsOf: q.Then.AsOf}
	for _, s := range t.shardRows() {
		last, err := wire.ParseTime(s.LastAt)
		if s.ShardID <= q.After || err != nil || head.Sub(last) < q.Silent || q.Then.AsOf != 0 && s.FirstSeq > q.Then.AsOf {
			continue
		}
		if len(out.Items) == q.Limit {
			out.Next = out.Items[q.Limit-1].ShardID
			break
		}
		out.Items = append(out.Items, s)
	}
	return out, nil
}

func (t fakeView) Shard(_ context.Context, id string, then Then) (*wire.ShardAnswer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.shardRows() {
		if s.ShardID == id {
			s.AsOf = then.AsOf
			return &s, nil
		}
	}
	return nil, ErrNotFound
}

func (t fakeView) Digest(_ context.Context, seq uint64, edge bool) (*wire.DigestAnswer, error) {
	at := t.Position()
	if seq == 0 {
		seq = at.AppliedSeq
	}
	if seq > at.AppliedSeq {
		return nil, ErrNotFound
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	log, state := "", ""
	for _, row := range t.rows[:seq] {
		log, state = hexOf(log, string(row.body)), hexOf(state, row.answer.Outcome)
	}
	a := &wire.DigestAnswer{Seq: seq, Log: hexOf(log), State: hexOf(state), Generation: at.Generation, Control: hexOf()}
	if edge {
		a.Edge = []string{hexOf(log)}
	}
	return a, nil
}
