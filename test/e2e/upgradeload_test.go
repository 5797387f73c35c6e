package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/test/harness"
	"github.com/recount-ledger/recount/wire"
)

const (
	upgradeClients = 32
	// everySubmission is the time from one submission of a client to the next.
	everySubmission = 100 * time.Millisecond
	// silenceLimit bounds a request of the Go client with all its attempts. A node waits ten seconds for an outcome, so a
	// client that has waited longer has waited for a node that could not give one.
	silenceLimit = 9 * time.Second
	// submissionLimit bounds one submission with all its attempts, for a slow machine.
	submissionLimit = 30 * time.Second
)

// upgradeLoad is agents that use the Go client while nodes are upgraded.
type upgradeLoad struct {
	mu     sync.Mutex
	source *harness.Source
	took   []time.Duration // since the last mark
	every  time.Duration   // from one submission of a client to the next
	due    [upgradeClients]time.Time
	sent   int
	failed []error
	last   [upgradeClients]acknowledged
	acked  map[string]uint64 // the event of each acknowledged record
	client [upgradeClients]*client.Client
	stop   func()
}

// acknowledged is the newest submission of a client that was answered.
type acknowledged struct {
	body []byte
	seq  uint64
}

// startUpgradeLoad runs the agents until stop is called, which waits for their last answers. Each submits at fixed
// intervals.
func startUpgradeLoad(t *testing.T, ctx context.Context, c *harness.Cluster,
	every time.Duration) (l *upgradeLoad, stop func()) {
	t.Helper()
	source, err := harness.NewSource(root)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(c.Dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(c.Dir, "tokens", "operator.token")) // for the list in the end
	if err != nil {
		t.Fatal(err)
	}
	l = &upgradeLoad{source: source, acked: map[string]uint64{}, every: every}
	going, end := context.WithCancel(ctx)
	var all sync.WaitGroup
	for w := range upgradeClients {
		l.client[w], err = client.New(client.Config{Endpoints: c.API, CA: ca, Token: strings.TrimSpace(string(token))})
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() { l.run(ctx, going, w) })
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			end()
			all.Wait()
			for _, cl := range l.client {
				cl.Close()
			}
		})
	}
	t.Cleanup(stop)
	return l, stop
}

// run submits at fixed times. A submission that waits for the one before counts from its time, so that a silence of
// a second is as many slow submissions as were due in it.
func (l *upgradeLoad) run(ctx, going context.Context, w int) {
	due := time.Now().Add(l.every * time.Duration(w) / upgradeClients)
	for ; ; due = due.Add(l.every) {
		l.mu.Lock()
		l.due[w] = due
		l.mu.Unlock()
		timer := time.NewTimer(time.Until(due))
		select {
		case <-timer.C:
		case <-going.Done():
			timer.Stop()
			return
		}
		l.submit(ctx, w, due)
	}
}

func (l *upgradeLoad) submit(ctx context.Context, w int, due time.Time) {
	l.mu.Lock()
	body, err := l.source.Next(fmt.Sprintf("upgrade-%d", w))
	l.mu.Unlock()
	var result *client.Result
	began := time.Now()
	if err == nil {
		limit, cancel := context.WithTimeout(ctx, submissionLimit)
		result, err = l.client[w].Submit(limit, body)
		cancel()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	l.took = append(l.took, time.Since(due))
	switch took := time.Since(began); {
	case err != nil:
		l.failed = append(l.failed, err)
	case took > silenceLimit:
		l.failed = append(l.failed, fmt.Errorf("an answer after %s: %+v", took, result.SubmitAnswer))
	case !result.Accepted || result.Seq <= l.last[w].seq:
		l.failed = append(l.failed, fmt.Errorf("%+v after seq %d", result.SubmitAnswer, l.last[w].seq))
	default:
		l.last[w] = acknowledged{body, result.Seq}
		l.acked[result.PCSID] = result.Seq
	}
}

// phase is the submissions of a part of the run.
type phase struct {
	sent, failed  int
	p50, p99, max time.Duration
}

func (p phase) String() string {
	return fmt.Sprintf("sent %5d, failed %d, p50 %v, p99 %v, max %v", p.sent, p.failed,
		p.p50.Round(time.Millisecond), p.p99.Round(time.Millisecond), p.max.Round(time.Millisecond))
}

// mark ends a phase and returns it.
func (l *upgradeLoad) mark(t *testing.T) (p phase) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, err := range l.failed {
		t.Errorf("a submission failed: %v", err)
	}
	slices.Sort(l.took)
	p.sent, p.failed = len(l.took), len(l.failed)
	if n := len(l.took); n > 0 {
		p.p50, p.p99, p.max = l.took[n/2], l.took[n*99/100], l.took[n-1]
	}
	l.took, l.failed = nil, nil
	return p
}

// await waits until the agents have sent n more.
func (l *upgradeLoad) await(t *testing.T, ctx context.Context, n int) {
	t.Helper()
	sent := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.sent
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for want := sent() + n; sent() < want; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the agents do not get on")
		}
	}
}

// caughtUp waits until no agent is late, so that what comes next is not taken for slow.
func (l *upgradeLoad) caughtUp(t *testing.T, ctx context.Context) {
	t.Helper()
	waitFor(t, ctx, "the agents, which are late", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		for w, due := range l.due {
			if late := time.Since(due); late > l.every {
				return fmt.Errorf("agent %d by %s", w, late)
			}
		}
		return nil
	})
}

// again sends what every agent sent last to one node. It must give the first answer.
func (l *upgradeLoad) again(t *testing.T, ctx context.Context, node int) {
	t.Helper()
	l.mu.Lock()
	last := l.last
	l.mu.Unlock()
	for w, a := range last {
		if a.body == nil {
			t.Errorf("agent %d has no answer yet", w)
			continue
		}
		r, err := l.client[w].At(node).Submit(ctx, a.body)
		if err != nil || !r.Replayed || r.Seq != a.seq {
			t.Errorf("node %d: the record of seq %d again: %+v, %v", node+1, a.seq, r, err)
		}
	}
}

// checkLedger compares the list of one node with what the agents were told. Each acknowledged record is there once,
// and no others, since none failed.
func (l *upgradeLoad) checkLedger(t *testing.T, ctx context.Context, node int) {
	t.Helper()
	found := map[string]uint64{}
	q := client.AuditQuery{Read: client.Read{Consistency: wire.ConsistencyLinearizable}}
	for item, err := range l.client[0].At(node).Audit(ctx, q) {
		switch {
		case err != nil:
			t.Fatalf("node %d: %v", node+1, err)
		case item.Replayed:
			continue
		case !item.Accepted || found[item.PCSID] != 0 || item.Seq != l.acked[item.PCSID]:
			t.Errorf("node %d: %+v, the agent was told seq %d", node+1, item, l.acked[item.PCSID])
		}
		found[item.PCSID] = item.Seq
	}
	if len(found) != len(l.acked) {
		t.Errorf("node %d has %d records, %d were acknowledged", node+1, len(found), len(l.acked))
	}
}
