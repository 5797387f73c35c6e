package node_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

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
		if status, _ := postFrom(t, cl, url,
			f.Sign(nodetest.Record{
				Shard:  "s",
				Epoch:  int64(i),
				Root:   "r",
				Forged: true,
			})); status != http.StatusUnauthorized {
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
	if status, _ := postFrom(t, cl, url,
		f.Sign(nodetest.Record{Shard: "o", Root: "r", Key: "another"})); status != http.StatusOK {
		t.Errorf("another key: %d", status)
	}
	if page := metricsPage(t, c,
		0); !strings.Contains(page, fmt.Sprintf(`flk_throttled_total{limit="key"} %d`, 40-taken)) {
		t.Error("the throttled ones are not in the metrics")
	}
}
