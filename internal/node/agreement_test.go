package node_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/verify"
)

// often has digests logged and compared soon after anything was folded.
func often(cfg *node.Config) { cfg.DigestInterval = 100 * time.Millisecond }

// withheldBecause waits until node i answers no client, for a reason that readyz names.
func withheldBecause(t *testing.T, c *nodetest.Cluster, i int, check string) {
	t.Helper()
	c.Await(fmt.Sprintf("node %d withheld: %s", i+1, check), func() error {
		status, text := c.Once(i, http.MethodGet, "/readyz?verbose", nil)
		if status == http.StatusServiceUnavailable && strings.Contains(string(text), "[-]"+check) {
			return nil
		}
		return fmt.Errorf("%d: %s", status, text)
	})
}

func marked(c *nodetest.Cluster, i int) bool {
	_, err := os.Stat(filepath.Join(c.Dir(i), "quarantine"))
	return err == nil
}

// TestTwoNodesDiffer: with the third node down nobody can tell which of two differing nodes is right. Both stop
// answering until it is back; then the right one serves again and the other one quarantines.
func TestTwoNodesDiffer(t *testing.T) {
	c := nodetest.Start(t, 3, often)
	f := nodetest.NewRecords(t)
	first := nodetest.Record{Shard: "forgotten", Epoch: 1, Root: "r"}
	seq := submitAll(t, c, 1, [][]byte{f.Sign(first)})[0].Seq
	lead := c.Leader()
	ill, down := (lead+1)%3, (lead+2)%3
	if _, err := c.At(ill).Digest(t.Context(), seq); err != nil { // waits for the fold there
		t.Fatal(err)
	}
	c.Stop(ill)
	c.ForgetID(ill, first.ID())
	c.Restart(ill)
	c.AwaitReady(ill)
	c.MayEnd(ill) // it may lead for a moment, and finds itself contradicted by the majority
	c.Stop(down)
	second := first
	second.Wrong = true
	if status, text := c.Once(lead, http.MethodPost, client.SubmitPath, f.Sign(second)); status != http.StatusConflict {
		t.Fatalf("other values of a known id: %d: %s", status, text)
	}
	for _, i := range []int{lead, ill} {
		withheldBecause(t, c, i, "agreement")
		serves(t, c, i, f.Sign(first), first.ID(), http.StatusServiceUnavailable)
		if marked(c, i) {
			t.Errorf("node %d quarantined itself, though nobody can tell who is wrong", i+1)
		}
	}
	c.Restart(down)
	withheldBecause(t, c, ill, "quarantine")
	for _, i := range []int{lead, down} {
		c.AwaitReady(i)
		serves(t, c, i, f.Sign(first), first.ID(), http.StatusOK)
	}
	c.Stop(ill)
	c.ClearFolds(ill)
	c.Restart(ill)
	c.AwaitReady(ill)
	c.Check()
}

// TestDifferenceBeforeReady: a node compares its digests before it serves for the first time.
func TestDifferenceBeforeReady(t *testing.T) {
	c := nodetest.Start(t, 3, func(cfg *node.Config) { cfg.DigestInterval = 0 })
	f := nodetest.NewRecords(t)
	first := nodetest.Record{Shard: "forgotten", Epoch: 1, Root: "r"}
	seq := submitAll(t, c, 1, [][]byte{f.Sign(first)})[0].Seq
	lead := c.Leader()
	ill := (lead + 1) % 3
	if _, err := c.At(ill).Digest(t.Context(), seq); err != nil {
		t.Fatal(err)
	}
	c.Stop(ill)
	c.ForgetID(ill, first.ID())
	second := first
	second.Wrong = true
	if _, err := c.Submit(t.Context(), c.At(lead), f.Sign(second)); err != nil && !errors.Is(err, client.ErrRejected) {
		t.Fatal(err)
	}
	c.Restart(ill)
	withheldBecause(t, c, ill, "quarantine")
	serves(t, c, ill, f.Sign(first), first.ID(), http.StatusServiceUnavailable)
	c.Stop(ill)
	c.ClearFolds(ill)
	c.Restart(ill)
	c.AwaitReady(ill)
	c.Check()
}

// TestNewModeWaitsForEveryNode: while a voter says that its release does not know pcs/2, the leader takes no
// record that is signed under it, from its own clients or from other nodes.
func TestNewModeWaitsForEveryNode(t *testing.T) {
	c := nodetest.Start(t, 3, node.KnowVersions(1), func(cfg *node.Config) {
		key, err := verify.NewHMACKey([]byte(nodetest.AbuseSecret))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Keys = append(cfg.Keys, key)
	})
	f := nodetest.NewRecords(t)
	old := (c.Leader() + 1) % 3
	c.Node(old).PretendOlder("pcs/2")
	send := func(i int, shard string) int {
		status, _ := c.Once(i, http.MethodPost, client.SubmitPath,
			f.Members(shard, 1).SignPCS2(t, nodetest.AbuseSigners["hmac"]).Text(t))
		return status
	}
	for i := range 3 {
		if status := send(i, fmt.Sprintf("early-%d", i)); status != http.StatusServiceUnavailable {
			t.Errorf("node %d: a record that node %d cannot read: %d", i+1, old+1, status)
		}
		if status, text := c.Once(i, http.MethodPost, client.SubmitPath,
			f.Members(fmt.Sprintf("plain-%d", i), 1).SignPCS1(t,
				nodetest.AbuseSigners["hmac"]).Text(t)); status != http.StatusOK {
			t.Errorf("node %d: a record that everybody can read: %d: %s", i+1, status, text)
		}
	}
	c.Node(old).PretendOlder("nothing")
	for i := range 3 {
		c.Await("pcs/2", func() error {
			if status := send(i, fmt.Sprintf("late-%d", i)); status != http.StatusOK {
				return fmt.Errorf("%d", status)
			}
			return nil
		})
	}
	c.Check()
}

// TestRowsAreCompared: the comparison of whole states sees a row that no digest covers yet.
func TestRowsAreCompared(t *testing.T) {
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	first := nodetest.Record{Shard: "one", Epoch: 1, Root: "r"}
	submitAll(t, c, 1, [][]byte{f.Sign(first)})
	c.Check()
	c.Stop(2)
	c.ForgetID(2, first.ID())
	c.Restart(2)
	c.AwaitReady(2)
	if diff := c.RowsThatDiffer(0, 2); len(diff) != 1 || !strings.HasPrefix(diff[0], "generations/1 i") {
		t.Errorf("%q", diff)
	}
}

// TestReadyWithoutASecondFold: a node that nobody contradicts does not wait without end for a second one that has
// folded as far. The question stays open.
func TestReadyWithoutASecondFold(t *testing.T) {
	c := nodetest.Start(t, 3, func(cfg *node.Config) { cfg.DigestInterval = 0 })
	f := nodetest.NewRecords(t)
	seq := submitAll(t, c, 1, [][]byte{f.Sign(nodetest.Record{Shard: "one", Epoch: 1, Root: "r"})})[0].Seq
	if _, err := c.At(0).Digest(t.Context(), seq); err != nil { // waits for the fold there
		t.Fatal(err)
	}
	c.Stop(1)
	c.Stop(2)
	n := c.Node(0)
	if err := n.AgreeFirst(t.Context(), time.Now()); err == nil {
		t.Error("the node does not wait for the others at all")
	}
	if n.AsksOn() {
		t.Error("a question is open before the wait is over")
	}
	if err := n.AgreeFirst(t.Context(), time.Now().Add(-time.Hour)); err != nil {
		t.Errorf("after the wait: %v", err)
	}
	if !n.AsksOn() {
		t.Error("the question is not left open")
	}
}

// TestCancelledRequestIsNoAnswer: a request that ends while the voters are asked must not let the next ones
// believe that every voter can read what an older one cannot.
func TestCancelledRequestIsNoAnswer(t *testing.T) {
	c := nodetest.Start(t, 3, node.KnowVersions(1))
	lead := c.Leader()
	old := (lead + 1) % 3
	c.Node(old).PretendOlder("pcs/2")
	ended, end := context.WithCancel(t.Context())
	end()
	for _, ctx := range []context.Context{ended, t.Context()} {
		if voter := c.Node(lead).VoterWithout(ctx, "pcs/2"); voter != c.Config(old).NodeID {
			t.Errorf("the voter without pcs/2: %q", voter)
		}
	}
}
