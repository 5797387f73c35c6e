package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

func open(t *testing.T, change func(*Options)) (*Stream, string) {
	t.Helper()
	o := Options{File: filepath.Join(t.TempDir(), "audit.log"), Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s, o.File
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func closed(t *testing.T, s *Stream) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// await waits until the writer has done something that can be seen.
func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !f() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func TestLines(t *testing.T) {
	at := time.Date(2025, 1, 19, 10, 30, 45, 0, time.UTC)
	s, path := open(t, func(o *Options) { o.Now = func() time.Time { return at } })
	epoch := int64(42)
	s.Submission(Submission{PCSID: "abc123", ShardID: "shard-001", Epoch: &epoch, Outcome: wire.OutcomeAccepted, Accepted: true, ReasonCode: "ok", RecomputedDHat: nano.Ptr(1_412_345_679),
		Seq: 7, KeyID: "hmac-0011223344556677", RequestID: "r-1", Policy: "ff"})
	s.Submission(Submission{Event: EventSignatureFailure, PCSID: "a\nb", Outcome: wire.OutcomeRefused, RequestID: "r-2", ReasonCode: "bad_signature", Error: "bad_signature"})
	s.Operation(Operation{Actor: "alice", Role: "operator", Route: "POST /v1/policies", Status: 403, OpID: "op-1", RequestID: "r-3"})
	s.Operation(Operation{Event: EventAccessRefused, Actor: "bob", Role: "metrics", Route: "GET /v1/audit", Status: 403, RequestID: "r-4"})
	closed(t, s)
	want := []string{
		`{"timestamp":"2025-01-19T10:30:45.000000000Z","event":"pcs_submitted","pcs_id":"abc123","shard_id":"shard-001","epoch":42,"outcome":"accepted","accepted":true,"escalated":false,"reason_code":"ok","replayed":false,"recomputed_D_hat":1.412345679,"seq":7,"key_id":"hmac-0011223344556677","request_id":"r-1","policy":"ff"}`,
		`{"timestamp":"2025-01-19T10:30:45.000000000Z","event":"signature_failure","pcs_id":"a\nb","shard_id":"","epoch":null,"outcome":"refused","accepted":false,"escalated":false,"reason_code":"bad_signature","replayed":false,"recomputed_D_hat":null,"seq":0,"key_id":"","request_id":"r-2","policy":"","error":"bad_signature"}`,
		`{"timestamp":"2025-01-19T10:30:45.000000000Z","event":"operation","actor":"alice","role":"operator","route":"POST /v1/policies","status":403,"op_id":"op-1","request_id":"r-3"}`,
		`{"timestamp":"2025-01-19T10:30:45.000000000Z","event":"access_refused","actor":"bob","role":"metrics","route":"GET /v1/audit","status":403,"op_id":"","request_id":"r-4"}`,
	}
	if got := lines(t, path); !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

func TestRotationLosesNothing(t *testing.T) {
	s, path := open(t, func(o *Options) { o.MaxBytes, o.Keep = 10_000, time.Hour })
	const n = 2000
	for i := range n {
		s.Operation(Operation{OpID: fmt.Sprint(i)})
		await(t, "the queue to move", func() bool { return len(s.queue) < 50 })
	}
	closed(t, s)
	names, err := filepath.Glob(path + "*")
	if err != nil || len(names) < 10 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	slices.Sort(names) // the times sort as text; the file that is written comes first
	names = append(names[1:], names[0])
	next := 0
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || info.Size() > 10_000+200 {
			t.Errorf("%s: %d bytes, %v", name, info.Size(), err)
		}
		for _, line := range lines(t, name) {
			var a Operation
			if err := json.Unmarshal([]byte(line), &a); err != nil || a.OpID != fmt.Sprint(next) {
				t.Fatalf("line %d in %s: %s, %v", next, name, line, err)
			}
			next++
		}
	}
	if written, dropped := s.Stats(); next != n || written != n || dropped != 0 {
		t.Errorf("%d lines, %d written, %d dropped", next, written, dropped)
	}
}

// TestRetention: only what was rotated from this file, long enough ago, goes.
func TestRetention(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	stamp := func(days int) string { return now.AddDate(0, 0, -days).Format(stampLayout) }
	goes := []string{"audit.log." + stamp(91), "audit.log." + stamp(4000)}
	stays := []string{"audit.log." + stamp(89), "audit.log", "audit.log.1", "audit.log." + stamp(91) + ".gz", "xaudit.log." + stamp(91), "audit.logx." + stamp(91),
		"audit.log.20200101T000000Z", "other", "audit.log.20200230T000000.000000000Z"}
	for _, name := range append(goes, stays...) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := "audit.log." + stamp(100)
	if err := os.Mkdir(filepath.Join(dir, old), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("other", filepath.Join(dir, "audit.log."+stamp(101))); err != nil {
		t.Fatal(err)
	}
	stays = append(stays, old, "audit.log."+stamp(101))
	s, _ := open(t, func(o *Options) {
		o.File, o.Keep, o.Now = filepath.Join(dir, "audit.log"), 90*24*time.Hour, func() time.Time { return now }
	})
	closed(t, s)
	for _, name := range goes {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	for _, name := range stays {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestReopenAndTornLine(t *testing.T) {
	s, path := open(t, nil)
	s.Operation(Operation{OpID: "1"})
	await(t, "a line", func() bool { w, _ := s.Stats(); return w == 1 })
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	s.Reopen()
	await(t, "the file", func() bool { _, err := os.Stat(path); return err == nil })
	s.Operation(Operation{OpID: "2"})
	closed(t, s)
	if a, b := lines(t, path+".moved"), lines(t, path); len(a) != 1 || len(b) != 1 || !strings.Contains(b[0], `"op_id":"2"`) {
		t.Errorf("%q %q", a, b)
	}
	if err := os.WriteFile(path, []byte(`{"timestamp":"2026`), 0o600); err != nil {
		t.Fatal(err)
	}
	again, _ := open(t, func(o *Options) { o.File = path })
	again.Operation(Operation{OpID: "3"})
	closed(t, again)
	if got := lines(t, path); len(got) != 2 || !json.Valid([]byte(got[1])) {
		t.Errorf("%q", got)
	}
}

// TestNeverWaits: with a writer that stands still the callers go on, and what finds no room is counted.
func TestNeverWaits(t *testing.T) {
	var blocked atomic.Bool
	blocked.Store(true)
	release, at := make(chan struct{}), make(chan struct{}, 1)
	s, path := open(t, nil)
	s.o.Logger = slog.New(blockingHandler{slog.DiscardHandler, &blocked, at, release})
	s.put(func() {}) // does not encode, so it is reported
	<-at
	const n = queueLines + 1000
	for i := range n {
		s.Operation(Operation{OpID: fmt.Sprint(i)})
	}
	blocked.Store(false)
	close(release)
	closed(t, s)
	written, dropped := s.Stats()
	if written != queueLines || dropped != 1001 || len(lines(t, path)) != queueLines {
		t.Errorf("%d written, %d dropped, %d lines", written, dropped, len(lines(t, path)))
	}
}

// TestFailedWrites: what cannot be written is counted and reported once; afterwards the stream goes on.
func TestFailedWrites(t *testing.T) {
	var log bytes.Buffer
	s, path := open(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil { // reopening it for reading and writing succeeds, but it is no file
		t.Fatal(err)
	}
	s.Reopen()
	await(t, "the reopening", func() bool { return len(s.reopen) == 0 })
	for range 5 {
		s.Operation(Operation{})
		await(t, "the queue", func() bool { return len(s.queue) == 0 })
	}
	await(t, "lost lines", func() bool { _, d := s.Stats(); return d == 5 })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	await(t, "a line", func() bool { s.Operation(Operation{OpID: "good"}); w, _ := s.Stats(); return w > 0 })
	closed(t, s)
	if n := strings.Count(log.String(), "cannot be written"); n != 1 || !strings.Contains(lines(t, path)[0], `"good"`) {
		t.Errorf("reported %d times: %s", n, log.String())
	}
	if _, err := Open(Options{File: filepath.Join(t.TempDir(), "none", "audit.log"), Logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a stream without a directory")
	}
	var off *Stream
	off.Operation(Operation{})
	off.Reopen()
	closed(t, off)
}
