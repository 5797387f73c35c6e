package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/test/harness"
	"github.com/recount-ledger/recount/wire"
)

// sender sends bodies at a rate, whether or not earlier ones were answered, and counts what became of them.
type sender struct {
	sent, good, throttled, other atomic.Int64

	mu   sync.Mutex
	took []time.Duration // of the good ones, from the time at which each was due
}

func (s *sender) run(ctx context.Context, a *abused, from *http.Client, perSecond int, bodies [][]byte) {
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, 32)
	for _, body := range bodies {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		due := time.Now()
		slots <- struct{}{}
		wg.Go(func() {
			status, _ := a.postFrom(from, 0, body)
			<-slots
			s.count(status, time.Since(due))
		})
	}
}

func (s *sender) count(status int, took time.Duration) {
	s.sent.Add(1)
	switch status {
	case http.StatusOK, http.StatusAccepted:
		s.good.Add(1)
		s.mu.Lock()
		s.took = append(s.took, took)
		s.mu.Unlock()
	case http.StatusTooManyRequests:
		s.throttled.Add(1)
	default:
		s.other.Add(1)
	}
}

func (s *sender) goodput() float64 { return float64(s.good.Load()) / float64(max(1, s.sent.Load())) }

func (s *sender) p99() time.Duration {
	slices.Sort(s.took)
	if len(s.took) == 0 {
		return 0
	}
	return s.took[len(s.took)*99/100]
}

// TestNoisyKey: one key sends ten times what a node takes, many others half of it together. They keep their goodput, and
// their times stay of the same order.
func TestNoisyKey(t *testing.T) {
	rate, keys, seconds := 16, 50, 6
	if full {
		rate, keys, seconds = 100, 1000, 60
	}
	secret := func(i int) string { return fmt.Sprintf("quiet key number %d", i) }
	secrets := []string{harness.BenchKey}
	for i := range keys {
		secrets = append(secrets, secret(i))
	}
	c := abuse(t, 3, fmt.Sprint("TOKEN_RATE=", rate), "PCS_HMAC_KEYS="+strings.Join(secrets, ","))
	quietBodies := func(run string) (out [][]byte) {
		for i := range seconds * rate / 2 {
			out = append(out, c.records.Sign(nodetest.Record{Shard: fmt.Sprint(run, " ", i%keys), Epoch: int64(i), Root: "r", Key: secret(i % keys)}))
		}
		return out
	}
	var noisyBodies [][]byte
	for i := range 12 * rate * seconds {
		noisyBodies = append(noisyBodies, c.records.Sign(nodetest.Record{Shard: "noisy", Epoch: int64(i), Root: "r"}))
	}
	var calm, pressed, noisy sender
	calm.run(c.ctx, c, c.http, rate/2, quietBodies("calm"))
	ctx, cancel := context.WithCancel(c.ctx)
	var wg sync.WaitGroup
	wg.Go(func() { noisy.run(ctx, c, c.from("127.0.0.1"), 10*rate, noisyBodies) })
	c.await("the noisy key to be throttled", func() bool { return noisy.throttled.Load() > 0 })
	pressed.run(c.ctx, c, c.http, rate/2, quietBodies("pressed"))
	cancel()
	wg.Wait()
	t.Logf("%d quiet keys, %d/s of %d/s: goodput %.3f alone and %.3f beside the noisy key, ratio %.3f; p99 %v and %v, ratio %.2f",
		keys, rate/2, rate, calm.goodput(), pressed.goodput(), pressed.goodput()/calm.goodput(), calm.p99(), pressed.p99(),
		float64(pressed.p99())/float64(calm.p99()))
	t.Logf("noisy: %d sent, %d taken, %d throttled", noisy.sent.Load(), noisy.good.Load(), noisy.throttled.Load())
	if calm.goodput() < 0.97 || pressed.goodput() < 0.97*calm.goodput() {
		t.Errorf("goodput %.3f alone, %.3f beside the noisy key", calm.goodput(), pressed.goodput())
	}
	if most := 5*calm.p99() + 2*time.Second; pressed.p99() > most { // one machine carries all nodes and senders
		t.Errorf("p99 %v alone, %v beside the noisy key", calm.p99(), pressed.p99())
	}
	if part := noisy.goodput(); part > 0.5 || noisy.throttled.Load() == 0 {
		t.Errorf("the noisy key got %.2f of what it sent", part)
	}
	if seen := c.metric(0, `flk_throttled_total{limit="node"}`); seen < float64(noisy.throttled.Load()) {
		t.Errorf("%v throttled in the metrics of %d", seen, noisy.throttled.Load())
	}
	sameDigest(t, c.ctx, c.Cluster)
}

// TestForgeriesAreLoggedFairly: one address forges as fast as it can, another has a key that the cluster does not know and
// sends now and then. The log stays within the budget, all of the second one is in it, and the rest is summed. The second
// one begins when the burst of the first, which uses the reserve of the budget up, is two seconds ago.
func TestForgeriesAreLoggedFairly(t *testing.T) {
	seconds := 6
	if full {
		seconds = 60
	}
	c := abuse(t, 3)
	logged := refusals{a: c, seen: sameDigest(t, c.ctx, c.Cluster).Seq, auditor: c.as(wire.RoleAuditor)}
	disk := c.diskUsed(0)
	ctx, cancel := context.WithTimeout(c.ctx, time.Duration(seconds)*time.Second)
	defer cancel()
	began := time.Now()
	var flood atomic.Int64
	var wg sync.WaitGroup
	for w := range 4 {
		cl := c.from("127.0.0.66")
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				status, _ := c.postFrom(cl, 0, c.records.Sign(nodetest.Record{Shard: fmt.Sprint("flood ", w), Epoch: int64(i), Root: "r", Forged: true}))
				if status == http.StatusUnauthorized {
					flood.Add(1)
				}
			}
		})
	}
	c.await("the flood to be over the budget, and its burst", func() bool {
		return flood.Load() >= 100 && time.Since(began) > 2*time.Second
	})
	var bodies [][]byte
	for i := range 4 * (seconds - 3) {
		bodies = append(bodies, c.records.Sign(nodetest.Record{Shard: "unknown key", Epoch: int64(i), Root: "r", Forged: true}))
	}
	var honest sender
	honest.run(c.ctx, c, c.from("127.0.0.7"), 4, bodies)
	wg.Wait()
	elapsed := time.Since(began).Seconds()
	sent := int(flood.Load()) + len(bodies)
	c.await("the sum of what was dropped", func() bool {
		logged.read()
		return logged.kept+logged.dropped == sent
	})
	size := len(bodies[0])
	t.Logf("%d forgeries in %.1f s (%.0f/s), %d of %d bytes in the log (%.1f/s, %.1f KiB/s), %d summed; of the other address %d of %d are in the log; node-1 has %d KiB more on disk",
		sent, elapsed, float64(sent)/elapsed, logged.kept, size, float64(logged.kept)/elapsed, float64(logged.kept*size)/1024/elapsed, logged.dropped,
		logged.honest, len(bodies), (c.diskUsed(0)-disk)/1024)
	if inLog, limit := float64(logged.kept*size), 16384*(1+elapsed)+float64(size); inLog > limit || float64(logged.kept) > 50*(1+elapsed) {
		t.Errorf("%.0f bytes in the log, the budget is %.0f", inLog, limit)
	}
	if logged.dropped == 0 || logged.honest != len(bodies) {
		t.Errorf("%d dropped; %d of the other address are in the log, not %d", logged.dropped, logged.honest, len(bodies))
	}
	if seen := c.metric(0, "flk_refusals_dropped_total"); seen != float64(logged.dropped) {
		t.Errorf("%v dropped in the metrics of the node, %d in the log", seen, logged.dropped)
	}
	sameDigest(t, c.ctx, c.Cluster)
}

// refusals counts what the log has of forgeries after an event.
type refusals struct {
	a                     *abused
	auditor               *client.Client
	seen                  uint64
	kept, dropped, honest int
}

// read goes on to the end of the log.
func (r *refusals) read() {
	r.a.t.Helper()
	for head := sameDigest(r.a.t, r.a.ctx, r.a.Cluster).Seq; r.seen < head; {
		r.seen++
		ev, err := r.auditor.Event(r.a.ctx, r.seen, client.Read{})
		r.a.must(err)
		switch ev.Kind {
		case "submission":
			r.kept++
		case "refusals_dropped":
			var n int
			_, err := fmt.Sscan(strings.Trim(fmt.Sprint(ev.Summary["count"]), `"`), &n)
			r.a.must(err)
			r.dropped += n
		}
		if bytes.Contains(ev.Payload, []byte(`"unknown key"`)) {
			r.honest++
		}
	}
}

// metric reads one sample of node i.
func (a *abused) metric(i int, sample string) float64 {
	a.t.Helper()
	operator := a.HTTP(1)
	defer operator.CloseIdleConnections()
	all, err := a.Metrics(a.ctx, operator, i)
	a.must(err)
	v, ok := all[sample]
	if !ok {
		a.t.Errorf("node %d has no %s", i+1, sample)
	}
	return v
}

// diskUsed is the size of all files of node i, in bytes.
func (a *abused) diskUsed(i int) (size int64) {
	a.t.Helper()
	a.must(filepath.WalkDir(a.NodeDir(i), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return ignoreGone(err)
	}))
	return size
}

// ignoreGone: a running node deletes files.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
