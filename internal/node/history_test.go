package node_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// flipped fills a cluster with records that a recount under the plain policy refuses, and builds it.
func flipped(t *testing.T) (r recounter, number uint32, seqs []uint64) {
	t.Helper()
	c := nodetest.Start(t, 3)
	r = newRecounter(t, c)
	_, err := c.Client.ApplyPolicy(r.ctx, r.publish(laxPolicy), wire.ApplyRequest{Op: wire.Op{OpID: "lax"}})
	r.must(err)
	f := nodetest.NewRecords(t)
	var bodies [][]byte
	for i := range 5 {
		bodies = append(bodies,
			f.Sign(nodetest.Record{Shard: fmt.Sprintf("bare-%d", i), Epoch: 1, Root: "r", Bare: true}))
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

// TestDamagedFlips: a node that lost a flip of the comparison notices when it reads the flips back. It alone
// quarantines.
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

// TestDamagedHistory: a node whose history/ cannot be read, or not even be opened, answers no client, also after
// restarts, and the others go on. With a copy from another node that is stopped, and without the file quarantine, it
// serves again.
func TestDamagedHistory(t *testing.T) {
	r, number, _ := flipped(t)
	r.activate(number, r.diff(number).Digest)
	ill := (r.c.Leader() + 1) % 3
	other := (ill + 1) % 3
	r.c.Await("what changed at the activation", func() error {
		if got := strings.Count(r.c.Logs(), "recorded what changed at an activation"); got < 3 {
			return fmt.Errorf("%d nodes have recorded it", got)
		}
		return nil
	})
	for _, i := range []int{ill, other} { // history/ has a table then
		r.c.Stop(i)
		r.c.Restart(i)
		r.c.AwaitReady(i)
	}
	r.c.Stop(ill)
	table := r.c.LargestTable(ill, "history")
	for _, damage := range []func(){
		func() { r.c.FlipBit(table, 0) }, func() {}, func() { r.must(os.Remove(table)) },
	} {
		damage()
		r.c.Restart(ill)
		withheldBecause(t, r.c, ill, "quarantine")
		r.c.Stop(ill)
		if why, err := os.ReadFile(filepath.Join(r.c.Dir(ill), "quarantine")); err != nil ||
			!strings.Contains(string(why), "put in its place a copy from another node that is stopped") {
			t.Errorf("quarantined without saying what to do: %s %v", why, err)
		}
	}
	for i := range 3 {
		if i != ill {
			r.c.AwaitReady(i)
		}
	}
	r.c.Stop(other)
	to := filepath.Join(r.c.Dir(ill), "history")
	for _, err := range []error{
		os.RemoveAll(to), os.CopyFS(to, os.DirFS(filepath.Join(r.c.Dir(other), "history"))),
		os.Remove(filepath.Join(r.c.Dir(ill), "quarantine")),
	} {
		r.must(err)
	}
	r.c.Restart(ill)
	r.c.Restart(other)
	r.c.AwaitReady(ill)
	r.c.CheckRows()
}

// TestOneBadHistory: what the leader alone has recorded of an activation is not taken for true. The leader
// gives up, not the two others.
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

// activateFalsely logs an activation, and in the same pack a record of what changed at it that no node has.
func activateFalsely(t *testing.T, r recounter, number uint32) {
	t.Helper()
	d, lead := r.diff(number), r.c.Leader()
	sum, err := hex.DecodeString(d.Digest[16:]) // after the position
	must(t, err)
	next := digest(t, r.c).Seq + 1
	act := payloadOf(t, &event.GenerationActivatedV1{
		Generation: number,
		From:       1,
		Position:   d.Position,
		Diff:       sum,
		Op:         &event.OpV1{Actor: "x", Reason: "x"},
	})
	rec := payloadOf(t, &event.HistoryRecordedV1{
		Activation: next,
		Flips:      d.Flips + 1,
		Digest:     make([]byte, 32),
		Node:       r.c.Config(lead).NodeID,
	})
	pack := event.Pack{
		ProposedAt: time.Now().UnixNano(),
		Events: []event.Event{{Kind: event.GenerationActivated, Payload: act},
			{Kind: event.HistoryRecorded, Payload: rec}},
	}
	pack.Mark()
	_, err = r.c.Node(lead).ProposeRaw(t.Context(), pack.Append(nil))
	must(t, err)
	r.c.Await("the activation", func() error {
		g, err := r.c.Client.Generations(r.ctx)
		if err != nil || g.Active != number {
			return fmt.Errorf("%+v %v", g, err)
		}
		return nil
	})
	ev, err := r.c.Client.Event(r.ctx, next, client.Read{MinSeq: next + 1})
	if err != nil || ev.Kind != "generation_activated" {
		t.Fatalf("event %d is %+v, %v", next, ev, err)
	}
}

// TestFalseHistoryOverARestart: a record in the log of what changed at an activation that no node has stops
// none of them for longer than it takes to ask the others. After a start a node alone answers nobody, since it
// cannot ask; with a second one, and with all, it does.
func TestFalseHistoryOverARestart(t *testing.T) {
	r, number, seqs := flipped(t)
	activateFalsely(t, r, number)
	c := r.c
	c.Await("the contradiction is noticed", func() error {
		if !strings.Contains(c.Logs(), "what changed at an activation is recorded otherwise in the log") {
			return fmt.Errorf("no word of it")
		}
		return nil
	})
	nobodyQuarantined(t, c)
	for i := range 3 {
		c.Stop(i)
	}
	ev := fmt.Sprintf("/v1/events/%d?consistency=local", seqs[0])
	c.Restart(0)
	if status, text := c.Once(0, http.MethodGet, ev, nil); status != http.StatusServiceUnavailable {
		t.Errorf("a node alone answers %d %s", status, text)
	}
	withheldBecause(t, c, 0, "agreement")
	c.Restart(1)
	for _, i := range []int{0, 1} {
		c.AwaitReady(i)
	}
	c.Restart(2)
	nobodyQuarantined(t, c)
	f := nodetest.NewRecords(t)
	if status, code := r.submit(f.Sign(nodetest.Record{Shard: "after", Epoch: 1, Root: "r"})); status != http.StatusOK {
		t.Errorf("%d %s", status, code)
	}
}
