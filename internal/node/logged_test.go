package node_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/nodetest"
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
