package node_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// noAnswer fails unless node i refuses a read that asks no other node, and says why.
func noAnswer(t *testing.T, c *nodetest.Cluster, i int, id, when string) {
	t.Helper()
	status, text := c.Once(i, http.MethodGet, "/v1/pcs/"+id+"?consistency=local", nil)
	if status != http.StatusServiceUnavailable || !strings.Contains(string(text), "contradict each other") {
		t.Errorf("%s: node %d answers %d %s", when, i+1, status, text)
	}
}

// illLeader is a cluster whose leader has folded something else than the others and has logged its digest,
// while node down was stopped.
func illLeader(t *testing.T) (c *nodetest.Cluster, good []byte, id string, ill, well, down int) {
	t.Helper()
	c = nodetest.Start(t, 3, often)
	f := nodetest.NewRecords(t)
	first := nodetest.Record{Shard: "forgotten", Epoch: 1, Root: "r"}
	seq := submitAll(t, c, 1, [][]byte{f.Sign(first)})[0].Seq
	ill = (c.Leader() + 1) % 3
	if _, err := c.At(ill).Digest(t.Context(), seq); err != nil { // waits for the fold there
		t.Fatal(err)
	}
	c.Stop(ill)
	c.ForgetID(ill, first.ID())
	c.Restart(ill)
	c.AwaitReady(ill)
	c.MayEnd(ill)
	c.Lead(ill)
	well, down = (ill+1)%3, (ill+2)%3
	c.Stop(down)
	second := first
	second.Wrong = true
	// it forgot the first one, and its answer does not matter
	c.Once(ill, http.MethodPost, client.SubmitPath, f.Sign(second))
	withheldBecause(t, c, well, "agreement")
	return c, f.Sign(first), first.ID(), ill, well, down
}

// TestLoggedDigestIsNotForgotten: a node that has folded a contrary digest answers nobody while there is nobody
// to ask, not after a restart either, until a majority has what it has.
func TestLoggedDigestIsNotForgotten(t *testing.T) {
	c, good, id, ill, well, down := illLeader(t)
	c.Await("the digest of the leader in the log", func() error {
		status, text := c.Once(well, http.MethodGet, "/readyz?verbose", nil)
		if !strings.Contains(string(text), fmt.Sprintf("%s logged", c.Config(ill).NodeID)) {
			return fmt.Errorf("%d %s", status, text)
		}
		return nil
	})
	c.Stop(ill)
	for range 3 { // rounds of questions that nobody answers
		asked := c.Node(well).RoundsOfDoubts()
		c.Await("another round", func() error {
			if c.Node(well).RoundsOfDoubts() == asked {
				return errors.New("not yet")
			}
			return nil
		})
		noAnswer(t, c, well, id, "alone")
	}
	c.Stop(well)
	c.Restart(well)
	noAnswer(t, c, well, id, "after a restart")
	withheldBecause(t, c, well, "agreement")
	c.Restart(down)
	for _, i := range []int{well, down} {
		c.AwaitReady(i)
		serves(t, c, i, good, id, http.StatusOK)
	}
	c.Restart(ill)
	withheldBecause(t, c, ill, "quarantine")
	c.Stop(ill)
	c.ClearFolds(ill)
	c.Restart(ill)
	c.AwaitReady(ill)
	c.Check()
}

// TestLoggerThatWasMended: the node that logged the contrary digest is folded again while the third one is
// away. Then both have the same, and both answer.
func TestLoggerThatWasMended(t *testing.T) {
	c, good, id, ill, well, _ := illLeader(t)
	c.Stop(ill)
	noAnswer(t, c, well, id, "alone")
	c.ClearFolds(ill)
	c.Restart(ill)
	for _, i := range []int{well, ill} {
		c.AwaitReady(i)
		serves(t, c, i, good, id, http.StatusOK)
	}
}

// ownDigests submits records until two digests in a row are in the log that the same node logged. It returns
// that node and the event that the first of the two covers.
func ownDigests(t *testing.T, c *nodetest.Cluster, f *nodetest.Records) (lead int, covers uint64) {
	t.Helper()
	for i := int64(1); ; i++ {
		seq := submitAll(t, c, 1, [][]byte{f.Sign(nodetest.Record{Shard: "s", Epoch: i, Root: "r"})})[0].Seq
		starts, seen := map[uint64]string{}, []wire.EventAnswer(nil)
		c.Await("a digest of the record in the log", func() error {
			items, _, err := c.Client.EventsPage(t.Context(), client.EventsQuery{})
			clear(starts)
			seen = seen[:0]
			for _, e := range items {
				switch e.Kind {
				case event.TermStart.String():
					starts[e.Term] = fmt.Sprint(e.Summary["node"])
				case event.StateDigest.String():
					seen = append(seen, e)
				}
			}
			if err == nil && (len(seen) == 0 || number(t, seen[len(seen)-1].Summary["seq"]) < int(seq)) {
				err = errors.New("not yet")
			}
			return err
		})
		if n := len(seen); n > 1 && seen[n-1].Term == seen[n-2].Term {
			lead = slices.IndexFunc([]int{0, 1, 2}, func(i int) bool {
				return c.Config(i).NodeID == starts[seen[n-1].Term]
			})
			return lead, uint64(number(t, seen[n-2].Summary["seq"]))
		}
	}
}

// TestOwnLoggedDigestContradicts: a node that led and logged digests loses a row of its control state while it is
// stopped. When it starts alone, its own words in the log contradict it, also those before the last one. It answers
// nobody until it can ask the others, who find it wrong.
func TestOwnLoggedDigestContradicts(t *testing.T) {
	c := nodetest.Start(t, 3, often)
	f := nodetest.NewRecords(t)
	first := nodetest.Record{Shard: "kept", Epoch: 1, Root: "r"}
	submitAll(t, c, 1, [][]byte{f.Sign(first)})
	ill, covers := ownDigests(t, c, f)
	others := []int{(ill + 1) % 3, (ill + 2) % 3}
	for _, i := range others { // before the leader, which would hand over
		c.Stop(i)
	}
	var lost []byte // the control digest in force at that event
	if err := c.Node(ill).EachRow(func(store string, k, _ []byte) {
		if store == "derived" && len(k) == 10 && k[0] == 'c' && k[1] == 'd' && binary.BigEndian.Uint64(k[2:]) <= covers {
			lost = bytes.Clone(k)
		}
	}); err != nil {
		t.Fatal(err)
	}
	c.Stop(ill)
	c.ChangeRow(ill, "derived", lost, nil)
	c.Restart(ill)
	noAnswer(t, c, ill, first.ID(), "alone")
	withheldBecause(t, c, ill, "agreement")
	c.MayEnd(ill) // it may lead for a moment, and finds itself contradicted by the majority
	for _, i := range others {
		c.Restart(i)
	}
	withheldBecause(t, c, ill, "quarantine")
	for _, i := range others {
		c.AwaitReady(i)
		serves(t, c, i, f.Sign(first), first.ID(), http.StatusOK)
	}
	c.Stop(ill)
	c.ClearFolds(ill)
	c.Restart(ill)
	c.AwaitReady(ill)
	c.Check()
}
