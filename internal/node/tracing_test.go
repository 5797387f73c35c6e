package node_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/trace/tracetest"
	"github.com/recount-ledger/recount/wire"
)

// traced starts a cluster whose nodes send all spans that clients ask for to a collector.
func traced(t *testing.T, n int, tune ...func(*node.Config)) (*nodetest.Cluster, *tracetest.Receiver) {
	r := tracetest.New(t, (*httptest.Server).Start)
	c := nodetest.Start(t, n, append(tune, func(c *node.Config) {
		c.Tracing.Endpoint, c.Tracing.SampleRatio, c.Tracing.ClientRate = r.URL, 0, 1000
	})...)
	return c, r
}

// postTraced submits a body to a node in a trace.
func postTraced(t *testing.T, c *nodetest.Cluster, i int, path, media, id string, body []byte) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL(i)+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", media)
	req.Header.Set("Traceparent", "00-"+id+"-00f067aa0ba902b7-01")
	req.Header.Set("Tracestate", "vendor=secret")
	req.Header.Set("Baggage", "user=secret")
	resp, err := c.HTTPFrom("127.0.0.1").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp
}

// traceOf waits for n spans of a trace, and returns them.
func traceOf(t *testing.T, r *tracetest.Receiver, id string, n int) []tracetest.Span {
	t.Helper()
	var found []tracetest.Span
	r.Await(t, func(all []tracetest.Span) bool {
		found = nil
		for _, x := range all {
			if x.Trace == id {
				found = append(found, x)
			}
		}
		return len(found) >= n
	})
	if len(found) != n {
		t.Errorf("%d spans: %+v", len(found), found)
	}
	return found
}

// tree draws the spans below a parent: name, node, and in brackets what is below.
func tree(spans []tracetest.Span, parent string) string {
	var out []string
	for _, name := range []string{"submit", "pack", "commit", "fold", "forward"} {
		for _, x := range spans {
			if x.Parent == parent && x.Name == name {
				text := x.Name + "@" + x.Node
				if below := tree(spans, x.ID); below != "" {
					text += "(" + below + ")"
				}
				out = append(out, text)
			}
		}
	}
	return strings.Join(out, " ")
}

// TestOneTrace: on three nodes a submission is one trace below the span of its client, whether the leader gets it
// or another node that hands it over. The spans lie within each other, and hold nothing of the record but its
// names.
func TestOneTrace(t *testing.T) {
	c, r := traced(t, 3)
	f := nodetest.NewRecords(t)
	leader := c.Leader()
	for i := range 3 {
		id := fmt.Sprintf("%032x", i+1)
		record := nodetest.Record{Shard: fmt.Sprint("shard-", i), Epoch: 1, Root: "a"}
		body := f.Sign(record)
		resp := postTraced(t, c, i, "/v1/pcs/submit", wire.MediaJSON, id, body)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("node %d: %d", i, resp.StatusCode)
		}
		at, lead := fmt.Sprint("node-", i+1), fmt.Sprint("node-", leader+1)
		want, n := fmt.Sprintf("submit@%[1]s(pack@%[1]s commit@%[1]s fold@%[1]s)", at), 4
		if i != leader {
			n = 7
			want = fmt.Sprintf("submit@%[1]s(pack@%[1]s commit@%[1]s(forward@%[2]s(pack@%[2]s commit@%[2]s)) fold@%[1]s)", at, lead)
		}
		spans := traceOf(t, r, id, n)
		if got := tree(spans, "00f067aa0ba902b7"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		checkSpans(t, spans, map[string]string{
			"recount.pcs_id": record.ID(), "recount.shard_id": record.Shard, "recount.outcome": "accepted",
			"recount.reason_code": "ok", "recount.replayed": "false", "http.response.status_code": "200",
			"http.route": "/v1/pcs/submit", "http.request.method": "POST",
			"recount.request_id": resp.Header.Get(wire.HeaderRequestID), "recount.seq": "*",
		})
	}
}

// checkSpans compares the attributes of the request, and looks whether every span lies within the one above it.
func checkSpans(t *testing.T, spans []tracetest.Span, want map[string]string) {
	t.Helper()
	byID := map[string]tracetest.Span{}
	for _, x := range spans {
		byID[x.ID] = x
	}
	for _, x := range spans {
		if up, ok := byID[x.Parent]; ok && (x.Begin.Before(up.Begin) || x.End.After(up.End)) {
			t.Errorf("%s lies outside of %s: %+v %+v", x.Name, up.Name, x, up)
		}
		if x.End.Before(x.Begin) || x.State != "" || strings.Contains(fmt.Sprint(x), "secret") {
			t.Errorf("%+v", x)
		}
		switch x.Name {
		case "submit":
			if x.Kind != otlp.Span_SPAN_KIND_SERVER {
				t.Errorf("kind %v", x.Kind)
			}
			for name, value := range want {
				if got := x.Attributes[name]; got != value && (value != "*" || got == "") {
					t.Errorf("%s is %q, want %q", name, got, value)
				}
			}
			if len(x.Attributes) != len(want) {
				t.Errorf("%v", x.Attributes)
			}
		case "forward":
			if fmt.Sprint(x.Attributes) != "map[recount.committed:true]" {
				t.Errorf("%v", x.Attributes)
			}
		default:
			if len(x.Attributes) > 0 {
				t.Errorf("%s has %v", x.Name, x.Attributes)
			}
		}
	}
}

// TestOtherTraces: a refusal has one span, a batch has its groups, and a node without a collector takes what others
// trace.
func TestOtherTraces(t *testing.T) {
	c, r := traced(t, 3)
	f := nodetest.NewRecords(t)
	leader := c.Leader()
	c.Tune(leader, func(c *node.Config) { c.Tracing.Endpoint = "" })
	c.Stop(leader)
	c.Restart(leader)
	c.AwaitReady(leader)
	c.Lead(leader)
	other := (leader + 1) % 3
	malformed, batch, forwarded := strings.Repeat("a", 32), strings.Repeat("b", 32), strings.Repeat("c", 32)
	if resp := postTraced(t, c, other, "/v1/pcs/submit", wire.MediaJSON, malformed, []byte("{}")); resp.StatusCode != http.StatusBadRequest {
		t.Fatal(resp.Status)
	}
	spans := traceOf(t, r, malformed, 1)
	if a := spans[0].Attributes; a["recount.outcome"] != "refused" || a["http.response.status_code"] != "400" || spans[0].Failed {
		t.Errorf("%+v", spans[0])
	}
	var lines []byte
	for epoch := range 3 {
		lines = append(append(lines, f.Sign(nodetest.Record{Shard: "batch", Epoch: int64(epoch + 1), Root: "b"})...), '\n')
	}
	postTraced(t, c, other, "/v1/pcs/submit-batch", wire.MediaNDJSON, batch, lines)
	at := fmt.Sprint("node-", other+1)
	spans = traceOf(t, r, batch, 4)
	if got := tree(spans, "00f067aa0ba902b7"); got != fmt.Sprintf("submit@%[1]s(pack@%[1]s commit@%[1]s fold@%[1]s)", at) {
		t.Error(got)
	}
	if n := spans[0].Attributes["recount.records"]; n != "3" {
		t.Errorf("%s records", n)
	}
	postTraced(t, c, other, "/v1/pcs/submit", wire.MediaJSON, forwarded, f.Sign(nodetest.Record{Shard: "s", Epoch: 1, Root: "c"}))
	traceOf(t, r, forwarded, 4)
	_, page := c.Once(other, http.MethodGet, "/metrics", nil)
	for _, line := range []string{`flk_trace_spans_total{result="dropped"} 0`, `flk_trace_spans_total{result="failed"} 0`, "flk_trace_client_limited_total 0"} {
		if !strings.Contains(string(page), line) {
			t.Errorf("no %s", line)
		}
	}
}

// TestMalformedLinks: a member that sends garbage for links gets an error, and no node fails.
func TestMalformedLinks(t *testing.T) {
	c, _ := traced(t, 3)
	leader := c.Leader()
	other := (leader + 1) % 3
	for _, body := range [][]byte{nil, {17}, {1, 2, 3}, append([]byte{1}, make([]byte, 24)...), {0}} {
		if err := c.Node(other).CallPeer(t.Context(), fmt.Sprint("node-", leader+1), "/v2/forward/traced", body); err == nil ||
			!strings.Contains(err.Error(), "bad_pack") {
			t.Errorf("%v: %v", body, err)
		}
	}
}
