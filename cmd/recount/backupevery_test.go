package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/s3test"
	"github.com/recount-ledger/recount/wire"
)

// said takes what a program writes while a test reads it.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// TestBackupEvery makes backups until it is stopped. While the store is away they fail, and the time of the last good one stays.
func TestBackupEvery(t *testing.T) {
	server, c, dir := s3test.Start(t), nodetest.Start(t, 1), t.TempDir()
	write(t, filepath.Join(dir, "ca.pem"), string(c.CA.CertPEM()))
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(c.Tokens[wire.RoleOperator]), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := run(t, "", "keygen", "ed25519", "--out", filepath.Join(dir, "backup")); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	file := filepath.Join(dir, "backup.prom")
	args := []string{"backup", "create", "s3://" + s3test.Bucket + "/a", "--key", filepath.Join(dir, "backup.key"), "--endpoint", c.URL(0),
		"--token-file", filepath.Join(dir, "token"), "--ca", filepath.Join(dir, "ca.pem"), "--every", "500ms", "--keep", "2", "--check",
		"--metrics-file", file, "--metrics-listen", "127.0.0.1:0"}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out, errs said
	ended := make(chan int, 1)
	go func() {
		a := &app{in: strings.NewReader(""), out: &out, err: &errs, env: func(string) string { return "" }}
		ended <- a.run(ctx, args)
	}()
	made := regexp.MustCompile(`(?m)^backup +\d{8}T`)
	backups := func() int { return len(made.FindAllString(out.String(), -1)) }
	await(t, "three backups", func() bool { return backups() >= 3 })
	address := regexp.MustCompile(`http://[0-9.:]+/metrics`).FindString(errs.String())
	good := scrapeBackup(t, address)
	for _, line := range []string{"flk_backup_failures_total 0", "flk_backup_last_success_timestamp_seconds 1",
		`flk_backup_last_verified_timestamp_seconds{by="check"} 1`, "flk_backup_bytes "} {
		if !strings.Contains(good, "\n"+line) {
			t.Errorf("no %q in:\n%s", line, good)
		}
	}
	// a part of a minute, in seconds
	if !regexp.MustCompile(`(?m)^flk_backup_duration_seconds [0-5]?\d\.\d+$`).MatchString(good) {
		t.Errorf("no duration in:\n%s", good)
	}
	server.Kill()
	await(t, "a failure", func() bool { return strings.Contains(errs.String(), "backup failed, trying again in 500ms") })
	raw, err := os.ReadFile(file)
	if bad := string(raw); err != nil || strings.Contains(bad, "failures_total 0") ||
		!strings.Contains(bad, "\nflk_backup_last_verified_timestamp_seconds{by=\"check\"} 1") {
		t.Errorf("%v\n%s", err, bad)
	}
	server.Restart()
	before := backups()
	await(t, "another backup", func() bool { return backups() > before })
	stop()
	select {
	case code := <-ended:
		if code != exitOK {
			t.Errorf("stopped with %d: %s", code, errs.String())
		}
	case <-time.After(time.Minute):
		t.Fatal("it does not stop")
	}
	if r := run(t, "", "backup", "list", "s3://"+s3test.Bucket+"/a"); r.code != exitOK || strings.Count(r.out, "\n") > 4 {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", append(args[:len(args)-2:len(args)-2], "--metrics-listen", "nowhere")...); r.code != exitUsage {
		t.Errorf("%+v", r)
	}
}

func scrapeBackup(t *testing.T, address string) string {
	t.Helper()
	answer, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
