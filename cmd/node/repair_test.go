package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRepairCommand: what the command says and its exit codes for a whole log, wrong usage, a node that runs, a
// cluster of one, and a node that lost its votes. TestRunbooksOnHosts repairs a node of three.
func TestRepairCommand(t *testing.T) {
	m := newMachine(t)
	m.write("config.yaml", m.settings, 0o600)
	config, dir := filepath.Join(m.dir, "config.yaml"), filepath.Join(m.dir, "data")
	check := func(what string, code int, says string, args ...string) {
		t.Helper()
		out, err := program(t, append([]string{"repair"}, args...)...).CombinedOutput()
		got := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			got = exit.ExitCode()
		}
		if got != code || !strings.Contains(string(out), says) {
			t.Errorf("%s: exit code %d, want %d and %q: %s", what, got, code, says, out)
		}
	}
	check("no settings", 2, "--config")
	check("no node", 70, "the directory is empty", "--config", config)
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
	check("a node that runs", 1, "stop the node first", "--config", config)
	m.must(node.Process.Signal(syscall.SIGTERM))
	m.must(node.Wait())
	check("a whole log", 0, "is whole", "--config", config)
	m.must(os.Truncate(filepath.Join(dir, "events", "end"), 0))
	check("a cluster of one", 1, "a leader with a majority", "--config", config)
	r, code := examined(t, "--config", config)
	if code != 1 || !strings.Contains(has(r, "store"), "recount-node repair") ||
		!strings.HasSuffix(r.Findings[0].Next, "repair --config "+config) {
		t.Errorf("the doctor: %d, %+v", code, r)
	}
	m.must(os.Truncate(filepath.Join(dir, "stable", "votes"), 100))
	check("lost votes", 70, "recount cluster replace", "--config", config)
}
