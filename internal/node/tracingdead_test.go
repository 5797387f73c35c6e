package node_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/trace/tracetest"
)

// TestHangingCollector: a node that traces everything, and whose collector takes requests and never answers, gives every
// outcome in about the time of a node that traces nothing. Both get the same records in turns. The spans are dropped, and the
// node stops at once.
func TestHangingCollector(t *testing.T) {
	r := tracetest.New(t, (*httptest.Server).Start)
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	r.Answer = func(http.ResponseWriter, *http.Request) bool {
		<-ended
		return true
	}
	traced := nodetest.Start(t, 1, func(c *node.Config) { c.Tracing.Endpoint, c.Tracing.SampleRatio = r.URL, 1 })
	clusters := []*nodetest.Cluster{nodetest.Start(t, 1), traced}
	took := make([][]time.Duration, 2)
	var mu sync.Mutex
	var clients sync.WaitGroup
	for client := range 4 {
		f := nodetest.NewRecords(t)
		clients.Go(func() {
			for epoch := range 200 {
				body := f.Sign(nodetest.Record{Shard: fmt.Sprint("shard-", client), Epoch: int64(epoch + 1), Root: "a"})
				for i, c := range clusters {
					began := time.Now()
					status, answer := c.Once(0, http.MethodPost, "/v1/pcs/submit", body)
					mu.Lock()
					if took[i] = append(took[i], time.Since(began)); status != http.StatusOK {
						t.Errorf("%d %s", status, answer)
					}
					mu.Unlock()
				}
			}
		})
	}
	clients.Wait()
	medians := make([]time.Duration, 2)
	for i := range took {
		slices.Sort(took[i])
		medians[i] = took[i][len(took[i])/2]
	}
	t.Logf("median %v without a collector, %v with one that hangs: %.2f times", medians[0], medians[1],
		float64(medians[1])/float64(medians[0]))
	if medians[1] > 3*medians[0] {
		t.Errorf("medians %v", medians)
	}
	_, page := traced.Once(0, http.MethodGet, "/metrics", nil)
	if text := string(page); strings.Contains(text, `flk_trace_spans_total{result="dropped"} 0`) ||
		!strings.Contains(text, `flk_trace_spans_total{result="exported"} 0`) {
		t.Error("nothing was dropped")
	}
	began := time.Now()
	traced.Stop(0)
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("the stop took %v", d)
	}
}
