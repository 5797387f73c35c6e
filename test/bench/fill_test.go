package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/test/harness"
)

// takes is a server that answers each line of a batch.
type takes struct {
	mu       sync.Mutex
	epochs   map[string]int64 // of the accepted records, by shard
	accepted int
	lines    int
	answer   func(line int) string // the code of a refusal, or ""
	late     []string              // records that overtook another one of their shard
}

func (s *takes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out bytes.Buffer
	for line := range bytes.Lines(body) {
		s.lines++
		if code := s.answer(s.lines); code != "" {
			fmt.Fprintf(&out, `{"status":503,"code":%q}`+"\n", code)
			continue
		}
		rec := pcs.Decode(bytes.TrimSpace(line))
		if rec.Fault != nil || rec.Epoch <= s.epochs[rec.ShardID] {
			s.late = append(s.late, string(line))
		}
		s.epochs[rec.ShardID] = rec.Epoch
		s.accepted++
		out.WriteString(`{"status":200,"outcome":"accepted"}` + "\n")
	}
	w.Header().Set("Content-Length", strconv.Itoa(out.Len()))
	_, _ = w.Write(out.Bytes())
}

// fillOf fills a server with n records.
func fillOf(t *testing.T, n int, answer func(line int) string) (*takes, string, error) {
	t.Helper()
	at := &takes{epochs: map[string]int64{}, answer: answer}
	server := httptest.NewTLSServer(at)
	t.Cleanup(server.Close)
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	src, err := harness.NewSource("../..")
	if err != nil {
		t.Fatal(err)
	}
	to := &target{
		addrs: []string{server.Listener.Addr().String()},
		tls:   &tls.Config{RootCAs: pool, ServerName: "example.com", MinVersion: tls.VersionTLS13},
		want:  []byte(`"outcome":"accepted"`),
	}
	var out strings.Builder
	err = to.fill(context.Background(), src, n, &out)
	return at, out.String(), err
}

// TestFill: a ledger gets as many records as were asked for, also if a node is too busy for some, and each shard gets its
// records in the order of their epochs.
func TestFill(t *testing.T) {
	for name, answer := range map[string]func(line int) string{
		"all taken": func(int) string { return "" },
		"busy": func(line int) string {
			if line%7 == 0 && line < 2000 {
				return "overloaded"
			}
			return ""
		},
	} {
		const n = 5*fillLines*fillSenders/2 + 11
		at, out, err := fillOf(t, n, answer)
		if err != nil || at.accepted != n || len(at.late) > 0 {
			t.Errorf("%s: %d of %d records, %d too late: %v", name, at.accepted, n, len(at.late), err)
		}
		if len(at.epochs) != fillShards {
			t.Errorf("%s: %d shards", name, len(at.epochs))
		}
		if !strings.Contains(out, fmt.Sprintf("filled with %d records", n)) {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// TestFillStopsAtARefusal: a record that is neither accepted nor to be sent again ends the measurement, with the answer.
func TestFillStopsAtARefusal(t *testing.T) {
	at, _, err := fillOf(t, 1<<30, func(line int) string {
		if line == 1000 {
			return "unknown_outcome"
		}
		return ""
	})
	if err == nil || !strings.Contains(err.Error(), "unknown_outcome") {
		t.Errorf("after %d records: %v", at.accepted, err)
	}
}

// TestProgress: lines come now and then, with the rate since the last one and the time that is left.
func TestProgress(t *testing.T) {
	var out strings.Builder
	began := time.Unix(1_700_000_000, 0)
	p := newProgress(&out, 100_000, began)
	p.add(1_000, 0, began.Add(progressEvery/2))
	p.add(19_000, 5, began.Add(progressEvery))
	p.add(10_000, 0, began.Add(2*progressEvery))
	p.print(began.Add(3 * progressEvery))
	want := "  20000 of 100000 records, 2000 records/s, 40s left\n  30000 of 100000 records, 1000 records/s, 1m10s left\n" +
		"  filled with 30000 records in 30s, 1000 records/s, 5 refused as overload and replaced\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}
