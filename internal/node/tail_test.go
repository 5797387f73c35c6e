package node_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// liveTail is a stream of submissions of one node.
type liveTail struct {
	t     *testing.T
	lines *bufio.Scanner
	last  string   // id of the last event
	seqs  []uint64 // of the submissions
	gens  []uint32 // what they say
}

// openLive opens a stream behind the event last, from the next one on without.
func openLive(t *testing.T, c *nodetest.Cluster, i int, token, last string) *liveTail {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL(i)+"/v1/audit/stream", nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	if last != "" {
		req.Header.Set(wire.HeaderLastEventID, last)
	}
	resp, err := c.HTTPFrom("127.0.0.1").Do(req)
	must(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("node %d: %s", i+1, resp.Status)
	}
	l := &liveTail{t: t, lines: bufio.NewScanner(resp.Body)}
	l.next() // where it begins, so that nothing that happens from now on is missed
	return l
}

// next reads one event. It returns its end, if it is the last one.
func (l *liveTail) next() *wire.StreamEnded {
	l.t.Helper()
	var kind, data string
	for l.lines.Scan() && l.lines.Text() != "" {
		switch name, value, _ := strings.Cut(l.lines.Text(), ": "); name {
		case "id":
			l.last = value
		case "event":
			kind = value
		case "data":
			data = value
		}
	}
	must(l.t, l.lines.Err())
	switch kind {
	case wire.StreamSubmission:
		var item wire.AuditItem
		must(l.t, json.Unmarshal([]byte(data), &item))
		if fmt.Sprint(item.Seq) != l.last {
			l.t.Errorf("submission %d has the id %s", item.Seq, l.last)
		}
		l.seqs, l.gens = append(l.seqs, item.Seq), append(l.gens, item.Generation)
	case wire.StreamEnd:
		var end wire.StreamEnded
		must(l.t, json.Unmarshal([]byte(data), &end))
		return &end
	}
	return nil
}

// until reads on until a submission.
func (l *liveTail) until(seq uint64) {
	l.t.Helper()
	for len(l.seqs) == 0 || l.seqs[len(l.seqs)-1] < seq {
		if end := l.next(); end != nil {
			l.t.Fatalf("it ended before submission %d: %+v", seq, end)
		}
	}
}

// ended reads the stream to its end.
func (l *liveTail) ended(reason string) {
	l.t.Helper()
	for began := time.Now(); ; {
		if end := l.next(); end != nil {
			last, err := strconv.ParseUint(l.last, 10, 64)
			must(l.t, err)
			if end.Seq < last || end.Reason != reason || end.Detail == "" {
				l.t.Errorf("%+v behind event %s, want %s", end, l.last, reason)
			}
			l.last = fmt.Sprint(end.Seq) // events that are no submissions may be behind the last id
			l.t.Logf("it ended after %s", time.Since(began).Round(time.Millisecond))
			return
		}
	}
}

// TestTailOverAnActivation: a stream ends when its generation is replaced, on every node, and goes on behind its last event
// with the answers of the other one, without a gap and without a repetition.
func TestTailOverAnActivation(t *testing.T) {
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	sign := func(epoch int64) []byte { return f.Sign(nodetest.Record{Shard: "alpha", Epoch: epoch, Root: "r"}) }
	var tails []*liveTail
	for i := range c.Size() {
		tails = append(tails, openLive(t, c, i, c.Tokens[wire.RoleAuditor], ""))
	}
	seq := submitAll(t, c, 1, [][]byte{sign(1)})[0].Seq
	number := r.start(r.publish(plainPolicy))
	for _, l := range tails {
		l.until(seq)
	}
	r.activate(number, r.diff(number).Digest)
	after := submitAll(t, c, 1, [][]byte{sign(2)})[0].Seq
	for i, l := range tails {
		l.ended(wire.EndedGeneration)
		next := openLive(t, c, (i+1)%3, c.Tokens[wire.RoleAuditor], l.last) // another node knows the place too
		next.until(after)
		if got := append(l.seqs, next.seqs...); len(got) != 2 || got[0] != seq || got[1] != after {
			t.Errorf("node %d: submissions %v, want %d and %d", i+1, got, seq, after)
		}
		if l.gens[0] != 1 || next.gens[0] != number {
			t.Errorf("node %d: generations %v, then %v", i+1, l.gens, next.gens)
		}
	}
}

// TestTailOfARevokedToken: streams end soon after their token was revoked through another node, and those of other
// tokens go on.
func TestTailOfARevokedToken(t *testing.T) {
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	text, id := newToken(t, t.Context(), c, 0, wire.RoleAuditor, "anna", time.Hour)
	var revoked, others []*liveTail
	for i := range c.Size() {
		revoked = append(revoked, openLive(t, c, i, text, ""))
		others = append(others, openLive(t, c, i, c.Tokens[wire.RoleAuditor], ""))
	}
	if _, err := c.At(1).RevokeToken(t.Context(), id, wire.TokenRevokeRequest{Op: wire.Op{Reason: "gone"}}); err != nil {
		t.Fatal(err)
	}
	for _, l := range revoked {
		l.ended(wire.EndedCredential) // nothing is submitted meanwhile
		if len(l.seqs) != 0 {
			t.Errorf("submissions %v", l.seqs)
		}
	}
	seq := submitAll(t, c, 1, [][]byte{f.Sign(nodetest.Record{Shard: "alpha", Epoch: 1, Root: "r"})})[0].Seq
	for _, l := range others {
		l.until(seq)
	}
}

// TestTailOfAQuarantinedNode: a node that finds its own answers wrong ends its streams, and their readers go on elsewhere.
func TestTailOfAQuarantinedNode(t *testing.T) {
	c := nodetest.Start(t, 3, often)
	f := nodetest.NewRecords(t)
	first := nodetest.Record{Shard: "forgotten", Epoch: 1, Root: "r"}
	seq := submitAll(t, c, 1, [][]byte{f.Sign(first)})[0].Seq
	lead := c.Leader()
	ill := (lead + 1) % 3
	if _, err := c.At(ill).Digest(t.Context(), seq); err != nil { // waits for the fold there
		t.Fatal(err)
	}
	c.Stop(ill)
	c.ForgetID(ill, first.ID())
	c.Restart(ill)
	c.AwaitReady(ill)
	l := openLive(t, c, ill, c.Tokens[wire.RoleAuditor], "")
	began := l.last
	second := first
	second.Wrong = true
	if status, text := c.Once(lead, http.MethodPost, "/v1/pcs/submit", f.Sign(second)); status != http.StatusConflict {
		t.Fatalf("other values of a known id: %d: %s", status, text)
	}
	l.ended(wire.EndedNotReady)
	withheldBecause(t, c, ill, "quarantine")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL(ill)+"/v1/audit/stream", nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+c.Tokens[wire.RoleAuditor])
	resp, err := c.HTTPFrom("127.0.0.1").Do(req)
	must(t, err)
	if must(t, resp.Body.Close()); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("another stream: %s", resp.Status)
	}
	other := openLive(t, c, lead, c.Tokens[wire.RoleAuditor], began)
	other.until(1)
	c.Stop(ill)
	c.ClearFolds(ill)
	c.Restart(ill)
	c.AwaitReady(ill)
}
