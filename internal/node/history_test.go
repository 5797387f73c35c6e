package node_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// flipped fills a cluster with records that a recount under the plain policy refuses, and builds it.
func flipped(t *testing.T) (r recounter, number uint32, seqs []uint64) {
	t.Helper()
	c := nodetest.Start(t, 3)
	r = newRecounter(t, c)
	_, err := c.Client.ApplyPolicy(r.ctx, r.publish(laxPolicy), wire.ApplyRequest{Act: wire.Act{OpID: "lax"}})
	r.must(err)
	f := nodetest.NewRecords(t)
	var bodies [][]byte
	for i := range 5 {
		bodies = append(bodies, f.Sign(nodetest.Record{Shard: fmt.Sprintf("bare-%d", i), Epoch: 1, Root: "r", Bare: true}))
	}
	for _, a := range submitAll(t, c, 1, bodies) {
		seqs = append(seqs, a.Seq)
	}
	number = r.start(r.publish(plainPolicy))
	if d := r.diff(number); d.Flips != uint64(len(bodies)) {
		t.Fatalf("%+v", d)
	}
	return r, number, seqs
}

// TestDamagedFlips: a node that lost a flip of the comparison notices when it reads the flips back. It alone quarantines.
func TestDamagedFlips(t *testing.T) {
	r, number, seqs := flipped(t)
	ill := (r.c.Leader() + 1) % 3
	r.c.Stop(ill)
	r.c.ChangeRow(ill, fmt.Sprintf("generations/%d", number), binary.BigEndian.AppendUint64([]byte{'f'}, seqs[2]), nil)
	r.activate(number, r.diff(number).Digest)
	r.c.Restart(ill)
	withheldBecause(t, r.c, ill, "quarantine")
	for i := range 3 {
		if i != ill {
			r.c.AwaitReady(i)
		}
	}
	r.c.Stop(ill)
	r.c.ClearFolds(ill)
	r.c.Restart(ill)
	r.c.AwaitReady(ill)
	r.c.CheckRows()
}

// TestOneBadHistory: what the leader alone has recorded of an activation is not taken for true. The leader gives up, not the
// two others.
func TestOneBadHistory(t *testing.T) {
	r, number, _ := flipped(t)
	ill := (r.c.Leader() + 1) % 3
	r.c.Stop(ill)
	head := digest(t, r.c).Seq
	nothing := make([]byte, 1+8+32) // no flip at all
	nothing[0] = 1
	for seq := head; seq < head+60; seq++ { // whichever event the activation will be
		r.c.ChangeRow(ill, "history", binary.BigEndian.AppendUint64([]byte{'a'}, seq), nothing)
	}
	r.c.Restart(ill)
	r.c.AwaitReady(ill)
	r.c.MayEnd(ill)
	r.c.Lead(ill)
	r.await(number)
	r.activate(number, r.diff(number).Digest)
	r.c.Await("the mark of the leader", func() error {
		if !marked(r.c, ill) {
			return fmt.Errorf("node %d is not marked", ill+1)
		}
		return nil
	})
	r.c.Stop(ill) // it ends by itself, which a supervisor would see
	for i := range 3 {
		if i == ill {
			continue
		}
		r.c.AwaitReady(i)
		if marked(r.c, i) {
			t.Errorf("node %d quarantined itself", i+1)
		}
	}
}
