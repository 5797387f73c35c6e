package node

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/laps"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/internal/trace"
	"github.com/recount-ledger/recount/internal/version"
)

// tracedPath is the path of the peer RPC for a pack of which some records are traced. Its body is that of
// propose.ForwardPath behind a number u8 and as many links (laps.Link) of 24 bytes each. An older leader does not
// know it and has looked at nothing, so the pack goes to propose.ForwardPath then.
const tracedPath = propose.ForwardPath + "/traced"

func newTracer(n *Node) (*trace.Tracer, error) {
	return trace.New(trace.Options{Settings: n.cfg.Tracing, NodeID: n.cfg.NodeID, ClusterID: n.cfg.ClusterID,
		Version: version.Version, Logger: n.log})
}

// follow returns what the API calls for every submission, nil when nothing is traced.
func follow(t *trace.Tracer) func(traceparents []string, began time.Time) api.Trace {
	if t == nil {
		return nil
	}
	return func(traceparents []string, began time.Time) api.Trace {
		if story := t.Follow(traceparents, began); story != nil {
			return story
		}
		return nil
	}
}

// forwardTo sends a pack to the leader, with the links of the records that are traced.
func forwardTo(ctx context.Context, peers peers, leader string, pack []byte) ([]byte, error) {
	links := laps.Links(ctx)
	if len(links) == 0 {
		return peers.Call(ctx, leader, propose.ForwardPath, pack)
	}
	reply, err := peers.Call(ctx, leader, tracedPath, appendTraced(links, pack))
	var remote *cluster.RemoteError
	if errors.As(err, &remote) && remote.Code == cluster.CodeNoHandler {
		return peers.Call(ctx, leader, propose.ForwardPath, pack)
	}
	return reply, err
}

// appendTraced returns the body of tracedPath.
func appendTraced(links []laps.Link, pack []byte) []byte {
	body := make([]byte, 0, 1+len(links)*len(laps.Link{})+len(pack))
	body = append(body, byte(len(links)))
	for _, link := range links {
		body = append(body, link[:]...)
	}
	return append(body, pack...)
}

// cutTraced splits the body of tracedPath.
func cutTraced(body []byte) (links []laps.Link, pack []byte, ok bool) {
	const size = len(laps.Link{})
	if len(body) == 0 || body[0] > laps.MostLinks || len(body) < 1+int(body[0])*size {
		return nil, nil, false
	}
	n, body := int(body[0]), body[1:]
	for range n {
		links = append(links, laps.Link(body))
		body = body[size:]
	}
	return links, body, true
}

// handleTraced accepts the packs of which some records are traced.
func handleTraced(n *Node) {
	n.cluster.Handle(tracedPath, func(ctx context.Context, from string, body []byte) ([]byte, error) {
		links, pack, ok := cutTraced(body)
		if !ok {
			return nil, &cluster.RemoteError{Code: codeBadPack, Message: "malformed links"}
		}
		f := n.tracer.Forwarded(links)
		reply, err := n.acceptForward(f.Watch().In(ctx), from, pack)
		f.End(err)
		return reply, err
	})
}

// traceCollectors count the spans.
func traceCollectors(counts *trace.Counters) []prometheus.Collector {
	spans := func(result string, n *atomic.Uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "flk_trace_spans_total",
			Help: "Spans that the collector of traces took (exported), did not take (failed), and that were " +
				"dropped because too many waited.",
			ConstLabels: prometheus.Labels{"result": result}}, func() float64 { return float64(n.Load()) })
	}
	return []prometheus.Collector{
		spans("exported", &counts.Exported), spans("failed", &counts.Failed), spans("dropped", &counts.Dropped),
		counter("flk_trace_client_limited_total",
			"Submissions whose client asked for a trace above tracing.client_rate.",
			func() float64 { return float64(counts.OverRate.Load()) }),
	}
}
