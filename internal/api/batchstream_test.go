package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// numbered returns n records of one shard, one a line.
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(record("s", i+1, nil) + "\n")
	}
	return b.String()
}

// failing is a body that fails at its end.
type failing struct {
	io.Reader
	err error
}

func (f failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = f.err
	}
	return n, err
}

func (f failing) Close() error { return nil }

// TestBatchCut: a batch that cannot be read on after some of it was answered ends with a line that says so. None of the
// lines behind the last answer is in the ledger.
func TestBatchCut(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"cut":         {io.ErrUnexpectedEOF, "257:400:bad_request"},
		"slow":        {fmt.Errorf("read: %w", os.ErrDeadlineExceeded), "257:408:request_timeout"},
		"memory":      {errBodies, "257:503:overloaded"},
		"reset":       {net.ErrClosed, "257:400:bad_request"},
		"no more":     {errLongBatch, "257:413:too_large"},
		"no more (2)": {errManyLines, "257:413:too_large"},
	} {
		r := newTestServer(t, nil)
		req := batchRequest("")
		req.Body, req.ContentLength = failing{strings.NewReader(numbered(300)), c.err}, -1
		lines := batchLines(t, r.batch(req))
		last := lines[len(lines)-1]
		if len(lines) != 257 || !last.Unread || brief(lines[256:]) != c.want || last.problem.RequestID == "" {
			t.Errorf("%s: %d lines, the last %+v", name, len(lines), last)
		}
		if len(r.fake.rows) != 256 {
			t.Errorf("%s: %d records were taken", name, len(r.fake.rows))
		}
		for _, l := range lines[:256] {
			if l.Unread || l.Status != 200 {
				t.Errorf("%s: %+v", name, l)
			}
		}
	}
}

// TestBatchBounds: the last line that fits is answered, and the response says at which line the batch was too large.
func TestBatchBounds(t *testing.T) {
	h := fixedHandler(t, nil)
	send := func(body string) []batchLine {
		t.Helper()
		req := batchRequest(body)
		req.ContentLength = -1
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return batchLines(t, w)
	}
	all := strings.Repeat("{}\n", wire.MaxBatchLines)
	if lines := send(all + "\n \n\n"); len(lines) != wire.MaxBatchLines || brief(lines[len(lines)-1:]) != "10000:200" {
		t.Errorf("%d lines, the last %s", len(lines), brief(lines[len(lines)-1:]))
	}
	lines := send("\n" + all + "\n{}\n{}\n")
	if last := lines[len(lines)-1]; len(lines) != wire.MaxBatchLines+1 || !last.Unread || last.Line != 10002 || last.Status != 413 {
		t.Errorf("%d lines, the last %+v", len(lines), last.BatchLine)
	}
	wide := strings.Repeat("x", DefaultMaxBody-1) + "\n"
	if lines := send(strings.Repeat(wide, 8)); brief(lines[7:]) != "8:200" {
		t.Errorf("8 MiB: %s", brief(lines))
	}
	lines = send(strings.Repeat(wide, 8) + "{}")
	if last := lines[len(lines)-1]; len(lines) != 9 || !last.Unread || last.Status != 413 || !strings.Contains(last.problem.Detail, "8388608") {
		t.Errorf("8 MiB and 2 bytes: %+v", last)
	}
}

// TestBatchGivesItsMemoryBack: more than all bodies and all answers may take at a time pass through, one batch after the
// other, also when they end badly.
func TestBatchGivesItsMemoryBack(t *testing.T) {
	h := fixedHandler(t, nil)
	wide := strings.Repeat("x", DefaultMaxBody-1) + "\n"
	many := strings.Repeat("{}\n", wire.MaxBatchLines)
	for i := range 2 * maxBodies / wire.MaxBatchBytes {
		for _, body := range []string{strings.Repeat(wide, 8), many} {
			req := batchRequest(body)
			if i%2 == 1 {
				req.Body, req.ContentLength = failing{strings.NewReader(body), io.ErrUnexpectedEOF}, -1
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			if text := w.Body.Bytes(); w.Code != 200 || bytes.Contains(text, []byte(`"overloaded"`)) {
				t.Fatalf("batch %d: status %d, the end %s", i, w.Code, text[max(0, len(text)-300):])
			}
		}
	}
}

// TestBatchDrawsForEachRecord: each record draws from the rate of its address, and after the first that finds nothing
// the others do not enter.
func TestBatchDrawsForEachRecord(t *testing.T) {
	for _, status := range []int{429, 503} {
		r := newTestServer(t, func(c *Config) { c.AddressRate, c.ThrottleStatus = 2, status })
		lines := batchLines(t, r.batch(batchRequest(numbered(50))))
		taken := len(r.fake.rows)
		if taken < 4 || taken > 10 || len(lines) != 50 {
			t.Fatalf("%d of %d were taken", taken, len(lines))
		}
		for i, l := range lines {
			if i < taken && l.Status != 200 || i >= taken && (l.Status != status || l.problem.Code != wire.CodeThrottled || l.problem.RetryAfterMS == 0) {
				t.Errorf("line %d: %+v", i+1, l)
			}
		}
		decode[wire.Problem](t, r.batch(batchRequest(numbered(1))), status)
	}
}

// TestRateComesBack: a rate that comes back during a batch lets no later line overtake those that found nothing.
func TestRateComesBack(t *testing.T) {
	r := newTestServer(t, func(c *Config) {
		c.AddressRate = 200 // a token every 5 ms, while a batch of 10,000 lines takes longer
		c.Ledger.Submitter = fixedAnswer{&wire.SubmitAnswer{Outcome: wire.OutcomeAccepted}}
	})
	over := 0
	for i, l := range batchLines(t, r.batch(batchRequest(strings.Repeat("{}\n", wire.MaxBatchLines)))) {
		switch {
		case l.Status == 429:
			over++
		case over > 0:
			t.Fatalf("line %d enters after %d that did not", i+1, over)
		}
	}
	if over == 0 {
		t.Error("the rate was enough for all")
	}
}

// TestBatchFaults: an error of the ledger is the problem of its line, and a panic is that of the request.
func TestBatchFaults(t *testing.T) {
	r := newTestServer(t, nil)
	for _, c := range []struct {
		fail error
		want string
	}{
		{errFake, "1:500:internal"},
		{fmt.Errorf("deep: %w", context.DeadlineExceeded), "1:504:outcome_unknown"},
		{wire.NewProblem(wire.CodeFrozen, "").WithRetry(30 * time.Second), "1:503:frozen"},
	} {
		r.fake.fail = c.fail
		if got := brief(batchLines(t, r.do(batchRequest(numbered(1))))); got != c.want {
			t.Errorf("%v: %s", c.fail, got)
		}
	}
	r.fake.fail, r.fake.explode = nil, true
	decode[wire.Problem](t, r.do(batchRequest(numbered(1))), 500)
}

// served starts a server over a fake ledger. undecided counts its requests.
func served(t *testing.T) (fake *fakeLedger, server *httptest.Server, undecided *atomic.Int64) {
	t.Helper()
	undecided = new(atomic.Int64)
	r := newTestServer(t, func(c *Config) { c.Deciding = undecided })
	server = httptest.NewServer(r.handler)
	t.Cleanup(server.Close)
	return r.fake, server, undecided
}

// TestBatchIsAnsweredOnTheWay: a client that waits for the answers to its first records before it sends more gets them.
func TestBatchIsAnsweredOnTheWay(t *testing.T) {
	_, server, _ := served(t)
	body, send := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/pcs/submit-batch", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", wire.MediaNDJSON)
	all := strings.SplitAfter(numbered(2*GroupRecords+3), "\n")
	go func() { _, _ = io.WriteString(send, strings.Join(all[:GroupRecords], "")) }()
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, 1<<20)
	count := func(n int) {
		t.Helper()
		for i := range n {
			if !in.Scan() {
				t.Fatalf("%d of %d answers: %v", i, n, in.Err())
			}
		}
	}
	count(GroupRecords)
	go func() { _, _ = io.WriteString(send, strings.Join(all[GroupRecords:2*GroupRecords], "")) }()
	count(GroupRecords)
	go func() {
		_, _ = io.WriteString(send, strings.Join(all[2*GroupRecords:], ""))
		_ = send.Close()
	}()
	count(3)
	if in.Scan() {
		t.Errorf("one line more: %s", in.Text())
	}
}

// TestBatchSentBeforeRead: a client that reads nothing before it has sent everything gets its answers, more than the
// buffers of the connection hold.
func TestBatchSentBeforeRead(t *testing.T) {
	server := httptest.NewUnstartedServer(fixedHandler(t, nil))
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateNew {
			_ = c.(*net.TCPConn).SetWriteBuffer(64 << 10)
		}
	}
	server.Start()
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	_ = conn.(*net.TCPConn).SetReadBuffer(128 << 10)
	line := `{"pad":"` + strings.Repeat("x", 700) + `"}` + "\n"
	body := strings.Repeat(line, wire.MaxBatchLines)
	if _, err := fmt.Fprintf(conn, "POST /v1/pcs/submit-batch HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		wire.MediaNDJSON, len(body), body); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if n := bytes.Count(text, []byte("\n")); err != nil || n != wire.MaxBatchLines || len(text) < 4<<20 {
		t.Errorf("%d lines, %d bytes: %v", n, len(text), err)
	}
}

// TestBatchOfADeclaredLength: net/http drops the rest of a body when a response begins, unless it is told not to.
func TestBatchOfADeclaredLength(t *testing.T) {
	fake, server, _ := served(t)
	const n = 2*GroupRecords + 40
	resp, err := server.Client().Post(server.URL+"/v1/pcs/submit-batch", wire.MediaNDJSON, strings.NewReader(numbered(n)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if lines := bytes.Count(text, []byte("\n")); err != nil || lines != n || len(fake.rows) != n || bytes.Contains(text, []byte("unread")) {
		t.Errorf("%d lines, %d records were taken: %v", lines, len(fake.rows), err)
	}
}

// TestBatchHangsUp: a client that is gone in the middle leaves whole groups in the ledger and nothing in the node.
func TestBatchHangsUp(t *testing.T) {
	fake, server, undecided := served(t)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	body := numbered(GroupRecords + 40)
	if _, err := fmt.Fprintf(conn, "POST /v1/pcs/submit-batch HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		wire.MediaNDJSON, len(body)+100, body); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil { // the answer has begun
		t.Fatal(err)
	}
	_ = conn.Close()
	server.Close() // waits for the handler
	if n := undecided.Load(); n != 0 || len(fake.rows) != GroupRecords {
		t.Errorf("%d records were taken, %d requests are undecided", len(fake.rows), n)
	}
}
