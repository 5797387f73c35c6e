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
	"sync"
	"time"

	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

// fakeLedger is a small ledger in memory. It keeps what was submitted and answers everything from that, so a test
// that reads back sees what the handlers really passed on.
type fakeLedger struct {
	*shared
	*fakeKeys
	*fakeFreezes
	*fakeMembers
	*fakeShards
	*fakePolicies
	*fakeGenerations
	*fakeOperations
	*fakeTokens

	copies   fakeCopies
	evidence fakeEvidence
	rows     []fakeRow // seq = index + 1
	first    map[string]int
	gen      uint32
	ready    []Check
	explode  bool          // Submit panics
	hold     chan struct{} // Submit waits for it or for its context
	reads    []Read
	thens    []Then // of the chunks of lists
	// conditions are those that were compiled
	conditions []string
	metas      []Meta
	cause      chan struct{} // closed and replaced when a row is added
	groups     []int         // records of each group of a batch
	closed     error         // batches are refused with it
}

// shared is known to all parts of a fake.
type shared struct {
	mu         sync.Mutex
	fail       error // every method with an error result gives it
	withheld   error // why open views answer no longer
	operations []wire.Op
	gone       map[uint32]bool
}

type fakeRow struct {
	body   []byte
	record fakeRecord
	answer wire.SubmitAnswer
	status int
	at     time.Time
}

type fakeRecord struct {
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

var fakeStart = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func newFake() *fakeLedger {
	s := &shared{gone: map[uint32]bool{}}
	return &fakeLedger{
		shared:          s,
		fakeKeys:        &fakeKeys{shared: s},
		fakeFreezes:     &fakeFreezes{shared: s},
		fakeMembers:     &fakeMembers{shared: s},
		fakeShards:      &fakeShards{shared: s},
		fakePolicies:    &fakePolicies{shared: s},
		fakeGenerations: &fakeGenerations{shared: s},
		fakeOperations:  &fakeOperations{shared: s},
		fakeTokens:      &fakeTokens{shared: s},
		first:           map[string]int{},
		gen:             1,
		cause:           make(chan struct{}),
	}
}

// ledger returns the fake as the handlers take it.
func (t *fakeLedger) ledger() Ledger {
	return Ledger{
		Submitter:   t,
		Views:       t,
		Keys:        t.fakeKeys,
		Freezes:     t.fakeFreezes,
		KnownShards: t.fakeShards,
		Policies:    t.fakePolicies,
		Generations: t.fakeGenerations,
		Operations:  t.fakeOperations,
		Tokens:      t.fakeTokens,
		Credentials: t.fakeTokens,
		Copies:      &t.copies,
		Members:     t.fakeMembers,
		Evidence:    &t.evidence,
		Status:      t,
	}
}

func hexOf(parts ...any) string {
	sum := sha256.Sum256([]byte(fmt.Sprint(parts...)))
	return hex.EncodeToString(sum[:])
}

func (t *fakeLedger) Submit(ctx context.Context, body []byte, meta Meta) (answer *wire.SubmitAnswer, err error) {
	if t.explode {
		panic("fake told to explode")
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
	var r fakeRecord
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

// Batch takes one record after the other.
func (t *fakeLedger) Batch(meta Meta) (Batch, error) {
	if t.closed != nil {
		return nil, t.closed
	}
	return &fakeBatch{t, meta}, nil
}

type fakeBatch struct {
	*fakeLedger
	meta Meta
}

func (b *fakeBatch) Submit(ctx context.Context, bodies [][]byte) (out []Submitted) {
	b.mu.Lock()
	b.groups = append(b.groups, len(bodies))
	b.mu.Unlock()
	for _, body := range bodies {
		answer, err := b.fakeLedger.Submit(ctx, body, b.meta)
		out = append(out, Submitted{answer, err})
	}
	return out
}

// forget takes back what a dry run has added, and its seq.
func (t *fakeLedger) forget(rows int, first map[string]int, answer **wire.SubmitAnswer, err *error) {
	t.rows, t.first = t.rows[:rows], first
	if a := *answer; a != nil && a.Seq > uint64(rows) {
		a.Seq = 0
	}
	var p *wire.Problem
	if errors.As(*err, &p) && p.Seq > uint64(rows) {
		p.Seq = 0
	}
}

func (t *fakeLedger) again(at int, r fakeRecord, body []byte) (*wire.SubmitAnswer, error) {
	first := t.rows[at].answer
	if t.rows[at].record.DHat == r.DHat {
		first.Replayed = true
		return &first, nil
	}
	if slices.ContainsFunc(t.rows, func(x fakeRow) bool { return x.status == 409 && string(x.body) == string(body) }) {
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

func (t *fakeLedger) add(body []byte, r fakeRecord, a wire.SubmitAnswer, status int) *wire.SubmitAnswer {
	at := fakeStart.Add(time.Duration(len(t.rows)) * time.Second)
	a.Seq, a.ReceivedAt, a.Generation = uint64(len(t.rows)+1), wire.Time(at), t.gen
	t.rows = append(t.rows, fakeRow{body, r, a, status, at})
	close(t.cause)
	t.cause = make(chan struct{})
	return &a
}

func (t *fakeLedger) Position() Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Position{uint64(len(t.rows)), t.gen}
}

func (t *fakeLedger) Cluster(context.Context) (*wire.ClusterAnswer, error) {
	at := t.Position().AppliedSeq
	lag := uint64(0)
	return &wire.ClusterAnswer{ClusterID: "c1", ClusterVersion: 1, Leader: "node-1", Term: 3, Members: []wire.Member{
		{ID: "node-1", API: "https://127.0.0.1:9440", Suffrage: "voter", CommittedSeq: &at, AppliedSeq: &at, Lag: &lag, State: "leader"},
		{ID: "node-2", API: "https://127.0.0.1:9450", Suffrage: "voter", State: "unreachable"},
	}}, nil
}

func (t *fakeLedger) Version() wire.VersionAnswer {
	return wire.VersionAnswer{Version: "test", Go: "go1.26", Node: "node-1", ClusterID: "c1", Kernels: []int{1}}
}

func (t *fakeLedger) Ready(context.Context) []Check { return t.ready }

var errFake = errors.New("fake told to fail")
