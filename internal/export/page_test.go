package export

import (
	"fmt"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// TestPageBounds: the page lists the first operations and the largest shards, counts the others, and shows no more.
func TestPageBounds(t *testing.T) {
	var p pageData
	for i := range pageShards + 5 {
		for range 1 + i%3 {
			p.count(&wire.AuditItem{ShardID: fmt.Sprintf("s%04d", i), Outcome: wire.OutcomeAccepted, ReasonCode: "ok"})
		}
	}
	for _, outcome := range []string{wire.OutcomeEscalated, wire.OutcomeRefused, wire.OutcomeConflict, "of a later release"} {
		p.count(&wire.AuditItem{ShardID: "s0000", Outcome: outcome, ReasonCode: "x"})
	}
	shards := p.Shards()
	if len(shards) != pageShards || p.MoreShards() != 5 || shards[0].Shard != "s0000" || shards[0].All != 5 ||
		shards[1].Shard != "s0002" || shards[1].All != 3 {
		t.Errorf("%d shards, %d more, %+v %+v", len(shards), p.MoreShards(), shards[0], shards[1])
	}
	if s := *shards[0]; s != (shardCounts{"s0000", 5, 1, 1, 1, 1}) {
		t.Errorf("%+v", s)
	}
	if got := fmt.Sprint(p.Reasons()[0]); got != fmt.Sprint([3]string{"accepted", "ok", number(2010)}) || len(p.Reasons()) != 5 {
		t.Errorf("%v", p.Reasons())
	}
	for i := range pageOperations + 2 {
		p.operation(&wire.OperationItem{Seq: uint64(i)})
	}
	if len(p.Operations) != pageOperations || p.MoreOperations != 2 || p.Operations[pageOperations-1].Seq != pageOperations-1 {
		t.Errorf("%d operations, %d more", len(p.Operations), p.MoreOperations)
	}
	for i := range mostShards {
		p.count(&wire.AuditItem{ShardID: fmt.Sprint(i)})
	}
	if len(p.shards) != mostShards || p.Others != pageShards+5 {
		t.Errorf("%d shards, %d others", len(p.shards), p.Others)
	}
}

// TestAbout: an operation is told by its members that are not empty, in their order.
func TestAbout(t *testing.T) {
	for want, members := range map[string]map[string]any{
		"":                              nil,
		"alg 2, owner lab, scope [a b]": {"scope": []any{"a", "b"}, "owner": "lab", "alg": float64(2), "comment": "", "node": "0"},
		"on true":                       {"on": true, "off": false, "none": []any{}},
		"list [0]":                      {"list": []any{float64(0)}},
	} {
		if got := about(wire.OperationItem{About: members}); got != want {
			t.Errorf("%v: %q, want %q", members, got, want)
		}
	}
}
