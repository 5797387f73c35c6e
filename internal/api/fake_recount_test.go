package api

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/recount-ledger/recount/wire"
)

// fakePolicies keeps published policies in a slice.
type fakePolicies struct {
	*shared
	policies []wire.PolicyAnswer
}

func (t *fakePolicies) PublishPolicy(_ context.Context, r wire.PolicyRequest, _ Meta) (*wire.PolicyAnswer, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.operations = append(t.operations, r.Op)
	if !strings.HasPrefix(r.Document, "kernel: 1") {
		return nil, false, wire.NewProblem(wire.CodeBadPolicy, "line 1, column 1: not a policy")
	}
	a := wire.PolicyAnswer{ID: hexOf(r.Document), Seq: uint64(len(t.policies) + 1), At: "2026-03-01T00:00:00Z", Kernel: 1, Source: r.Document,
		Canonical: map[string]any{"kernel": "1"}, Reason: r.Reason, Ticket: r.Ticket}
	for _, p := range t.policies {
		if p.ID == a.ID {
			return &p, false, nil
		}
	}
	t.policies = append(t.policies, a)
	return &a, true, t.fail
}

func (t *fakePolicies) Policies(context.Context, uint64) ([]wire.PolicyAnswer, error) {
	out := slices.Clone(t.policies)
	for i := range out {
		out[i].Source, out[i].Canonical = "", nil
	}
	return out, t.fail
}

func (t *fakePolicies) Policy(_ context.Context, id string, _ uint64) (*wire.PolicyAnswer, error) {
	for _, p := range t.policies {
		if p.ID == id {
			return &p, t.fail
		}
	}
	return nil, ErrNotFound
}

func (t *fakePolicies) ApplyPolicy(ctx context.Context, id string, r wire.ApplyRequest, _ Meta) (*wire.ApplyAnswer, error) {
	if _, err := t.Policy(ctx, id, 0); err != nil {
		return nil, err
	}
	t.operations = append(t.operations, r.Op)
	return &wire.ApplyAnswer{Policy: id, Seq: 9}, t.fail
}

// fakeGenerations keeps generations in a slice. All of them have the same flips.
type fakeGenerations struct {
	*shared
	generations []wire.GenerationAnswer
	flips       []wire.Flip
	asked       []FlipsQuery
}

func (t *fakeGenerations) StartGeneration(_ context.Context, r wire.GenerationRequest, _ Meta) (*wire.GenerationAnswer, error) {
	t.operations = append(t.operations, r.Op)
	switch {
	case r.From > 1<<40:
		return nil, wire.NewProblem(wire.CodeStale, "--from is beyond the end of the log")
	case r.Ticket == "full":
		return nil, wire.NewProblem(wire.CodeDiskFull, "node-2 has 7 bytes free")
	}
	n := uint32(len(t.generations) + 2)
	a := wire.GenerationAnswer{Generation: n, State: wire.GenerationBuilding, Policy: r.Policy, Schedule: []wire.ScheduleStep{{FromSeq: 1, Policy: r.Policy}},
		Keys: wire.KeysAsOf, StartedSeq: 5, Activated: []uint64{}, Operation: fmt.Sprintf("/v1/generations/%d", n)}
	t.generations = append(t.generations, a)
	return &a, t.fail
}

func (t *fakeGenerations) Generations(context.Context) (*wire.GenerationsPage, error) {
	return &wire.GenerationsPage{Items: append([]wire.GenerationAnswer{}, t.generations...), Active: 1, AppliedSeq: 5}, t.fail
}

// Generation reports one node more at every call; the second one follows when it has reported.
func (t *fakeGenerations) Generation(_ context.Context, n uint32) (*wire.GenerationAnswer, error) {
	for i := range t.generations {
		if a := &t.generations[i]; a.Generation == n {
			second := "building"
			if a.Reported > 1 {
				second = "following"
			}
			a.Nodes = []wire.NodeProgress{{Node: "node-1", State: "following", ETA: -1}, {Node: "node-2", State: second}, {Node: "node-3", State: "unreachable"}}
			out := *a
			a.Reported++
			return &out, t.fail
		}
	}
	return nil, ErrNotFound
}

func (t *fakeGenerations) Diff(_ context.Context, n uint32, position uint64) (*wire.DiffAnswer, error) {
	if _, err := t.Generation(context.Background(), n); err != nil {
		return nil, err
	}
	return &wire.DiffAnswer{Generation: n, Against: 1, Position: max(position, 1), Flips: uint64(len(t.flips)), Digest: strings.Repeat("0", 16) + hexOf(n),
		ByOutcome: map[string]int{"accepted->refused": 1}, ByReason: map[string]int{}, ByShard: map[string]int{}, ByKey: map[string]int{}}, nil
}

func (t *fakeGenerations) Flips(_ context.Context, q FlipsQuery) (FlipsResult, error) {
	t.asked = append(t.asked, q)
	if t.gone[q.Generation] {
		return FlipsResult{}, wire.NewProblem(wire.CodeStale, "it is dropped")
	}
	out := FlipsResult{Position: max(q.Position, 100)}
	for _, f := range t.flips {
		if f.Seq < q.FromSeq || q.Shard != "" && f.ShardID != q.Shard {
			continue
		}
		if len(out.Items) == q.Limit {
			out.Next = f.Seq
			break
		}
		out.Items = append(out.Items, f)
	}
	return out, nil
}

func (t *fakeGenerations) Activate(_ context.Context, n uint32, r wire.ActivateRequest, _ Meta) (*wire.ActivateAnswer, error) {
	t.operations = append(t.operations, r.Op)
	switch r.Diff {
	case "stale":
		return nil, wire.NewProblem(wire.CodeStale, "another diff stands")
	case "split":
		return nil, wire.NewProblem(wire.CodeNoAgreement, "node-2 reports another digest")
	}
	return &wire.ActivateAnswer{Generation: n, From: 1, Seq: 8, Position: 7, Diff: r.Diff, Reporters: []string{"node-1", "node-2"}, Absent: []string{"node-3"}}, t.fail
}

func (t *fakeGenerations) Rollback(_ context.Context, r wire.RollbackRequest, _ Meta) (*wire.ActivateAnswer, error) {
	t.operations = append(t.operations, r.Op)
	return &wire.ActivateAnswer{Generation: 1, From: 2, Seq: 9, Reporters: []string{}, Absent: []string{}}, t.fail
}

func (t *fakeGenerations) DropGeneration(_ context.Context, n uint32, a wire.Op, _ Meta) (*wire.DropAnswer, error) {
	t.operations = append(t.operations, a)
	if t.fail == nil && int(n) > len(t.generations)+1 {
		return nil, ErrNotFound
	}
	return &wire.DropAnswer{Generation: n, Seq: 10}, t.fail
}
