package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/doctor"
)

// examined runs recount-node doctor and returns its report.
func examined(t *testing.T, args ...string) (r doctor.Report, code int) {
	t.Helper()
	out, err := program(t, append([]string{"doctor", "-o", "json"}, args...)...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if code < 2 {
		if err := json.Unmarshal(out, &r); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return r, code
}

// has returns the text of a finding, "" if there is none.
func has(r doctor.Report, check string) string {
	for _, f := range r.Findings {
		if f.Check == check {
			return f.Text
		}
	}
	return ""
}

// TestDoctor examines a node of another process while it runs, when it has stopped, and when its log is damaged.
func TestDoctor(t *testing.T) {
	m := newMachine(t)
	m.write("config.yaml", m.settings, 0o600)
	config, dir := filepath.Join(m.dir, "config.yaml"), filepath.Join(m.dir, "data")
	if _, code := examined(t, "--dir", dir); code != 2 {
		t.Errorf("a directory that is not there: exit code %d", code)
	}
	if _, code := examined(t); code != 2 {
		t.Errorf("no directory: exit code %d", code)
	}
	node := program(t, "serve", "--config", config, "--new-cluster")
	m.must(node.Start())
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		if _, err := os.Stat(filepath.Join(m.dir, "run", "pid")); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the node does not start")
		}
	}
	if r, code := examined(t, "--dir", dir); code != 0 || !strings.Contains(has(r, "running"), "process ") {
		t.Errorf("a running node: %d, %+v", code, r)
	}
	m.must(node.Process.Signal(syscall.SIGTERM))
	m.must(node.Wait())
	if r, code := examined(t, "--dir", dir); code != 0 || len(r.Findings) > 0 {
		t.Errorf("a stopped node: %d, %+v", code, r)
	}
	m.write("api.crt", "none", 0o600)
	if r, code := examined(t, "--config", config); code != 1 || !strings.Contains(has(r, "settings"), "api.cert_file") {
		t.Errorf("settings with a fault: %d, %+v", code, r)
	}
	end := filepath.Join(dir, "events", "end")
	b, err := os.ReadFile(end)
	m.must(err)
	m.must(os.Remove(end))
	if r, code := examined(t, "--dir", dir); code != 1 || has(r, "store") == "" {
		t.Errorf("without its end: %d, %+v", code, r)
	}
	m.must(os.WriteFile(end, b, 0o600))
	out, err := program(t, "doctor", "--dir", dir).CombinedOutput()
	if err != nil || string(out) != "all is well\n" {
		t.Errorf("%v: %s", err, out)
	}
}
