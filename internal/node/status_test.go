package node

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/wire"
)

// TestReadyRunsEveryCheck: a check that fails hides none behind it, and the order stays.
func TestReadyRunsEveryCheck(t *testing.T) {
	failed := errors.New("no")
	s := &status{checks: []check{
		{"first", func(context.Context) error { return failed }},
		{"second", func(ctx context.Context) error { return ctx.Err() }},
		{"third", func(context.Context) error { return failed }},
	}}
	var names []string
	for _, c := range s.Ready(t.Context()) {
		names = append(names, c.Name)
		if (c.Err != nil) != (c.Name != "second") {
			t.Errorf("%s: %v", c.Name, c.Err)
		}
	}
	if !slices.Equal(names, []string{"first", "second", "third"}) {
		t.Errorf("%q", names)
	}
}

// TestMembersOfACluster: a member that answers is shown with its position, whose lag is never negative. One that
// does not answer is unreachable, and nothing is made up about it.
func TestMembersOfACluster(t *testing.T) {
	cfg := &Config{ClusterID: "c", Voters: []Voter{{ID: "a", API: "https://a"}, {ID: "b", API: "https://b"}}}
	s := &status{
		cfg:     cfg,
		apiOf:   cfg.apiOf,
		version: func() uint32 { return 2 },
		members: func() cluster.Status {
			return cluster.Status{Leader: "a", Term: 3, Members: []cluster.Member{
				{ID: "a", Suffrage: "Voter"}, {ID: "b", Suffrage: "Voter"}, {ID: "c", Suffrage: "Nonvoter"}}}
		},
		place: func(_ context.Context, member string) (place, error) {
			switch member {
			case "a":
				return place{CommittedSeq: 9, AppliedSeq: 4, State: "leader",
					Learners: map[string]*wire.LearnerProgress{"c": {Lacks: 7, Why: "is away"}}}, nil
			case "b": // both were read a moment apart
				return place{CommittedSeq: 9, AppliedSeq: 10, State: "follower",
					Learners: map[string]*wire.LearnerProgress{"c": {Promotable: true}}}, nil // led before
			}
			return place{}, errors.New("down")
		},
	}
	a, err := s.Cluster(t.Context())
	if err != nil || a.ClusterID != "c" || a.ClusterVersion != 2 || a.Leader != "a" || a.Term != 3 || len(a.Members) != 3 {
		t.Fatalf("%+v, %v", a, err)
	}
	for i, lag := range []uint64{5, 0} {
		m := a.Members[i]
		if m.Lag == nil || *m.Lag != lag || *m.CommittedSeq != 9 || m.State == "unreachable" || m.API != "https://"+m.ID ||
			m.Suffrage != "voter" {
			t.Errorf("%+v", m)
		}
	}
	if m := a.Members[2]; m.State != "unreachable" || m.CommittedSeq != nil || m.AppliedSeq != nil || m.Lag != nil ||
		m.Learner == nil || *m.Learner != (wire.LearnerProgress{Lacks: 7, Why: "is away"}) || a.Members[0].Learner != nil {
		t.Errorf("%+v", m)
	}
}
