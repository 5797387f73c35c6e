package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

// twin is a small ledger in memory. It keeps what was submitted and answers everything from that, so a test
// that reads back sees what the handlers really passed on.
type twin struct {
	*shared
	*twinKeys
	*twinFreezes
	*twinShards
	*twinPolicies
	*twinGenerations
	*twinOperations
	*twinTokens

	rows    []twinRow // seq = index + 1
	first   map[string]int
	gen     uint32
	ready   []Check
	explode bool          // Submit panics
	hold    chan struct{} // Submit waits for it or for its context
	reads   []Read
	metas   []Meta
	cause   chan struct{} // closed and replaced when a row is added
}

// shared is known to all parts of a twin.
type shared struct {
	mu         sync.Mutex
	fail       error // every method with an error result gives it
	operations []wire.Op
	gone       map[uint32]bool
}

type twinRow struct {
	body   []byte
	record twinRecord
	answer wire.SubmitAnswer
	status int
	at     time.Time
}

type twinRecord struct {
	PCSID   string    `json:"pcs_id"`
	ShardID string    `json:"shard_id"`
	Epoch   int64     `json:"epoch"`
	DHat    nano.Nano `json:"D_hat"`
	Budget  nano.Nano `json:"budget"`
	Sig     string    `json:"sig"`
	FT      struct {
		Degraded bool `json:"degraded"`
	} `json:"ft"`
}

var twinStart = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func newTwin() *twin {
	s := &shared{gone: map[uint32]bool{}}
	return &twin{
		shared:          s,
		twinKeys:        &twinKeys{shared: s},
		twinFreezes:     &twinFreezes{shared: s},
		twinShards:      &twinShards{shared: s},
		twinPolicies:    &twinPolicies{shared: s},
		twinGenerations: &twinGenerations{shared: s},
		twinOperations:  &twinOperations{shared: s},
		twinTokens:      &twinTokens{shared: s},
		first:           map[string]int{},
		gen:             1,
		cause:           make(chan struct{}),
	}
}

// ledger returns the twin as the handlers take it.
func (t *twin) ledger() Ledger {
	return Ledger{
		Submitter:   t,
		Views:       t,
		Keys:        t.twinKeys,
		Freezes:     t.twinFreezes,
		KnownShards: t.twinShards,
		Policies:    t.twinPolicies,
		Generations: t.twinGenerations,
		Operations:  t.twinOperations,
		Tokens:      t.twinTokens,
		Credentials: t.twinTokens,
		Status:      t,
	}
}

func hexOf(parts ...any) string {
	sum := sha256.Sum256([]byte(fmt.Sprint(parts...)))
	return hex.EncodeToString(sum[:])
}

func (t *twin) Submit(ctx context.Context, body []byte, meta Meta) (answer *wire.SubmitAnswer, err error) {
	if t.explode {
		panic("twin told to explode")
	}
	if t.hold != nil {
		select {
		case <-t.hold:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the fold: %w", ctx.Err())
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.metas = append(t.metas, meta)
	if meta.DryRun {
		defer t.forget(len(t.rows), maps.Clone(t.first), &answer, &err)
	}
	if t.fail != nil {
		return nil, t.fail
	}
	var r twinRecord
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, wire.NewProblem(wire.CodeMalformed, err.Error()).WithField("body")
	}
	if r.Sig == "bad" {
		return nil, wire.NewProblem(wire.CodeBadSignature, "").WithPCS(r.PCSID)
	}
	if at, ok := t.first[r.PCSID]; ok {
		return t.again(at, r, body)
	}
	a := wire.SubmitAnswer{
		Accepted: true, RecomputedDHat: nano.Ptr(r.DHat), RecomputedBudget: r.Budget, PCSID: r.PCSID,
		Outcome: wire.OutcomeAccepted, ReasonCode: wire.ReasonOK, Policy: hexOf("policy"), Node: "node-1",
		ShardID: r.ShardID, Epoch: r.Epoch, DHat: nano.Ptr(r.DHat),
	}
	if r.FT.Degraded {
		a.Outcome, a.Escalated, a.ReasonCode = wire.OutcomeEscalated, true, "degraded"
		a.Reason, a.Reasons = "the record says that it is degraded", []string{"degraded"}
	}
	t.first[r.PCSID] = len(t.rows)
	return t.add(body, r, a, 200), nil
}

// forget takes back what a dry run has added, and its seq.
func (t *twin) forget(rows int, first map[string]int, answer **wire.SubmitAnswer, err *error) {
	t.rows, t.first = t.rows[:rows], first
	if a := *answer; a != nil && a.Seq > uint64(rows) {
		a.Seq = 0
	}
	var p *wire.Problem
	if errors.As(*err, &p) && p.Seq > uint64(rows) {
		p.Seq = 0
	}
}

func (t *twin) again(at int, r twinRecord, body []byte) (*wire.SubmitAnswer, error) {
	first := t.rows[at].answer
	if t.rows[at].record.DHat == r.DHat {
		first.Replayed = true
		return &first, nil
	}
	if slices.ContainsFunc(t.rows, func(x twinRow) bool { return x.status == 409 && string(x.body) == string(body) }) {
		p := wire.NewProblem(wire.CodeConflict, "").WithPCS(r.PCSID).WithFirst(first)
		p.Outcome, p.Seq, p.Replayed = wire.OutcomeConflict, first.Seq, true
		return nil, p
	}
	refused := first
	refused.Outcome, refused.Accepted, refused.ReasonCode = wire.OutcomeConflict, false, "conflict"
	added := t.add(body, r, refused, 409)
	p := wire.NewProblem(wire.CodeConflict, "").WithPCS(r.PCSID).WithFirst(first)
	p.Outcome, p.Seq, p.Policy, p.Generation = wire.OutcomeConflict, added.Seq, added.Policy, added.Generation
	return nil, p
}

func (t *twin) add(body []byte, r twinRecord, a wire.SubmitAnswer, status int) *wire.SubmitAnswer {
	at := twinStart.Add(time.Duration(len(t.rows)) * time.Second)
	a.Seq, a.ReceivedAt, a.Generation = uint64(len(t.rows)+1), wire.Time(at), t.gen
	t.rows = append(t.rows, twinRow{body, r, a, status, at})
	close(t.cause)
	t.cause = make(chan struct{})
	return &a
}

func (t *twin) Position() Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Position{uint64(len(t.rows)), t.gen}
}

// twinView reads the twin. Reads see what is there when they begin, as those of a node do.
type twinView struct {
	*twin
	at Position
}

func (t twinView) Position() Position { return t.at }

func (t *twin) View(ctx context.Context, r Read) (View, error) {
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
	v := twinView{t, Position{uint64(len(t.rows)), t.gen}}
	if r.Generation != 0 {
		v.at.Generation = r.Generation
	}
	if t.gone[v.at.Generation] {
		return nil, fmt.Errorf("generation %d: %w", v.at.Generation, ErrGenerationGone)
	}
	return v, t.fail
}

func (t twinView) Lookup(_ context.Context, id string) (*wire.PCSAnswer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.first[id]
	if !ok {
		return nil, fmt.Errorf("pcs %s: %w", id, ErrNotFound)
	}
	answer := &wire.PCSAnswer{SubmitAnswer: t.rows[at].answer}
	for i, row := range t.rows {
		if row.record.PCSID == id {
			answer.Events = append(answer.Events, uint64(i+1))
		}
	}
	return answer, nil
}

func (t twinView) Complete(_ context.Context, prefix string, limit int) (ids []string, _ error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(t.first)) {
		if strings.HasPrefix(id, prefix) && len(ids) < limit {
			ids = append(ids, id)
		}
	}
	return ids, t.fail
}

func (q AuditQuery) matches(row twinRow) bool {
	ns := row.at.UnixNano()
	return (q.Shard == "" || q.Shard == row.record.ShardID) && (q.Key == "" || q.Key == "hmac-1") &&
		(q.Outcome == "" || q.Outcome == row.answer.Outcome) && (q.Reason == "" || q.Reason == row.answer.ReasonCode) &&
		ns >= q.Since && (q.Until == 0 || ns < q.Until)
}

func (t twinView) Audit(_ context.Context, q AuditQuery) (AuditResult, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone[t.at.Generation] {
		return AuditResult{}, fmt.Errorf("generation %d: %w", t.at.Generation, ErrGenerationGone)
	}
	var out AuditResult
	first, last, step := q.FromSeq, uint64(len(t.rows)), 1
	if q.ToSeq != 0 {
		last = min(last, q.ToSeq)
	}
	if q.Newest {
		first, last, step = uint64(len(t.rows)), max(q.ToSeq, 1), -1
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

func (t twinView) Event(_ context.Context, seq uint64) (*wire.EventAnswer, error) {
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

func (t twinView) Events(ctx context.Context, q EventsQuery) (out EventsResult, err error) {
	for seq := q.From; seq <= t.twin.Position().AppliedSeq && (q.To == 0 || seq <= q.To); seq++ {
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

func (t *twin) shardRows() []wire.ShardAnswer {
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

func (t twinView) Shards(_ context.Context, q ShardsQuery) (ShardsResult, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone[t.at.Generation] {
		return ShardsResult{}, ErrGenerationGone
	}
	var out ShardsResult
	for _, s := range t.shardRows() {
		if s.ShardID <= q.After {
			continue
		}
		if len(out.Items) == q.Limit {
			out.More = true
			break
		}
		out.Items = append(out.Items, s)
	}
	return out, nil
}

func (t twinView) Shard(_ context.Context, id string) (*wire.ShardAnswer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.shardRows() {
		if s.ShardID == id {
			return &s, nil
		}
	}
	return nil, ErrNotFound
}

func (t *twin) Cluster(context.Context) (*wire.ClusterAnswer, error) {
	at := t.Position().AppliedSeq
	lag := uint64(0)
	return &wire.ClusterAnswer{ClusterID: "c1", Leader: "node-1", Term: 3, Members: []wire.Member{
		{ID: "node-1", API: "https://127.0.0.1:9440", Suffrage: "voter", CommittedSeq: &at, AppliedSeq: &at, Lag: &lag, State: "leader"},
		{ID: "node-2", API: "https://127.0.0.1:9450", Suffrage: "voter", State: "unreachable"},
	}}, nil
}

func (t twinView) Digest(_ context.Context, seq uint64, edge bool) (*wire.DigestAnswer, error) {
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

func (t *twin) Version() wire.VersionAnswer {
	return wire.VersionAnswer{Version: "test", Go: "go1.26", Node: "node-1", ClusterID: "c1", Kernels: []int{1}}
}

func (t *twin) Ready(context.Context) []Check { return t.ready }

var errTwin = errors.New("twin told to fail")
