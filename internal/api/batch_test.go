package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// batchRequest is a request with a batch.
func batchRequest(body string) *http.Request {
	req := httptest.NewRequest(http.MethodPost, "/v1/pcs/submit-batch", strings.NewReader(body))
	req.Header.Set("Content-Type", wire.MediaNDJSON)
	return req
}

// batch sends a batch that may be outside the contract.
func (r *testServer) batch(req *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	return w
}

// batchLine is one line of a response, as answer or problem.
type batchLine struct {
	wire.BatchLine
	answer  wire.SubmitAnswer
	problem wire.Problem
	text    map[string]any
}

func batchLines(t testing.TB, w *httptest.ResponseRecorder) (out []batchLine) {
	t.Helper()
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != wire.MediaNDJSON {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if !strings.HasSuffix(w.Body.String(), "\n") {
		t.Fatalf("the last line does not end: %q", w.Body)
	}
	for text := range strings.Lines(w.Body.String()) {
		var l batchLine
		for _, v := range []any{&l.BatchLine, &l.answer, &l.problem, &l.text} {
			if err := json.Unmarshal([]byte(text), v); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
		}
		out = append(out, l)
	}
	return out
}

// brief writes lines as "line:status" or "line:status:code".
func brief(lines []batchLine) string {
	var parts []string
	for _, l := range lines {
		part := fmt.Sprintf("%d:%d", l.Line, l.Status)
		if l.problem.Code != "" {
			part += ":" + string(l.problem.Code)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}

// TestBatchSaysWhatSinglesSay: each line has the members of the response to a single submission, and none else besides
// its number and its status.
func TestBatchSaysWhatSinglesSay(t *testing.T) {
	records := []string{
		record("s", 1, nil), record("s", 2, degraded), record("s", 1, nil),
		record("s", 1, func(m map[string]any) { m["D_hat"] = 0 }),
		record("s", 9, func(m map[string]any) { m["sig"] = "bad" }),
		record("ü<&>", 1, nil),
	}
	single, many := newTestServer(t, nil), newTestServer(t, nil)
	var want []map[string]any
	for i, body := range records {
		w := single.post(body, wire.HeaderRequestID, "R-1")
		var m map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		m["line"], m["status"] = float64(i+1), float64(w.Code)
		want = append(want, m)
	}
	req := batchRequest(strings.Join(records, "\n") + "\n")
	req.Header.Set(wire.HeaderRequestID, "R-1")
	w := many.do(req)
	lines := batchLines(t, w)
	if len(lines) != len(want) {
		t.Fatalf("%d lines: %s", len(lines), w.Body)
	}
	for i, l := range lines {
		if fmt.Sprint(l.text) != fmt.Sprint(want[i]) {
			t.Errorf("line %d:\n%v\nsingle:\n%v", i+1, l.text, want[i])
		}
	}
	if got := w.Header().Get("Content-Length"); got != strconv.Itoa(w.Body.Len()) {
		t.Errorf("Content-Length %q of %d bytes", got, w.Body.Len())
	}
	if w.Header().Get(wire.HeaderAppliedSeq) != "4" || w.Header().Get(wire.HeaderRequestID) != "R-1" || w.Header().Get(wire.HeaderNode) != "node-1" {
		t.Errorf("%v", w.Header())
	}
	for i, m := range many.fake.metas {
		if m != single.fake.metas[i] {
			t.Errorf("line %d: %+v, single: %+v", i+1, m, single.fake.metas[i])
		}
	}
	for i, row := range many.fake.rows {
		if string(row.body) != string(single.fake.rows[i].body) {
			t.Errorf("row %d has other bytes", i+1)
		}
	}
	if got, want := many.submissions(), single.submissions(); got != want || !strings.Contains(got, "replayed") {
		t.Errorf("counted\n%s\nsingles\n%s", got, want)
	}
}

// submissions returns the lines of the metrics about submissions.
func (r *testServer) submissions() string {
	var out []string
	for line := range strings.Lines(r.get("/metrics").Body.String()) {
		if strings.HasPrefix(line, "flk_submissions_total{") || strings.HasPrefix(line, "flk_ingest_total ") ||
			strings.HasPrefix(line, "flk_signature_errors_total ") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

// TestBatchBodies: what is a line, what is a fault of a line, and what is one of the body.
func TestBatchBodies(t *testing.T) {
	const most = 2000
	a, b := record("a", 1, nil), record("b", 1, nil)
	wide := func(size int) string { return a + strings.Repeat(" ", size-len(a)) }
	for name, c := range map[string]struct{ body, want string }{
		"one":                        {a, "1:200"},
		"no line feed at the end":    {a + "\n" + b, "1:200 2:200"},
		"line feeds at the end":      {a + "\n\n\n", "1:200"},
		"blank lines":                {"\n \t\n" + a + "\n\r\n\n" + b + "\n", "3:200 6:200"},
		"CRLF":                       {a + "\r\n" + b + "\r\n", "1:200 2:200"},
		"two CR":                     {a + "\r\r\n", "1:200"},
		"byte order mark":            {"\ufeff" + a + "\n" + b, "1:400:malformed 2:200"},
		"NUL":                        {"\x00\n" + a + "\x00\n" + b, "1:400:malformed 2:400:malformed 3:200"},
		"not UTF-8":                  {"\xff\xfe\n" + b, "1:400:malformed 2:200"},
		"an array":                   {"[" + a + "," + b + "]", "1:400:malformed"},
		"a record over two lines":    {a[:20] + "\n" + a[20:] + "\n" + b, "1:400:malformed 2:400:malformed 3:200"},
		"two records on a line":      {a + b + "\n" + b, "1:400:malformed 2:200"},
		"the longest line":           {wide(most) + "\n" + b, "1:200 2:200"},
		"the longest line, CRLF":     {wide(most) + "\r\n" + b, "1:200 2:200"},
		"the longest line, last":     {b + "\n" + wide(most), "1:200 2:200"},
		"one byte more":              {wide(most+1) + "\n" + b, "1:413:too_large 2:200"},
		"one byte more, last":        {b + "\n" + wide(most+1), "1:200 2:413:too_large"},
		"a huge line":                {wide(100*most) + "\n" + b + "\n" + wide(100*most), "1:413:too_large 2:200 3:413:too_large"},
		"a huge line of blanks":      {strings.Repeat(" ", 50*most) + "\n" + b, "1:413:too_large 2:200"},
		"only a line too long":       {wide(most + 1), "1:413:too_large"},
		"line separators of Unicode": {a + "\u2028" + b, "1:400:malformed"},
	} {
		for _, chunked := range []bool{false, true} {
			r := newTestServer(t, func(c *Config) { c.MaxBody = most })
			req := batchRequest(c.body)
			if chunked {
				req.ContentLength = -1
			}
			if got := brief(batchLines(t, r.batch(req))); got != c.want {
				t.Errorf("%s, chunked %v: %s, want %s", name, chunked, got, c.want)
			}
		}
	}
}

// TestBatchRefusedWhole: faults that are found before a record is taken are those of the whole batch.
func TestBatchRefusedWhole(t *testing.T) {
	a := record("a", 1, nil)
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"empty":      {func(r *http.Request) { *r = *batchRequest("") }, 400},
		"blank":      {func(r *http.Request) { *r = *batchRequest("\n \r\n\t\n") }, 400},
		"JSON":       {func(r *http.Request) { r.Header.Set("Content-Type", wire.MediaJSON) }, 415},
		"no type":    {func(r *http.Request) { r.Header.Del("Content-Type") }, 415},
		"other text": {func(r *http.Request) { r.Header.Set("Content-Type", wire.MediaNDJSON+"; charset=latin1") }, 415},
		"gzip":       {func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, 415},
		"cut": {func(r *http.Request) {
			*r = *batchRequest(a + "\n" + a[:50])
			r.ContentLength++
			r.Body = cutBody{r.Body}
		}, 400},
		"declared":     {func(r *http.Request) { r.ContentLength = wire.MaxBatchBytes + 1 }, 413},
		"jsonl":        {func(r *http.Request) { r.Header.Set("Content-Type", "application/jsonl; charset=UTF-8") }, 200},
		"ndjson":       {func(r *http.Request) { r.Header.Set("Content-Type", "application/ndjson") }, 200},
		"wrong method": {func(r *http.Request) { r.Method = http.MethodPut }, 405},
	} {
		r := newTestServer(t, nil)
		req := batchRequest(a)
		c.change(req)
		if w := r.batch(req); w.Code != c.want {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		} else if c.want != 200 && len(r.fake.rows) > 0 {
			t.Errorf("%s: a record was taken", name)
		}
	}
	r := newTestServer(t, nil)
	r.fake.closed = wire.NewProblem(wire.CodeNotReady, "").WithRetry(time.Second)
	if w := r.do(batchRequest(a)); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("a node that takes nothing: %d %s", w.Code, w.Body)
	}
}

// cutBody ends too early, as net/http says it.
type cutBody struct{ io.ReadCloser }

func (b cutBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// TestBatchGroups: a batch is given to the ledger in groups of bounded size, in its order, and answered in order.
func TestBatchGroups(t *testing.T) {
	r := newTestServer(t, nil)
	var body bytes.Buffer
	const n = 2*GroupRecords + 5
	for i := range n {
		fmt.Fprintln(&body, record("s", i+1, nil))
	}
	w := r.do(batchRequest(body.String()))
	lines := batchLines(t, w)
	for i, l := range lines {
		if l.Line != i+1 || l.Status != 200 || l.answer.Epoch != int64(i+1) || l.answer.Seq != uint64(i+1) {
			t.Fatalf("line %d: %+v", i+1, l)
		}
	}
	if len(lines) != n || w.Header().Get("Content-Length") != "" {
		t.Errorf("%d lines, %v", len(lines), w.Header())
	}
	sum := 0
	for _, g := range r.fake.groups {
		sum += g
	}
	if w := r.do(batchRequest(numbered(GroupRecords))); w.Header().Get("Content-Length") == "" {
		t.Errorf("a full group: %v", w.Header())
	}
	if sum != n || slices.Max(r.fake.groups) > GroupRecords || len(r.fake.groups) < 3 {
		t.Errorf("groups of %v records", r.fake.groups)
	}
}
