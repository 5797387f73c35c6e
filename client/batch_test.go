package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// batches is a node that takes batches. judge answers the n-th sending of a record. A nil answer ends the response, and
// cuts the connection if cut is set.
type batches struct {
	t     *testing.T
	judge func(record string, times int) any
	cut   bool

	mu       sync.Mutex
	times    map[string]int
	requests [][]string // records of each request, with the path if it is a single one
}

func newBatches(t *testing.T, judge func(record string, times int) any) *batches {
	return &batches{t: t, judge: judge, times: map[string]int{}}
}

func (n *batches) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		n.t.Error(err)
	}
	records := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
	if r.URL.Path == SubmitPath {
		records = []string{string(body)}
	} else if r.URL.Path != BatchPath || r.Header.Get("Content-Type") != wire.MediaNDJSON {
		n.t.Errorf("%s %v", r.URL, r.Header)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.requests = append(n.requests, records)
	for i, record := range records {
		n.times[record]++
		a := n.judge(record, n.times[record])
		if a == nil {
			if n.cut {
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
			return
		}
		if r.URL.Path == SubmitPath {
			reply(w, 200, a)
			return
		}
		n.line(w, i+1, a)
	}
}

func (n *batches) line(w io.Writer, number int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		n.t.Error(err)
	}
	status := ""
	if _, problem := v.(*wire.Problem); !problem { // which has its status
		status = `"status":200,`
	}
	fmt.Fprintf(w, `{"line":%d,%s%s`+"\n", number, status, text[1:])
}

// bodies returns records as bytes.
func bodies(records ...string) (out [][]byte) {
	for _, r := range records {
		out = append(out, []byte(r))
	}
	return out
}

func ofNumbers(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf(`{"n":%d}`, i))
	}
	return out
}

// TestBatchSendsAgainWhatHasNoAnswer: records without a final response are sent again in their order, those with one
// are not, and each gets what a single submission would get.
func TestBatchSendsAgainWhatHasNoAnswer(t *testing.T) {
	busy := []wire.Code{wire.CodeThrottled, wire.CodeNoLeader, wire.CodeOutcomeUnknown, wire.CodeOverloaded}
	n := newBatches(t, func(record string, times int) any {
		var r struct{ N int }
		_ = json.Unmarshal([]byte(record), &r) // it is one
		switch {
		case r.N%5 == 1:
			return wire.NewProblem(wire.CodeBadSignature, "")
		case r.N%5 == 2 && times < 3:
			return wire.NewProblem(busy[r.N%len(busy)], "")
		}
		a := accepted
		a.Seq = uint64(r.N + 1)
		return a
	})
	s, ca := server(t, n.ServeHTTP)
	all := ofNumbers(600)
	out := SubmitBatch(deadline(t, 30*time.Second), connect(t, fast(ca, s.URL)), bodies(all...))
	for i, o := range out {
		got, err := o.Result()
		switch {
		case i%5 == 1:
			var p *wire.Problem
			if !errors.Is(err, ErrRejected) || !errors.As(err, &p) || p.Code != wire.CodeBadSignature || n.times[all[i]] != 1 {
				t.Errorf("%d: %v, sent %d times", i, err, n.times[all[i]])
			}
		case err != nil || got.Seq != uint64(i+1) || got.Endpoint != s.URL || n.times[all[i]] != got.Attempts || got.Status != 200:
			t.Errorf("%d: %+v %v, sent %d times", i, got, err, n.times[all[i]])
		}
	}
	if len(n.requests) != 9 || len(n.requests[0]) != 256 || len(n.requests[8]) != 18 {
		t.Errorf("%d requests", len(n.requests))
	}
	for i, r := range n.requests {
		if !slices.IsSortedFunc(r, func(a, b string) int { return slices.Index(all, a) - slices.Index(all, b) }) {
			t.Errorf("request %d is out of order", i)
		}
	}
}

// TestBatchCutInTheMiddle: lines that came before the connection broke are final. The others are sent again, to another
// node.
func TestBatchCutInTheMiddle(t *testing.T) {
	for _, cut := range []bool{true, false} {
		n := newBatches(t, func(record string, times int) any {
			if record == `{"n":7}` && times == 1 {
				return nil
			}
			return accepted
		})
		n.cut = cut
		s, ca := server(t, n.ServeHTTP)
		for _, o := range SubmitBatch(deadline(t, 20*time.Second), connect(t, fast(ca, s.URL)), bodies(ofNumbers(20)...)) {
			if _, err := o.Result(); err != nil {
				t.Error(err)
			}
		}
		if len(n.requests) != 2 || !slices.Equal(n.requests[1], ofNumbers(20)[7:]) {
			t.Errorf("cut %v: %v", cut, n.requests)
		}
	}
}

// TestBatchKeepsTheOrder: records are sent again in their order, in whatever order a node answered.
func TestBatchKeepsTheOrder(t *testing.T) {
	n := newBatches(t, func(string, int) any { return accepted })
	first := true
	s, ca := server(t, func(w http.ResponseWriter, r *http.Request) {
		if first {
			first = false
			n.line(w, 3, wire.NewProblem(wire.CodeNoLeader, ""))
			return
		}
		n.ServeHTTP(w, r)
	})
	SubmitBatch(deadline(t, 20*time.Second), connect(t, fast(ca, s.URL)), bodies("1", "2", "3", "4"))
	if len(n.requests) != 1 || !slices.Equal(n.requests[0], []string{"1", "2", "3", "4"}) {
		t.Errorf("%v", n.requests)
	}
}

// TestBatchWithoutAnEnd: when the time is over, each record has the error that a single submission would have.
func TestBatchWithoutAnEnd(t *testing.T) {
	n := newBatches(t, func(record string, times int) any {
		switch record {
		case "1":
			return accepted
		case "2":
			return wire.NewProblem(wire.CodeOutcomeUnknown, "")
		case "4":
			return nil
		}
		return wire.NewProblem(wire.CodeNoLeader, "").WithRetry(10 * time.Millisecond)
	})
	n.cut = true
	s, ca := server(t, n.ServeHTTP)
	out := SubmitBatch(deadline(t, 300*time.Millisecond), connect(t, fast(ca, s.URL)), bodies("1", "2", "3", "4"))
	for i, want := range []error{nil, ErrOutcomeUnknown, ErrUnavailable, ErrOutcomeUnknown} {
		_, err := out[i].Result()
		var failure *Error
		if i == 2 && errors.Is(err, ErrOutcomeUnknown) && errors.Is(err, context.DeadlineExceeded) {
			want = ErrOutcomeUnknown // the time was over during an attempt, so nobody knows
		}
		if !errors.Is(err, want) || want != nil && (!errors.As(err, &failure) || failure.Attempts < 2 || failure.Endpoint != s.URL) {
			t.Errorf("record %d: %v, want %v", i+1, err, want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, o := range SubmitBatch(ended, connect(t, fast(ca, s.URL)), bodies("1", "2")) {
		if _, err := o.Result(); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("nothing was sent: %v", err)
		}
	}
}

// TestBatchAlone: a node or a proxy that takes no batches gets single submissions, and so does any node for records that
// are no line.
func TestBatchAlone(t *testing.T) {
	for _, code := range []wire.Code{wire.CodeNotFound, wire.CodeMethod, wire.CodeTooLarge, ""} {
		n := newBatches(t, func(string, int) any { return accepted })
		s, ca := server(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == SubmitPath:
				n.ServeHTTP(w, r)
			case code == "":
				_, _ = io.WriteString(w, "<html>hello</html>")
			default:
				reply(w, 0, wire.NewProblem(code, ""))
			}
		})
		out := SubmitBatch(deadline(t, 20*time.Second), connect(t, fast(ca, s.URL)), bodies(ofNumbers(3)...))
		for _, o := range out {
			if _, err := o.Result(); err != nil {
				t.Errorf("%q: %v", code, err)
			}
		}
		if len(n.requests) != 3 {
			t.Errorf("%q: %v", code, n.requests)
		}
	}
	n := newBatches(t, func(string, int) any { return accepted })
	s, ca := server(t, n.ServeHTTP)
	large := strings.Repeat("x", batchBytes+1)
	out := SubmitBatch(deadline(t, 20*time.Second), connect(t, fast(ca, s.URL)),
		bodies("1", "2", "a\nb", "c\r", " ", large, "3", "4", "5"))
	for i, o := range out {
		if _, err := o.Result(); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	want := [][]string{{"1", "2"}, {"a\nb"}, {"c\r"}, {" "}, {large}, {"3", "4", "5"}}
	if !slices.EqualFunc(n.requests, want, slices.Equal) {
		t.Errorf("%d requests: %.60q", len(n.requests), n.requests)
	}
}

// TestBatchChangesNodes: a node that refuses a whole batch is left for another one.
func TestBatchChangesNodes(t *testing.T) {
	n := newBatches(t, func(string, int) any { return accepted })
	s, ca := server(t, n.ServeHTTP)
	refused := 0
	bad, badCA := server(t, func(w http.ResponseWriter, _ *http.Request) {
		refused++
		reply(w, 0, wire.NewProblem(wire.CodeNotReady, "").WithRetry(time.Hour))
	})
	c := connect(t, fast(append(ca, badCA...), bad.URL, s.URL))
	out := SubmitBatch(deadline(t, 20*time.Second), c, bodies(ofNumbers(3)...))
	for _, o := range out {
		if got, err := o.Result(); err != nil || got.Endpoint != s.URL || got.Attempts != 2 {
			t.Errorf("%+v %v", got, err)
		}
	}
	if refused != 1 {
		t.Errorf("asked %d times", refused)
	}
}
