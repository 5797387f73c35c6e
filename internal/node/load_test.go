package node_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/nodetest"
)

// load is a number of agents that submit new records without end.
type load struct {
	t        *testing.T
	c        *nodetest.Cluster
	cl       *client.Client // over the nodes at the start
	answered atomic.Int64
	lost     atomic.Int64 // calls that ended without an answer
	stop     context.CancelFunc
	running  sync.WaitGroup
}

func startLoad(t *testing.T, c *nodetest.Cluster, f *nodetest.Records, agents int) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{t: t, c: c, cl: c.Client, stop: cancel}
	t.Cleanup(l.end)
	for agent := range agents {
		l.running.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				l.submit(f.Sign(nodetest.Record{
					Shard: fmt.Sprintf("agent-%d", agent),
					Epoch: int64(i),
					Root:  "r",
					Wrong: i%5 == 4,
				}))
			}
		})
	}
	return l
}

func (l *load) submit(body []byte) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.t.Context()), opTime)
	defer cancel()
	a, err := l.c.Submit(ctx, l.cl, body)
	switch {
	case errors.Is(err, client.ErrOutcomeUnknown), errors.Is(err, client.ErrUnavailable):
		l.lost.Add(1)
	case err != nil:
		l.t.Errorf("submit: %v", err)
	case a.Status != http.StatusOK && a.Status != http.StatusAccepted:
		l.t.Errorf("status %d", a.Status)
	default:
		l.answered.Add(1)
	}
}

// await waits for so many more answers.
func (l *load) await(more int64) {
	l.t.Helper()
	from := l.answered.Load()
	l.c.Await(fmt.Sprintf("%d answers", more), func() error {
		if n := l.answered.Load() - from; n < more {
			return fmt.Errorf("%d only", n)
		}
		return nil
	})
}

// end lets the calls in progress finish.
func (l *load) end() {
	l.stop()
	l.running.Wait()
}

// TestCloseUnderLoad: closing nodes one after another, and all at once, loses no record that was acknowledged.
func TestCloseUnderLoad(t *testing.T) {
	c := nodetest.Start(t, 3)
	l := startLoad(t, c, nodetest.NewRecords(t), 8)
	for i := range c.Size() {
		l.await(40)
		c.Stop(i)
		l.await(20)
		c.Restart(i)
		c.AwaitReady(i)
	}
	l.await(40)
	stopAll(c)
	for i := range c.Size() {
		c.Restart(i)
	}
	l.await(40)
	l.end()
	for i := range c.Size() {
		c.AwaitReady(i)
	}
	c.Check()
	t.Logf("%d answered, %d without an answer", l.answered.Load(), l.lost.Load())
}
