package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// corpusRecords are records of a corpus, one a line, and for each of them "shard/epoch".
func corpusRecords(t *testing.T, n int) (text string, names []string) {
	t.Helper()
	_, cases := readCorpus(t, "good-hmac.ndjson", n)
	var in strings.Builder
	for _, c := range cases {
		var rec struct {
			ShardID string `json:"shard_id"`
			Epoch   int64
		}
		if err := json.Unmarshal([]byte(*c.Body), &rec); err != nil {
			t.Fatal(err)
		}
		names = append(names, fmt.Sprintf("%s/%d", rec.ShardID, rec.Epoch))
		in.WriteString(*c.Body + "\n")
	}
	return in.String(), names
}

// TestSubmitUsesBatches: many records share requests, and say the same as one request for each, also at a node that
// takes no batches. One record alone, --in-order=file and --check make single requests.
func TestSubmitUsesBatches(t *testing.T) {
	in, _ := corpusRecords(t, 120)
	texts := map[bool]string{}
	for _, old := range []bool{false, true} {
		n := newNode(t)
		n.old = old
		r := run(t, in, "submit", "-", "--dev", dev(t, n), "-o", "json", "--concurrency", "2")
		var s summary
		if err := json.Unmarshal([]byte(r.out), &s); err != nil || s.Records != 120 || n.batches.Load() == 0 {
			t.Fatalf("%+v %v, %d batches", r, err, n.batches.Load())
		}
		s.Seconds, s.PerSecond = 0, 0
		texts[old] = fmt.Sprintf("%+v, exit code %d", s, r.code)
		if !old && n.batches.Load() > 60 {
			t.Errorf("%d batches for 120 records", n.batches.Load())
		}
	}
	if texts[false] != texts[true] {
		t.Errorf("batches:\n%s\nsingles:\n%s", texts[false], texts[true])
	}
	one, _, _ := strings.Cut(in, "\n")
	for _, args := range [][]string{{one}, {in, "--in-order=file"}, {in, "--check"}} {
		n := newNode(t)
		run(t, args[0], append([]string{"submit", "-", "--dev", dev(t, n)}, args[1:]...)...)
		if got := n.batches.Load(); got != 0 || len(n.order) == 0 {
			t.Errorf("%v: %d batches, %d records", args[1:], got, len(n.order))
		}
	}
}

// TestSubmitBatchNamesItsLines: with -o ndjson each record of a batch has its own line, id, status and answer.
func TestSubmitBatchNamesItsLines(t *testing.T) {
	n := newNode(t)
	in, _ := corpusRecords(t, 50)
	in += "{}\n"
	r := run(t, in, "submit", "-", "--dev", dev(t, n), "-o", "ndjson", "--concurrency", "1")
	seen := map[int]bool{}
	lines := strings.Split(in, "\n")
	for text := range strings.Lines(r.out) {
		var l resultLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		var rec struct {
			PCSID string `json:"pcs_id"`
		}
		if err := json.Unmarshal([]byte(lines[l.Line-1]), &rec); err != nil {
			t.Fatal(err)
		}
		if l.ID != rec.PCSID || l.Status == 200 && l.Answer.PCSID != rec.PCSID || l.Status != 200 && l.Problem == nil || seen[l.Line] {
			t.Errorf("%+v is not about %s", l, lines[l.Line-1])
		}
		seen[l.Line] = true
	}
	if len(seen) != 51 || r.code != exitRejected {
		t.Errorf("%d lines, exit code %d: %s", len(seen), r.code, r.err)
	}
}

// TestSubmitBatchStops: a record of a batch without a final answer ends the command as any other does.
func TestSubmitBatchStops(t *testing.T) {
	for _, code := range []wire.Code{wire.CodeInternal, wire.CodeNoLeader} {
		n := newNode(t)
		n.override = func(w http.ResponseWriter, _ *http.Request) bool {
			answer(w, wire.NewProblem(code, "").WithRetry(time.Hour)) // longer than the command may take
			return true
		}
		in, _ := corpusRecords(t, 100)
		want := map[wire.Code]int{wire.CodeInternal: exitUnknown, wire.CodeNoLeader: exitUnavailable}[code]
		if r := run(t, in, "submit", "-", "--dev", dev(t, n), "--timeout", "20s"); r.code != want {
			t.Errorf("%s: %+v", code, r)
		}
	}
}

// TestLanes: each record is sent once, those of a key in their order, and what is no plain
// record is sent alone.
func TestLanes(t *testing.T) {
	var mu sync.Mutex
	got := map[string][]int{}
	l := newLanes(t.Context(), 3, func(all []request) {
		mu.Lock()
		defer mu.Unlock()
		for _, q := range all {
			if len(all) > 1 && !q.isPlain() || len(all) > batchRecords {
				t.Errorf("%d records together", len(all))
			}
			got[q.orderKey] = append(got[q.orderKey], q.line)
		}
	})
	const records = 3000
	for i := range records {
		q := request{line: i, orderKey: fmt.Sprint("k", i%7)}
		q.http.Path, q.http.Method = "/v1/pcs/submit", http.MethodPost
		q.http.Chunked = i%11 == 0
		if i%7 == 6 {
			q.orderKey = ""
		}
		if err := l.put(q); err != nil {
			t.Fatal(err)
		}
	}
	l.wait()
	sum := 0
	for key, lines := range got {
		sum += len(lines)
		for i := 1; i < len(lines) && key != ""; i++ {
			if lines[i] <= lines[i-1] {
				t.Errorf("%s: %d after %d", key, lines[i], lines[i-1])
			}
		}
	}
	if sum != records {
		t.Errorf("%d of %d were sent", sum, records)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := newLanes(ctx, 2, func(all []request) { cancel() })
	for range 2 * 2 * laneRecords {
		if stopped.put(request{}) != nil {
			break
		}
	}
	if stopped.wait(); stopped.put(request{}) == nil {
		t.Error("it takes records after the end")
	}
}
