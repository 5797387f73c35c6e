package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// request holds what a node sees of one call.
type request struct {
	line string // method, path and query
	body string // without the op_id
	opID string
}

// recorder is a node that answers everything with the same document and keeps what it was asked.
type recorder struct {
	answer string
	seen   []request
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	seen := request{line: r.Method + " " + r.URL.RequestURI(), body: string(raw)}
	members := map[string]any{}
	if json.Unmarshal(raw, &members) == nil {
		seen.opID, _ = members["op_id"].(string)
		delete(members, "op_id")
		rest, _ := json.Marshal(members) // a map of strings and numbers
		seen.body = string(rest)
	}
	rec.seen = append(rec.seen, seen)
	_, _ = io.WriteString(w, rec.answer) // the client sees it
}

// TestCallsAsTheContractHasThem: method, path, query and body of every call, with escaped names. Operations carry
// an op_id, and reads carry none and no body.
func TestCallsAsTheContractHasThem(t *testing.T) {
	ctx, at := t.Context(), time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	fresh := Read{Consistency: wire.ConsistencySession, MinSeq: 9}
	then := Read{MinSeq: 9, AsOf: "7"}
	op := wire.Op{Reason: "why", Ticket: "INC-7"}
	for _, c := range []struct {
		call func(c *Client) (any, error)
		line string
		body string // "" for a read
	}{
		{func(c *Client) (any, error) { return c.Get(ctx, "ab/c?", fresh) },
			"GET /v1/pcs/ab%2Fc%3F?consistency=session&min_seq=9", ""},
		{func(c *Client) (any, error) { return c.Complete(ctx, "0123abcd", 7, Read{}) },
			"GET /v1/pcs?limit=7&prefix=0123abcd", ""},
		{func(c *Client) (any, error) { return c.Complete(ctx, "0123abcd", 0, Read{}) },
			"GET /v1/pcs?prefix=0123abcd", ""},
		{func(c *Client) (any, error) { return c.Event(ctx, 12, Read{}) }, "GET /v1/events/12", ""},
		{func(c *Client) (any, error) { return c.Shard(ctx, "a b/ü", Read{MinSeq: 3}) },
			"GET /v1/shards/a%20b%2F%C3%BC?min_seq=3", ""},
		{func(c *Client) (any, error) { return c.Cluster(ctx) }, "GET /v1/cluster", ""},
		{func(c *Client) (any, error) { return c.Digest(ctx, 0) }, "GET /v1/digest", ""},
		{func(c *Client) (any, error) { return c.Digest(ctx, 5) }, "GET /v1/digest?min_seq=5&seq=5", ""},
		{func(c *Client) (any, error) { return c.DigestEdge(ctx, 5) }, "GET /v1/digest?edge=true&min_seq=5&seq=5", ""},
		{func(c *Client) (any, error) { return c.Version(ctx) }, "GET /version", ""},
		{func(c *Client) (any, error) { return CopiesOf(c, 0).Create(ctx, "local") }, "POST /v1/copies?consistency=local", ""},
		{func(c *Client) (any, error) { return CopiesOf(c, 0).List(ctx) }, "GET /v1/copies", ""},
		{func(c *Client) (any, error) { return CopiesOf(c, 0).Get(ctx, "a/b") }, "GET /v1/copies/a%2Fb", ""},
		{func(c *Client) (any, error) { return nil, CopiesOf(c, 0).Remove(ctx, "a/b") }, "DELETE /v1/copies/a%2Fb", ""},
		{func(c *Client) (any, error) { return c.Keys(ctx) }, "GET /v1/keys", ""},
		{func(c *Client) (any, error) { return c.Key(ctx, "hmac/1") }, "GET /v1/keys/hmac%2F1", ""},
		{func(c *Client) (any, error) { return c.Freezes(ctx) }, "GET /v1/freezes", ""},
		{func(c *Client) (any, error) { return c.KnownShards(ctx) }, "GET /v1/known-shards", ""},
		{func(c *Client) (any, error) { return c.Tokens(ctx) }, "GET /v1/tokens", ""},
		{func(c *Client) (any, error) { return c.Whoami(ctx) }, "GET /v1/whoami", ""},
		{func(c *Client) (any, error) { return c.Approvals(ctx) }, "GET /v1/approvals", ""},
		{func(c *Client) (any, error) { return c.Generations(ctx) }, "GET /v1/generations", ""},
		{func(c *Client) (any, error) { return c.Diff(ctx, 2, 7) }, "GET /v1/generations/2/diff?position=7", ""},
		{func(c *Client) (any, error) {
			return c.FlipsPage(ctx, FlipsQuery{Generation: 4294967295, Shard: "s", Key: "k", Reason: "r", Position: 1,
				FromSeq: 2, Limit: 3, Cursor: "c", Read: fresh})
		}, "GET /v1/generations/4294967295/flips?consistency=session&cursor=c&from_seq=2&key=k&limit=3&min_seq=9" +
			"&position=1&reason=r&shard=s", ""},
		{func(c *Client) (any, error) {
			return c.AuditPage(ctx, AuditQuery{Shard: "s", Key: "k", Outcome: "refused", Reason: "r", UnknownShards: true,
				PCS: "01234567", Policy: "89abcdef", Remote: "10.0.0.0/8", Since: at,
				Until: at.Add(time.Hour), FromSeq: 1, ToSeq: 2, Newest: true, Limit: 3, Cursor: "c",
				Read: Read{AsOf: "77", Generation: 3}})
		}, "GET /v1/audit?as_of=77&cursor=c&from_seq=1&generation=3&key=k&limit=3&order=newest&outcome=refused" +
			"&pcs_id=01234567&policy=89abcdef&reason=r&remote=10.0.0.0%2F8&shard=s&since=2026-01-02T03%3A04%3A05.000000006Z" +
			"&to_seq=2&unknown_shards=true&until=2026-01-02T04%3A04%3A05.000000006Z", ""},
		{func(c *Client) (any, error) { return c.ShardsPage(ctx, ShardsQuery{Cursor: "x y", Limit: 2}) },
			"GET /v1/shards?cursor=x+y&limit=2", ""},
		{func(c *Client) (any, error) { return c.ShardsPage(ctx, ShardsQuery{Read: then}) },
			"GET /v1/shards?as_of=7&min_seq=9", ""},
		{func(c *Client) (any, error) { return c.Shard(ctx, "s", Read{Generation: 2}) }, "GET /v1/shards/s?generation=2", ""},
		{func(c *Client) (any, error) { return c.Get(ctx, "ab", then) }, "GET /v1/pcs/ab?as_of=7&min_seq=9", ""},
		{func(c *Client) (any, error) { return KeysAsOf(ctx, c, then) }, "GET /v1/keys?as_of=7&min_seq=9", ""},
		{func(c *Client) (any, error) { return KeyAsOf(ctx, c, "k/1", then) }, "GET /v1/keys/k%2F1?as_of=7&min_seq=9", ""},
		{func(c *Client) (any, error) { return PoliciesAsOf(ctx, c, then) }, "GET /v1/policies?as_of=7&min_seq=9", ""},
		{func(c *Client) (any, error) { return PolicyAsOf(ctx, c, "ab", then) }, "GET /v1/policies/ab?as_of=7&min_seq=9", ""},
		{func(c *Client) (any, error) { return FreezesAsOf(ctx, c, then) }, "GET /v1/freezes?as_of=7&min_seq=9", ""},
		{func(c *Client) (any, error) { return KnownShardsAsOf(ctx, c, then) }, "GET /v1/known-shards?as_of=7&min_seq=9", ""},
		{func(c *Client) (any, error) { return c.Event(ctx, 3, then.Now()) }, "GET /v1/events/3?min_seq=9", ""},
		{func(c *Client) (any, error) { return c.Submit(ctx, []byte("{}")) }, "POST /v1/pcs/submit", "{}"},
		{func(c *Client) (any, error) { return c.Check(ctx, []byte("{}")) }, "POST /v1/pcs/check", "{}"},
		{func(c *Client) (any, error) {
			return c.CreateToken(ctx, wire.TokenRequest{Op: op, ID: "0123", Role: "agent"})
		},
			"POST /v1/tokens", `{"digest":"","expires_at":"","id":"0123","name":"","reason":"why","role":"agent","ticket":"INC-7"}`},
		{func(c *Client) (any, error) { return c.RevokeToken(ctx, "cert:0a/f", wire.TokenRevokeRequest{Op: op}) },
			"POST /v1/tokens/cert:0a%2Ff/revoke", `{"reason":"why","ticket":"INC-7"}`},
		{func(c *Client) (any, error) { return c.RetireKey(ctx, "k/1", op) },
			"POST /v1/keys/k%2F1/retire", `{"reason":"why","ticket":"INC-7"}`},
		{func(c *Client) (any, error) { return c.ApplyPolicy(ctx, "a/b", wire.ApplyRequest{Op: op}) },
			"POST /v1/policies/a%2Fb/apply", `{"reason":"why","ticket":"INC-7"}`},
		{func(c *Client) (any, error) { return c.Rollback(ctx, wire.RollbackRequest{}) },
			"POST /v1/generations/rollback", `{}`},
	} {
		rec := &recorder{answer: "{}"}
		s, ca := server(t, rec.ServeHTTP)
		if _, err := c.call(connect(t, fast(ca, s.URL))); err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		got := rec.seen[0]
		if len(rec.seen) != 1 || got.line != c.line || got.body != c.body {
			t.Errorf("asked %d times, %s %s, want %s %s", len(rec.seen), got.line, got.body, c.line, c.body)
		}
		if repeatable := strings.HasPrefix(c.line, "GET") || strings.Contains(c.line, "/pcs/") || strings.Contains(c.line, "/copies"); (got.opID == "") != repeatable {
			t.Errorf("%s: op_id %q", c.line, got.opID)
		}
	}
}

// TestConsistencyOfTheClient: the client's own consistency goes with every read of the ledger that has none, and
// with no operation and nothing outside the ledger.
func TestConsistencyOfTheClient(t *testing.T) {
	rec := &recorder{answer: `{}`}
	s, ca := server(t, rec.ServeHTTP)
	cfg := fast(ca, s.URL)
	cfg.Consistency = wire.ConsistencyLocal
	c, ctx := connect(t, cfg), t.Context()
	for _, call := range []func() error{
		func() error { _, err := c.Keys(ctx); return err },
		func() error { _, err := c.Event(ctx, 1, Read{}); return err },
		func() error { _, err := c.Event(ctx, 2, Read{Consistency: wire.ConsistencySession}); return err },
		func() error { _, err := c.AuditPage(ctx, AuditQuery{}); return err },
		func() error { _, err := c.Version(ctx); return err },
		func() error { _, err := c.Rollback(ctx, wire.RollbackRequest{}); return err },
		func() error { _, err := c.Submit(ctx, []byte("{}")); return err },
	} {
		if err := call(); err != nil {
			t.Error(err)
		}
	}
	var lines []string
	for _, r := range rec.seen {
		lines = append(lines, r.line)
	}
	want := []string{"GET /v1/keys?consistency=local", "GET /v1/events/1?consistency=local",
		"GET /v1/events/2?consistency=session", "GET /v1/audit?consistency=local", "GET /version",
		"POST /v1/generations/rollback", "POST /v1/pcs/submit"}
	if !slices.Equal(lines, want) {
		t.Errorf("asked %q\nwant %q", lines, want)
	}
}

// TestAnswersAreDecoded: what a node says reaches the caller, member by member.
func TestAnswersAreDecoded(t *testing.T) {
	ctx := t.Context()
	for _, c := range []struct {
		answer string
		call   func(c *Client) (any, error)
		want   any
	}{
		{`{"pcs_ids":["ab"]}`, func(c *Client) (any, error) { return c.Complete(ctx, "ab", 0, Read{}) }, nil},
		{`{"shard_id":"s","epoch":4,"accepted":3}`, func(c *Client) (any, error) {
			a, err := c.Shard(ctx, "s", Read{})
			if err != nil {
				return nil, err
			}
			return []any{a.ShardID, *a.Epoch, a.Accepted}, nil
		}, []any{"s", int64(4), uint64(3)}},
		{`{"accepted":true,"outcome":"accepted","reason_code":"ok","seq":9}`, func(c *Client) (any, error) {
			a, err := c.Submit(ctx, []byte("{}"))
			if err != nil {
				return nil, err
			}
			return []any{a.Accepted, a.Outcome, a.ReasonCode, a.Seq, a.Status, a.Attempts}, nil
		}, []any{true, wire.OutcomeAccepted, wire.ReasonOK, uint64(9), 200, 1}},
		{`{"outcome":"refused","seq":4}`, func(c *Client) (any, error) {
			a, err := c.Check(ctx, []byte("{}"))
			if err != nil {
				return nil, err
			}
			return []any{a.Outcome, a.Seq}, nil
		}, []any{wire.OutcomeRefused, uint64(4)}},
		{`{"version":"v1"}`, func(c *Client) (any, error) {
			a, err := c.Version(ctx)
			if err != nil {
				return nil, err
			}
			return a.Version, nil
		}, "v1"},
	} {
		rec := &recorder{answer: c.answer}
		s, ca := server(t, rec.ServeHTTP)
		got, err := c.call(connect(t, fast(ca, s.URL)))
		if err != nil || c.want != nil && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v %v, want %v", c.answer, got, err, c.want)
		}
	}
}

// TestCheckIsNeverUnknown: a check commits nothing, so an answer that is missing is no unknown outcome.
func TestCheckIsNeverUnknown(t *testing.T) {
	for _, code := range []wire.Code{wire.CodeOutcomeUnknown, wire.CodeInternal, wire.CodeNoLeader} {
		s, ca := server(t, func(w http.ResponseWriter, _ *http.Request) {
			reply(w, 0, wire.NewProblem(code, "").WithRetry(time.Hour))
		})
		_, err := connect(t, fast(ca, s.URL)).Check(deadline(t, 5*time.Second), []byte("{}"))
		if kind := err.(*Error); kind.MaySent || kind.Is(ErrOutcomeUnknown) {
			t.Errorf("%s: %v", code, err)
		}
		_, err = connect(t, fast(ca, s.URL)).Submit(deadline(t, 5*time.Second), []byte("{}"))
		if kind := err.(*Error); kind.Is(ErrOutcomeUnknown) != (code != wire.CodeNoLeader) {
			t.Errorf("%s: a submission: %v", code, err)
		}
	}
}

// eventsServer answers events as lines, as a node does, two in a response.
func eventsServer(last uint64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var from uint64
		_, _ = fmt.Sscan(r.URL.Query().Get("from"), &from) // 0 without one
		out, n := json.NewEncoder(w), 0
		for seq := max(from, 1); seq <= last && n < 2; seq++ {
			_ = out.Encode(wire.EventAnswer{Seq: seq, Kind: "submission", Payload: []byte{byte(seq)}})
			n++
		}
		end := wire.Trailer{Trailer: true, Count: n}
		if next := max(from, 1) + uint64(n); next <= last {
			end.NextCursor = fmt.Sprint(next)
		}
		_ = out.Encode(end)
	}
}

// TestEventsPage: events come with the number to go on from, and a list that was cut is no list.
func TestEventsPage(t *testing.T) {
	s, ca := server(t, eventsServer(5))
	c := connect(t, fast(ca, s.URL))
	var seqs []uint64
	for from := uint64(1); from != 0; {
		items, next, err := c.EventsPage(t.Context(), EventsQuery{From: from})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range items {
			if e.Payload[0] != byte(e.Seq) {
				t.Errorf("event %d has payload %v", e.Seq, e.Payload)
			}
			seqs = append(seqs, e.Seq)
		}
		from = next
	}
	if !slices.Equal(seqs, []uint64{1, 2, 3, 4, 5}) {
		t.Errorf("%v", seqs)
	}
}

// TestCutEvents: every prefix of a response but the whole one is an error, and so is what follows its trailer.
func TestCutEvents(t *testing.T) {
	whole := `{"seq":1,"kind":"genesis"}` + "\n" + `{"seq":2,"kind":"submission"}` + "\n" +
		`{"trailer":true,"count":2,"next_cursor":"3"}` + "\n"
	body := ""
	s, ca := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	c := connect(t, fast(ca, s.URL))
	page := func(text string) (int, uint64, error) {
		body = text
		items, next, err := c.EventsPage(context.Background(), EventsQuery{Shard: "s", To: 9})
		return len(items), next, err
	}
	if n, next, err := page(whole); n != 2 || next != 3 || err != nil {
		t.Fatalf("%d %d %v", n, next, err)
	}
	bad := []string{whole + `{"seq":3}`, whole + "\n", strings.Replace(whole, `"count":2`, `"count":1`, 1),
		strings.Replace(whole, `"next_cursor":"3"`, `"next_cursor":"c"`, 1)}
	for i := range len(whole) - 2 { // the last line may lack its end
		bad = append(bad, whole[:i])
	}
	for _, text := range bad {
		if n, _, err := page(text); n != 0 || err == nil || !err.(*Error).Is(ErrProtocol) {
			t.Fatalf("%q: %d items, %v", text, n, err)
		}
	}
}
