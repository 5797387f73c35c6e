package canary

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// TestEveryCanaryIsRefused: the default policy refuses each canary, with a code that counts as a verifier's refusal.
func TestEveryCanaryIsRefused(t *testing.T) {
	canaries, err := All()
	if err != nil {
		t.Fatal(err)
	}
	key, err := verify.NewHMACKey([]byte("the key of honest agents"))
	if err != nil {
		t.Fatal(err)
	}
	keySet := verify.NewKeySet([]verify.Key{key})
	seen := map[string]bool{}
	for _, c := range canaries {
		body, err := c.Record(1)
		if err != nil {
			t.Fatal(err)
		}
		rec := pcs.Decode(body)
		v := verify.Evaluate(verify.DefaultPolicy(), rec, keySet.Check(rec, verify.Facts{}), 0)
		if v.Outcome != verify.Refused || rec.ShardID != Shard || seen[c.Name] {
			t.Errorf("%s: %v (%v), shard %q", c.Name, v.Outcome, v.Reason, rec.ShardID)
		}
		seen[c.Name] = true
	}
}

// nodes returns a client's view of servers that all respond with one handler. With submit it submits the records.
func nodes(t *testing.T, count int, h http.HandlerFunc, submit bool) []Node {
	t.Helper()
	cfg := client.Config{AttemptTimeout: time.Second}
	for range count {
		server := httptest.NewTLSServer(h)
		t.Cleanup(server.Close)
		cfg.Endpoints = append(cfg.Endpoints, server.URL)
		block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
		cfg.CA = append(cfg.CA, pem.EncodeToMemory(block)...)
	}
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return Nodes(c, submit)
}

func problem(code wire.Code) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		p := wire.NewProblem(code, "")
		w.WriteHeader(p.Status)
		_ = json.NewEncoder(w).Encode(p)
	}
}

// TestVerdicts: only a verifier's own refusal counts as one. The refusal of something in between does not.
func TestVerdicts(t *testing.T) {
	for name, c := range map[string]struct {
		node http.HandlerFunc
		err  error
		sum  func(*Report) int
	}{
		"refused": {problem(wire.CodeBadSignature), nil, func(r *Report) int { return r.Refused }},
		"accepted": {func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(wire.SubmitAnswer{Outcome: wire.OutcomeAccepted, ReasonCode: "ok"})
		}, ErrLetThrough, func(r *Report) int { return r.LetThrough }},
		"frozen": {func(w http.ResponseWriter, _ *http.Request) {
			p := wire.NewProblem(wire.CodeFrozen, "").WithRetry(time.Minute)
			w.WriteHeader(p.Status)
			_ = json.NewEncoder(w).Encode(p)
		}, ErrFrozen, func(r *Report) int { return r.Frozen }},
		"without a token":  {problem(wire.CodeUnauthorized), ErrTurnedAway, (*Report).turnedAway},
		"of another role":  {problem(wire.CodeForbidden), ErrTurnedAway, (*Report).turnedAway},
		"an older release": {problem(wire.CodeNotFound), ErrTurnedAway, (*Report).turnedAway},
		"a proxy's 403": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "forbidden", http.StatusForbidden)
		}, ErrNoAnswer, func(r *Report) int { return r.NoAnswer }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			round := Round{Nodes: nodes(t, 2, c.node, false)}
			report, err := round.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !errors.Is(report.Err(), c.err) || report.Sent != 16 || c.sum(report) != 16 {
				t.Errorf("%v, want %v: %+v", report.Err(), c.err, report)
			}
		})
	}
}

// TestAtOnce: a node gets all canaries at once, so that one that does not respond delays a round once.
func TestAtOnce(t *testing.T) {
	canaries, err := All()
	if err != nil {
		t.Fatal(err)
	}
	var came atomic.Int64
	all := make(chan struct{})
	round := Round{Nodes: nodes(t, 1, func(w http.ResponseWriter, r *http.Request) {
		if came.Add(1) == int64(len(canaries)) {
			close(all)
		}
		select {
		case <-all:
		case <-r.Context().Done():
		}
		problem(wire.CodeBadSignature)(w, r)
	}, false)}
	if report, err := round.Run(t.Context()); err != nil || report.Refused != len(canaries) {
		t.Errorf("%v: %+v", err, report)
	}
}

// TestRepeat: rounds follow each other until the context ends, which is no error.
func TestRepeat(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	round := Round{Nodes: nodes(t, 1, problem(wire.CodeBadSignature), false)}
	rounds := 0
	report, err := round.Repeat(ctx, time.Nanosecond, func(r *Report) error {
		if rounds++; rounds == 3 {
			cancel()
		}
		return r.Err()
	})
	if err != nil || rounds != 3 || report.Refused != 8 {
		t.Errorf("%d rounds: %v, %+v", rounds, err, report)
	}
	stop := errors.New("stop")
	if _, err := round.Repeat(t.Context(), time.Nanosecond, func(*Report) error { return stop }); err != stop {
		t.Errorf("%v", err)
	}
}

// TestTextfile: the file has every count, and a later round replaces it.
func TestTextfile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "canary.prom")
	r := Report{At: "2026-01-02T03:04:05Z"}
	for _, verdict := range []string{Refused, Refused, LetThrough, Frozen, NoAnswer} {
		r.add(Line{Verdict: verdict})
	}
	for _, report := range []*Report{{At: r.At}, &r} {
		if err := report.WriteTextfile(path); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"# TYPE recount_canary_let_through gauge", "recount_canary_sent 5", "recount_canary_let_through 1",
		"recount_canary_frozen 1", "recount_canary_no_answer 1",
		"recount_canary_last_run_timestamp_seconds 1767323045",
	} {
		if !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
}
