package node_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/pcs"
)

// nobodyQuarantined fails unless every node serves and none has marked itself.
func nobodyQuarantined(t *testing.T, c *nodetest.Cluster) {
	t.Helper()
	for i := range c.Size() {
		c.AwaitReady(i)
		if _, err := os.Stat(filepath.Join(c.Dir(i), "quarantine")); err == nil {
			t.Errorf("node %d is marked as quarantined", i+1)
		}
	}
}

// falseRecord puts a record into the log whose HMAC facts do not hold, past the checks of the leader.
func falseRecord(t *testing.T, c *nodetest.Cluster, shard string) (id string) {
	t.Helper()
	leader := c.Leader()
	f := nodetest.NewRecords(t)
	body := f.Members(shard, 1).Carry(make([]byte, 32)).Text(t)
	payload := payloadOf(t,
		&event.SubmissionV1{Body: body, ReceivedAt: time.Now().UnixNano(), Node: c.Config(leader).NodeID,
			Facts: &event.SignatureFacts{KeyId: c.Config(leader).Keys[0].ID, Alg: 1, Profile: 1, Mode: 1}})
	pack := event.Pack{
		ProposedAt: time.Now().UnixNano(),
		Events:     []event.Event{{Kind: event.Submission, Payload: payload}},
	}
	if _, err := c.Node(leader).ProposeRaw(t.Context(), pack.Append(nil)); err != nil {
		t.Fatal(err)
	}
	return pcs.Decode(body).PCSID
}

// TestFalseFactsInTheLog: a record whose facts do not hold for a majority is disputed in the log. No node
// quarantines, not when its state is folded again from the first event, and not in a recount, which counts the
// record as unsigned.
func TestFalseFactsInTheLog(t *testing.T) {
	c := nodetest.Start(t, 3)
	r := newRecounter(t, c)
	f := nodetest.NewRecords(t)
	plain := r.publish(plainPolicy)
	submitAll(t, c, 1, [][]byte{f.Sign(nodetest.Record{Shard: "good", Epoch: 1, Root: "r"})})
	id := falseRecord(t, c, "bad")
	c.Await("the dispute", func() error {
		head := digest(t, c).Seq
		for seq := uint64(1); seq <= head; seq++ {
			ev, err := c.At(0).Event(r.ctx, seq, client.Read{MinSeq: head})
			if err == nil && ev.Kind == "facts_disputed" {
				return nil
			}
		}
		return fmt.Errorf("none in %d events", head)
	})
	nobodyQuarantined(t, c)
	ill := (c.Leader() + 1) % c.Size()
	c.Stop(ill)
	c.ClearFolds(ill)
	c.Restart(ill)
	nobodyQuarantined(t, c)
	number := r.start(plain)
	if d := r.diff(number); d.Flips != 1 {
		t.Errorf("a recount: %+v", d)
	}
	r.activate(number, r.diff(number).Digest)
	for i := range c.Size() {
		c.Await("the recount to answer", func() error {
			a, err := c.At(i).Get(r.ctx, id, client.Read{})
			if err != nil || a.Accepted || a.ReasonCode != "bad_signature" {
				return fmt.Errorf("%+v %v", a, err)
			}
			return nil
		})
	}
	c.Stop(ill)
	c.ClearFolds(ill)
	c.Restart(ill)
	nobodyQuarantined(t, c)
	if status, text := c.Once(ill, http.MethodPost, client.SubmitPath,
		f.Sign(nodetest.Record{Shard: "good", Epoch: 2, Root: "r"})); status != http.StatusOK {
		t.Errorf("a good record: %d %s", status, text)
	}
	c.Check()
}
