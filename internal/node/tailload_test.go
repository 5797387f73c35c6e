package node_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// TestTailUnderLoadOverAnActivation: streams of every node run while records come in and another generation is activated.
// Their readers go on with the next node behind the last event. They get every submission once and in order, and none behind
// the activation as the generation of before says it.
func TestTailUnderLoadOverAnActivation(t *testing.T) {
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	number := r.start(r.publish(plainPolicy))
	var tails []*liveTail
	for i := range c.Size() {
		tails = append(tails, openLive(t, c, i, c.Tokens[wire.RoleAuditor], ""))
	}
	l := startLoad(t, c, f, 3)
	l.await(60)
	activated := r.activate(number, r.diff(number).Digest).Seq
	l.await(60)
	l.end()
	last := submitAll(t, c, 1, [][]byte{f.Sign(nodetest.Record{Shard: "last", Epoch: 1, Root: "r"})})[0].Seq
	var want []uint64
	for item, err := range c.At(0).Audit(t.Context(), client.AuditQuery{Read: client.Read{MinSeq: last}}) {
		must(t, err)
		want = append(want, item.Seq)
	}
	for i, tail := range tails {
		got, gens := tail.over(last)
		before := len(got)
		if next := openLive(t, c, (i+1)%3, c.Tokens[wire.RoleAuditor], tail.last); before != len(want) {
			next.until(last)
			got, gens = append(got, next.seqs...), append(gens, next.gens...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("node %d: submissions %v, want %v", i+1, got, want)
		}
		for at, seq := range got {
			if seq > activated && gens[at] != number {
				t.Errorf("node %d: submission %d behind the activation at %d is one of generation %d", i+1, seq, activated, gens[at])
			}
		}
		t.Logf("node %d: %d submissions before its switch, %d in all", i+1, before, len(got))
	}
}

// over reads until a submission, or until the stream ends because of a switch.
func (l *liveTail) over(last uint64) (seqs []uint64, gens []uint32) {
	l.t.Helper()
	for len(l.seqs) == 0 || l.seqs[len(l.seqs)-1] != last {
		if end := l.next(); end != nil {
			if end.Reason != wire.EndedGeneration {
				l.t.Errorf("%+v", end)
			}
			l.last = fmt.Sprint(end.Seq)
			break
		}
	}
	return l.seqs, l.gens
}
