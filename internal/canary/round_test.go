package canary

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// TestWays: a canary is checked, or submitted on request. Each one is sent once to each node, in other bytes, and its
// line names node, canary and way.
func TestWays(t *testing.T) {
	for path, submit := range map[string]bool{client.CheckPath: false, client.SubmitPath: true} {
		var mu sync.Mutex
		bodies := map[string]int{}
		var paths []string
		all := nodes(t, 2, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			bodies[string(body)]++
			paths = append(paths, r.URL.Path)
			mu.Unlock()
			problem(wire.CodeBadSignature)(w, r)
		}, submit)
		var sent []int
		round := Round{Nodes: all, Logged: submit, Progress: func(endpoint string, n, want int) {
			if sent = append(sent, n); endpoint != all[len(sent)-1].Endpoint || want != 16 {
				t.Errorf("%s: %d of %d", endpoint, n, want)
			}
		}}
		report, err := round.Run(t.Context())
		if err != nil || report.Err() != nil {
			t.Fatal(err, report.Err())
		}
		if slices.Sort(paths); len(bodies) != 16 || len(paths) != 16 || paths[0] != path || paths[15] != path {
			t.Errorf("%d records in %d requests to %s and %s", len(bodies), len(paths), paths[0], paths[len(paths)-1])
		}
		if !slices.Equal(sent, []int{8, 16}) {
			t.Errorf("progress %v", sent)
		}
		canaries, err := All()
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range report.Lines {
			want := Line{all[i/8].Endpoint, canaries[i%8].Name, submit, 401, "bad_signature", Refused}
			if line != want {
				t.Errorf("%+v, want %+v", line, want)
			}
		}
	}
}

// TestVerdictOfAFailure: a problem counts as a verifier's refusal only with a refusal's status. A failure of the node
// that carries the same code, and an error without a response, are no answer.
func TestVerdictOfAFailure(t *testing.T) {
	failure := func(status int, code wire.Code) error {
		return &client.Error{Status: status, Problem: &wire.Problem{Status: status, Code: code}}
	}
	for _, c := range []struct {
		name string
		err  error
		want Line
	}{
		{"refused", failure(401, wire.CodeBadSignature), Line{Status: 401, Code: "bad_signature", Verdict: Refused}},
		{"another id", failure(422, wire.CodeIDMismatch),
			Line{Status: 422, Code: string(wire.CodeIDMismatch), Verdict: Refused}},
		{"a failure of the node", failure(500, wire.CodeBadSignature),
			Line{Status: 500, Code: "bad_signature", Verdict: NoAnswer}},
		{"of no verifier", failure(403, wire.CodeForbidden),
			Line{Status: 403, Code: string(wire.CodeForbidden), Verdict: NoAnswer}},
		{"frozen", failure(503, wire.CodeFrozen), Line{Status: 503, Code: string(wire.CodeFrozen), Verdict: Frozen}},
		{"no problem document", &client.Error{Status: 403}, Line{Status: 403, Verdict: NoAnswer}},
		{"no response", errors.New("connection refused"), Line{Verdict: NoAnswer}},
	} {
		got := sendOne(t.Context(), func(context.Context, []byte) (*client.Result, error) { return nil, c.err }, nil)
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestWorstFinding: of several findings a round reports the worst one, with its own count.
func TestWorstFinding(t *testing.T) {
	lines := []Line{{Verdict: Refused}}
	for _, c := range []struct {
		add  Line
		err  error
		says string
	}{
		{Line{Verdict: Refused}, nil, ""},
		{Line{Verdict: NoAnswer, Code: "internal"}, ErrNoAnswer, "1 of 3 canaries got no answer"},
		{Line{Verdict: NoAnswer, Code: string(wire.CodeForbidden)}, ErrTurnedAway, "1 of 4 canaries were turned away"},
		{Line{Verdict: Frozen}, ErrFrozen, "1 of 5 canaries were stopped only by a freeze"},
		{Line{Verdict: LetThrough, Code: string(wire.CodeNotFound)}, ErrLetThrough, "1 of 6 canaries were let through"},
	} {
		lines = append(lines, c.add)
		var r Report
		for _, l := range lines {
			r.add(l)
		}
		err := r.Err()
		if !errors.Is(err, c.err) || err != nil && (c.err == nil || !strings.HasPrefix(err.Error(), c.says)) {
			t.Errorf("%+v: %v, want %q", c.add, err, c.says)
		}
	}
}

// silent is a node that never responds.
func silent(ctx context.Context, _ []byte) (*client.Result, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestSilentNode: a node that does not respond delays a round by 5 s, and the next node is asked all the same. The
// end of the context ends a round with what it has found.
func TestSilentNode(t *testing.T) {
	refuse := func(context.Context, []byte) (*client.Result, error) {
		return nil, &client.Error{Status: 401, Problem: &wire.Problem{Code: wire.CodeBadSignature}}
	}
	synctest.Test(t, func(t *testing.T) {
		round := Round{Nodes: []Node{{"a", silent}, {"b", refuse}}}
		began := time.Now()
		report, err := round.Run(t.Context())
		took := time.Since(began)
		if err != nil || took != 5*time.Second || report.NoAnswer != 8 || report.Refused != 8 {
			t.Errorf("%v after %v: %+v", err, took, report)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		report, err = round.Repeat(ctx, time.Minute, func(*Report) error {
			t.Error("a round that was cut")
			return nil
		})
		if !errors.Is(err, context.DeadlineExceeded) || report == nil || report.Sent != 16 {
			t.Errorf("%v: %+v", err, report)
		}
	})
}

// TestPause: rounds follow each other after the pause. A pause of 0 is one round, and the end of the context during a
// pause is no error.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		began := time.Now()
		round := Round{Nodes: []Node{}}
		note := func(*Report) error { at = append(at, time.Since(began)); return nil }
		if _, err := round.Repeat(t.Context(), 0, note); err != nil || len(at) != 1 {
			t.Errorf("%v after %v", err, at)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
		defer cancel()
		report, err := round.Repeat(ctx, time.Minute, note)
		if err != nil || report == nil || !slices.Equal(at[1:], []time.Duration{0, time.Minute, 2 * time.Minute}) {
			t.Errorf("%v, rounds at %v", err, at)
		}
		if took := time.Since(began); took != 150*time.Second {
			t.Errorf("the end of the context is noticed after %v", took)
		}
	})
}

// TestTextfileFails: a file that cannot be replaced stays, and no other appears.
func TestTextfileFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "canary.prom")
	good := Report{At: "2026-01-02T03:04:05Z", Sent: 1}
	if err := good.WriteTextfile(path); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := (&Report{At: "yesterday", Sent: 2}).WriteTextfile(path); err == nil {
		t.Error("a report of no time")
	}
	if err := good.WriteTextfile(filepath.Join(path, "x")); err == nil {
		t.Error("a file as a directory")
	}
	if err := os.Mkdir(filepath.Join(dir, "taken.tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := good.WriteTextfile(filepath.Join(dir, "taken")); err == nil {
		t.Error("a directory in the way")
	}
	after, err := os.ReadFile(path)
	there, errDir := os.ReadDir(dir)
	if err != nil || string(after) != string(before) || errDir != nil || len(there) != 2 {
		t.Errorf("%v %v: %v, %s", err, errDir, there, after)
	}
}
