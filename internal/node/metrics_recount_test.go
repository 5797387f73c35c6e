package node_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/nodetest"
)

// TestMetricsOfARecount: the gauges follow a generation from its start over its activation, and say how many outcomes differ.
func TestMetricsOfARecount(t *testing.T) {
	c := nodetest.Start(t, 1)
	r, f := newRecounter(t, c), nodetest.NewRecords(t)
	c.Once(0, http.MethodPost, client.SubmitPath, f.Sign(nodetest.Record{Shard: "s", Epoch: 1, Root: "r"}))
	c.Once(0, http.MethodPost, client.SubmitPath, f.Sign(nodetest.Record{Shard: "s", Epoch: 2, Root: "r", Bare: true}))
	want := func(step string, values map[string]float64) {
		t.Helper()
		c.Await(step, func() error {
			for name, v := range values {
				if got := metricOf(t, c, name); got != v {
					return fmt.Errorf("%s is %v, not %v", name, got, v)
				}
			}
			return nil
		})
	}
	want("no recount", map[string]float64{"flk_generation": 1, "flk_recount_generation": 0, "flk_recount_folded_seq": 0,
		"flk_recount_flips": 0, "flk_recount_paused": 0, "flk_recount_failed": 0})
	number := r.start(r.publish(laxPolicy))
	head := metricOf(t, c, "flk_applied_seq")
	want("built", map[string]float64{"flk_generation": 1, "flk_recount_generation": 2, "flk_recount_folded_seq": head,
		"flk_recount_compared_seq": head, "flk_recount_flips": 1})
	r.activate(number, r.diff(number).Digest)
	want("active", map[string]float64{"flk_generation": 2, "flk_recount_generation": 1, "flk_recount_failed": 0})
}
