package node_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// long runs the long forms.
var long = os.Getenv("RECOUNT_E2E") == "full"

func hmacKey(t *testing.T, secret string) verify.Key {
	t.Helper()
	k, err := verify.NewHMACKey([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// post sends one body and returns the status, 0 without an answer, and the headers.
func postFrom(t *testing.T, cl *http.Client, url string, body []byte) (int, http.Header) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+client.SubmitPath, bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, nil
	}
	req.Header.Set("Content-Type", wire.MediaJSON)
	resp, err := cl.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)

	return resp.StatusCode, resp.Header
}

// sender sends bodies at a rate, whether or not earlier ones were answered, and counts what became of them.
type sender struct {
	sent, good, throttled, other atomic.Int64

	mu   sync.Mutex
	took []time.Duration // of the good ones, from the time at which each was due
}

func (s *sender) run(ctx context.Context, t *testing.T, cl *http.Client, url string, perSecond int, bodies [][]byte) {
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
			status, _ := postFrom(t, cl, url, body)
			<-slots
			s.count(status, time.Since(due))
		})
	}
}

func (s *sender) count(status int, took time.Duration) {
	s.sent.Add(1)
	switch status {
	case http.StatusOK:
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
	const rate = 16
	keys, seconds := 50, 6
	if long {
		keys, seconds = 1000, 60
	}
	secret := func(i int) string { return fmt.Sprintf("quiet key number %d", i) }
	c := nodetest.Start(t, 3, func(cfg *node.Config) {
		cfg.TokenRate = rate
		for i := range keys {
			cfg.Keys = append(cfg.Keys, hmacKey(t, secret(i)))
		}
	})
	f := nodetest.NewRecords(t)
	quietBodies := func(run string) (out [][]byte) {
		for i := range seconds * rate / 2 {
			out = append(out, f.Sign(nodetest.Record{Shard: fmt.Sprint(run, " ", i%keys), Epoch: int64(i), Root: "r", Key: secret(i % keys)}))
		}
		return out
	}
	var noisyBodies [][]byte
	for i := range 12 * rate * seconds {
		noisyBodies = append(noisyBodies, f.Sign(nodetest.Record{Shard: "noisy", Epoch: int64(i), Root: "r"}))
	}
	cl, url := c.HTTPFrom("127.0.0.1"), c.URL(0)
	var calm, pressed, noisy sender
	calm.run(t.Context(), t, cl, url, rate/2, quietBodies("calm"))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { noisy.run(ctx, t, c.HTTPFrom("127.0.0.1"), url, 10*rate, noisyBodies) })
	c.Await("the noisy key to be throttled", func() error {
		if noisy.throttled.Load() == 0 {
			return fmt.Errorf("%d sent", noisy.sent.Load())
		}
		return nil
	})
	pressed.run(t.Context(), t, cl, url, rate/2, quietBodies("pressed"))
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
	if page := metricsPage(t, c, 0); !strings.Contains(page, `flk_throttled_total{limit="node"}`) {
		t.Error("the throttled ones are not in the metrics")
	}
}

func metricsPage(t *testing.T, c *nodetest.Cluster, i int) string {
	t.Helper()
	status, page := c.Once(i, http.MethodGet, "/metrics", nil)
	if status != http.StatusOK {
		t.Fatalf("metrics: %d", status)
	}
	return string(page)
}

// TestKeyRate: a key has its own limit, and a forger who writes the same shard and id cannot use it up.
func TestKeyRate(t *testing.T) {
	c := nodetest.Start(t, 1, func(cfg *node.Config) {
		cfg.KeyRate, cfg.ThrottleStatus = 2, http.StatusServiceUnavailable
		cfg.Keys = append(cfg.Keys, hmacKey(t, "another"))
	})
	f := nodetest.NewRecords(t)
	cl, url := c.HTTPFrom("127.0.0.1"), c.URL(0)
	for i := range 40 {
		if status, _ := postFrom(t, cl, url, f.Sign(nodetest.Record{Shard: "s", Epoch: int64(i), Root: "r", Forged: true})); status != http.StatusUnauthorized {
			t.Fatalf("a forgery: %d", status)
		}
	}
	taken := 0
	began := time.Now()
	for i := range 40 {
		status, header := postFrom(t, cl, url, f.Sign(nodetest.Record{Shard: "s", Epoch: int64(i), Root: "r"}))
		switch status {
		case http.StatusOK:
			taken++
		case http.StatusServiceUnavailable:
			if header.Get(wire.HeaderRetryAfter) != "1" {
				t.Errorf("Retry-After %q", header.Get(wire.HeaderRetryAfter))
			}
		default:
			t.Errorf("status %d", status)
		}
	}
	if most := 4 + 2*time.Since(began).Seconds() + 1; taken < 4 || float64(taken) > most {
		t.Errorf("%d taken, at most %.0f are due", taken, most)
	}
	if status, _ := postFrom(t, cl, url, f.Sign(nodetest.Record{Shard: "o", Root: "r", Key: "another"})); status != http.StatusOK {
		t.Errorf("another key: %d", status)
	}
	if page := metricsPage(t, c, 0); !strings.Contains(page, fmt.Sprintf(`flk_throttled_total{limit="key"} %d`, 40-taken)) {
		t.Error("the throttled ones are not in the metrics")
	}
}

// TestForgeriesAreLoggedFairly: one address forges as fast as it can, another has a key that the cluster does not know and
// sends now and then. The log stays within the budget, all of the second one is in it, and the rest is summed.
func TestForgeriesAreLoggedFairly(t *testing.T) {
	seconds := 4
	if long {
		seconds = 60
	}
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	before := digest(t, c).Seq
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(seconds)*time.Second)
	defer cancel()
	began := time.Now()
	var flood atomic.Int64
	var wg sync.WaitGroup
	for w := range 4 {
		cl := c.HTTPFrom("127.0.0.66")
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				status, _ := postFrom(t, cl, c.URL(0), f.Sign(nodetest.Record{Shard: fmt.Sprint("flood ", w), Epoch: int64(i), Root: "r", Forged: true}))
				if status == http.StatusUnauthorized {
					flood.Add(1)
				}
			}
		})
	}
	c.Await("the flood to be over the budget", func() error {
		if flood.Load() < 100 {
			return fmt.Errorf("%d", flood.Load())
		}
		return nil
	})
	var bodies [][]byte
	for i := range 4 * (seconds - 1) {
		bodies = append(bodies, f.Sign(nodetest.Record{Shard: "unknown key", Epoch: int64(i), Root: "r", Forged: true}))
	}
	var honest sender
	honest.run(t.Context(), t, c.HTTPFrom("127.0.0.7"), c.URL(0), 4, bodies)
	wg.Wait()
	elapsed := time.Since(began).Seconds()
	sent := int(flood.Load()) + len(bodies)
	var kept, dropped int
	c.Await("the sum of what was dropped", func() error {
		kept, dropped, _ = countRefusals(t, c, before)
		if kept+dropped != sent {
			return fmt.Errorf("%d kept and %d dropped of %d", kept, dropped, sent)
		}
		return nil
	})
	ofHonest := 0
	for seq, head := before+1, digest(t, c).Seq; seq <= head; seq++ {
		ev, err := c.At(0).Event(t.Context(), seq, client.Read{MinSeq: seq})
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(ev.Payload, []byte(`"unknown key"`)) {
			ofHonest++
		}
	}
	size := len(bodies[0])
	t.Logf("%d forgeries in %.1f s (%.0f/s), %d of %d bytes in the log (%.1f/s, %.1f KiB/s), %d summed; of the other address %d of %d are in the log",
		sent, elapsed, float64(sent)/elapsed, kept, size, float64(kept)/elapsed, float64(kept*size)/1024/elapsed, dropped, ofHonest, len(bodies))
	if inLog, limit := float64(kept*size), 16384*(1+elapsed)+float64(size); inLog > limit || float64(kept) > 50*(1+elapsed) {
		t.Errorf("%.0f bytes in the log, the budget is %.0f", inLog, limit)
	}
	if dropped == 0 || ofHonest != len(bodies) {
		t.Errorf("%d dropped; %d of the other address are in the log, not %d", dropped, ofHonest, len(bodies))
	}
	if page := metricsPage(t, c, 0); !strings.Contains(page, fmt.Sprintf("\nflk_refusals_dropped_total %d\n", dropped)) {
		t.Error("the dropped ones are not in the metrics")
	}
}
