package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opTime bounds one call of a test's client, its repetitions included.
const opTime = 8 * time.Second

// submitAll sends the bodies with some workers over all nodes; every one must get an answer.
func submitAll(t *testing.T, c *nodetest.Cluster, workers int, bodies [][]byte) []nodetest.Answer {
	t.Helper()
	out := make([]nodetest.Answer, len(bodies))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(bodies); i = int(next.Add(1)) - 1 {
				ctx, cancel := context.WithTimeout(t.Context(), opTime)
				a, err := c.Submit(ctx, c.Client, bodies[i])
				cancel()
				if err != nil {
					t.Errorf("submission %d: %v", i, err)
				}
				out[i] = a
			}
		})
	}
	wg.Wait()
	return out
}

// TestSizes: clusters of one and of five nodes take records, replays and conflicts, and come back after a stop of all.
func TestSizes(t *testing.T) {
	for _, n := range []int{1, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := nodetest.Start(t, n)
			f := nodetest.NewRecords(t)
			var bodies [][]byte
			for i := range 40 {
				bodies = append(bodies, f.Sign(nodetest.Record{Shard: "s", Epoch: int64(i), Root: "r"}),
					f.Sign(nodetest.Record{Shard: fmt.Sprint(i), Epoch: 1, Root: "r", Wrong: i%4 == 0}))
			}
			submitAll(t, c, 8, bodies)
			again := f.Sign(nodetest.Record{Shard: "0", Epoch: 1, Root: "r", Wrong: true, Attempt: 1})
			other := f.Sign(nodetest.Record{Shard: "0", Epoch: 1, Root: "r"})
			for i, a := range submitAll(t, c, 1, [][]byte{again, other}) {
				if want := []int{http.StatusAccepted, http.StatusConflict}[i]; a.Status != want {
					t.Errorf("status %d, want %d", a.Status, want)
				}
			}
			c.Check()
			stopAll(c)
			for i := range n {
				c.Restart(i)
			}
			for i := range n {
				c.AwaitReady(i)
			}
			c.Check()
		})
	}
}

func stopAll(c *nodetest.Cluster) {
	var wg sync.WaitGroup
	for i := range c.Size() {
		wg.Go(func() { c.Stop(i) })
	}
	wg.Wait()
}

// TestFiveNodesLoseTwo: a cluster of five goes on with three, and the two that come back agree.
func TestFiveNodesLoseTwo(t *testing.T) {
	c := nodetest.Start(t, 5)
	f := nodetest.NewRecords(t)
	load := startLoad(t, c, f, 6)
	load.await(30)
	first := c.Leader()
	c.Stop(first)
	second := first
	c.Await("another leader", func() error {
		if second = c.Leader(); second == first {
			return errors.New("the others have not noticed yet")
		}
		return nil
	})
	c.Stop(second)
	load.await(60)
	c.Restart(first)
	c.Restart(second)
	load.await(30)
	load.end()
	c.AwaitReady(first)
	c.AwaitReady(second)
	c.Check()
}

// TestCloseWithUnusedConnection: a connection that never carried a request does not hold up a stop.
func TestCloseWithUnusedConnection(t *testing.T) {
	c := nodetest.Start(t, 1)
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.Client.Endpoints()[0], "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c.AwaitReady(0) // accepted after conn
	began := time.Now()
	c.Stop(0)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the stop took %s", took)
	}
}

// TestReturnBehind: a node that comes back takes no submission before it has caught up, because it might be
// committed long before it could be answered here.
func TestReturnBehind(t *testing.T) {
	c := nodetest.Start(t, 3)
	body := nodetest.NewRecords(t).Sign(nodetest.Record{Shard: "behind", Epoch: 1, Root: "r"})
	submitAll(t, c, 1, [][]byte{body})
	stopAll(c)
	c.Restart(0) // alone, it cannot know what was committed
	status, text := c.Once(0, http.MethodPost, client.SubmitPath, body)
	var p wire.Problem
	if err := json.Unmarshal(text, &p); err != nil || status != http.StatusServiceUnavailable ||
		p.Code != wire.CodeNotReady {
		t.Errorf("before it caught up: %d: %s", status, text)
	}
	c.Restart(1)
	c.Restart(2)
	c.Await("an answer of the node", func() error {
		if status, text := c.Once(0, http.MethodPost, client.SubmitPath, body); status != http.StatusOK {
			return fmt.Errorf("%d: %s", status, text)
		}
		return nil
	})
	c.AwaitReady(1)
	c.AwaitReady(2)
	c.Check()
}

// TestRefusalBudget: a burst of forgeries is answered 401 each, but cannot fill the log; what was left out is summed.
func TestRefusalBudget(t *testing.T) {
	const burst = 500
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	before := digest(t, c).Seq
	began := time.Now()
	var wg sync.WaitGroup
	size := 0
	bodies := make(chan []byte, burst)
	for i := range burst {
		body := f.Sign(nodetest.Record{Shard: "forged", Epoch: int64(i), Root: "r", Forged: true})
		size += len(body)
		bodies <- body
	}
	close(bodies)
	for range 16 {
		wg.Go(func() {
			for body := range bodies {
				status, text := c.Once(0, http.MethodPost, client.SubmitPath, body)
				for status == http.StatusServiceUnavailable { // a busy machine: nothing was taken, so it is sent again
					status, text = c.Once(0, http.MethodPost, client.SubmitPath, body)
				}
				if status != http.StatusUnauthorized {
					t.Errorf("%d: %s", status, text)
				}
			}
		})
	}
	wg.Wait()
	var kept, dropped, bytes int
	c.Await("the sum of what was dropped", func() error {
		kept, dropped, bytes = countRefusals(t, c, before)
		if kept+dropped != burst {
			return fmt.Errorf("%d kept and %d dropped of %d", kept, dropped, burst)
		}
		return nil
	})
	elapsed := time.Since(began).Seconds()
	if limit := 50 + 50*elapsed; kept == 0 || float64(kept) > limit {
		t.Errorf("%d forgeries are in the log, the budget is %.0f", kept, limit)
	}
	if inLog, limit := float64(size-bytes), 16384*(1+elapsed); inLog > limit {
		t.Errorf("%.0f bytes of forgeries are in the log, the budget is %.0f", inLog, limit)
	}
	good := submitAll(t, c, 1, [][]byte{f.Sign(nodetest.Record{Shard: "forged", Epoch: 1, Root: "r"})})
	if good[0].Status != http.StatusOK || good[0].Submit.Replayed {
		t.Errorf("an honest record after its forgery: %+v", good[0])
	}
	c.Check()
}

func digest(t *testing.T, c *nodetest.Cluster) *wire.DigestAnswer {
	t.Helper()
	page, err := c.Client.AuditPage(t.Context(), client.AuditQuery{
		Limit: 1,
		Read:  client.Read{Consistency: wire.ConsistencyLinearizable},
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Client.Digest(t.Context(), page.AppliedSeq)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// countRefusals walks the events after seq.
func countRefusals(t *testing.T, c *nodetest.Cluster, seq uint64) (kept, dropped, bytes int) {
	t.Helper()
	for head := digest(t, c).Seq; seq < head; {
		seq++
		ev, err := c.At(0).Event(t.Context(), seq, client.Read{MinSeq: head})
		if err != nil {
			t.Fatal(err)
		}
		switch ev.Kind {
		case "submission":
			kept++
		case "refusals_dropped":
			dropped += number(t, ev.Summary["count"])
			bytes += number(t, ev.Summary["bytes"])
		}
	}
	return kept, dropped, bytes
}

// number reads a 64-bit number as protobuf writes it into JSON, which is a string.
func number(t *testing.T, v any) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(strings.Trim(fmt.Sprint(v), `"`), &n); err != nil {
		t.Fatalf("%v is not a number", v)
	}
	return n
}

// TestQuarantine: a node whose fold differs notices at the next logged digest and answers no client; the others go on.
// When its folded state is removed it comes back as one of them.
func TestQuarantine(t *testing.T) {
	const digestEvery = 4096
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	first := nodetest.Record{Shard: "forgotten", Epoch: 1, Root: "r"}
	seq := submitAll(t, c, 1, [][]byte{f.Sign(first)})[0].Seq
	ill := (c.Leader() + 1) % c.Size()
	if _, err := c.At(ill).Digest(t.Context(), seq); err != nil { // waits for the fold there
		t.Fatal(err)
	}
	c.Stop(ill)
	c.ForgetID(ill, first.ID())
	c.Restart(ill)
	c.AwaitReady(ill)
	second := first
	second.Wrong = true
	if status, text := c.Once((ill+1)%c.Size(), http.MethodPost, client.SubmitPath,
		f.Sign(second)); status != http.StatusConflict {
		t.Fatalf("other values of a known id: %d: %s", status, text)
	}
	var bodies [][]byte
	for i := range digestEvery {
		bodies = append(bodies, f.Sign(nodetest.Record{Shard: fmt.Sprintf("s-%d", i%100), Epoch: int64(i), Root: "r"}))
	}
	began := time.Now()
	fill(t, c, ill, bodies)
	t.Logf("%d records in %s", digestEvery, time.Since(began))
	c.Await("the quarantine", func() error {
		status, text := c.Once(ill, http.MethodGet, "/readyz", nil)
		if status == http.StatusServiceUnavailable && strings.Contains(string(text), "quarantine") {
			return nil
		}
		return fmt.Errorf("%d: %s", status, text)
	})
	serves(t, c, ill, f.Sign(first), first.ID(), http.StatusServiceUnavailable)
	for i := range c.Size() {
		if i != ill {
			serves(t, c, i, f.Sign(first), first.ID(), http.StatusOK)
		}
	}
	c.Stop(ill)
	c.Restart(ill) // a restart alone does not end it
	serves(t, c, ill, f.Sign(first), first.ID(), http.StatusServiceUnavailable)
	c.Stop(ill)
	c.ClearFolds(ill)
	c.Restart(ill)
	c.AwaitReady(ill)
	c.Check()
}

// fill submits through the healthy nodes, without keeping the answers.
func fill(t *testing.T, c *nodetest.Cluster, ill int, bodies [][]byte) {
	t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(bodies); i = int(next.Add(1)) - 1 {
				ctx, cancel := context.WithTimeout(t.Context(), opTime)
				_, err := c.At((ill+1+i%2)%c.Size()).Submit(ctx, bodies[i])
				cancel()
				if err != nil {
					t.Errorf("submission %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
}

// serves checks the status of a submission and of a read at node i.
func serves(t *testing.T, c *nodetest.Cluster, i int, body []byte, id string, want int) {
	t.Helper()
	if status, text := c.Once(i, http.MethodPost, client.SubmitPath, body); status != want {
		t.Errorf("node %d: submission: %d: %s", i, status, text)
	}
	status, text := c.Once(i, http.MethodGet, "/v1/pcs/"+id, nil)
	if status != want {
		t.Errorf("node %d: read: %d: %s", i, status, text)
	}
	if !json.Valid(text) {
		t.Errorf("node %d: not JSON: %s", i, text)
	}
}
