package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/restore"
	"github.com/recount-ledger/recount/internal/survivor"
)

// recovers runs recount-node recover and returns both outputs and the exit code.
func recovers(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := program(t, append([]string{"recover"}, args...)...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return string(out), errs.String(), code
}

// TestRecover examines the directories of a cluster that has stopped, compares the reports, and founds a new cluster with
// one of them.
func TestRecover(t *testing.T) {
	c, f := nodetest.Start(t, 3), nodetest.NewRecords(t)
	for i := range int64(20) {
		if _, err := c.Client.Submit(t.Context(), f.Sign(nodetest.Record{Shard: "s", Epoch: i + 1, Root: "r"})); err != nil {
			t.Fatal(err)
		}
	}
	work, reports := t.TempDir(), []string{"--compare"}
	for i := range 3 {
		c.Stop(i)
		out, errs, code := recovers(t, "--dir", c.Dir(i), "-o", "json")
		if code != 0 {
			t.Fatalf("%d: %s%s", code, out, errs)
		}
		name := filepath.Join(work, "node-"+string(rune('1'+i))+".json")
		if err := os.WriteFile(name, []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
		reports = append(reports, name)
	}
	var found survivor.Comparison
	out, _, code := recovers(t, append(reports, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), &found); err != nil || code != 0 || !found.Majority || found.Alive != 3 {
		t.Errorf("%d, %v: %s", code, err, out)
	}
	out, _, code = recovers(t, "--dir", c.Dir(0), "--dir", c.Dir(1))
	if code != 0 || !strings.Contains(out, "2 of 3 voters are left, a majority.") {
		t.Errorf("%d: %s", code, out)
	}
	out, _, code = recovers(t, reports[:2]...)
	if code != 0 || !strings.Contains(out, "Keep the log of node-1 in "+c.Dir(0)) || !strings.Contains(out, "log digest there") {
		t.Errorf("%d: %s", code, out)
	}
	into := filepath.Join(work, "new")
	keep := []string{"--dir", c.Dir(0), "--keep", "--into", into, "--cluster-id", "second", "--node-id", "second-1",
		"--peer-address", "127.0.0.1:9441", "--reason", "two disks burned", "--actor", "alice", "-o", "json"}
	if _, errs, code := recovers(t, keep...); code != 2 || !strings.Contains(errs, "nothing was done") || !strings.Contains(errs, "two histories") {
		t.Errorf("nobody at a terminal: %d: %s", code, errs)
	}
	out, errs, code := recovers(t, append(keep, "--yes")...)
	var kept restore.Kept
	if err := json.Unmarshal([]byte(out), &kept); err != nil || code != 0 || kept.Survivor != "node-1" || kept.ClusterID != "second" ||
		!strings.Contains(errs, "May be lost: ") || !strings.Contains(errs, "Next: start the node with dir "+into) {
		t.Errorf("%d, %v: %s%s", code, err, out, errs)
	}
	if out, _, code := recovers(t, "--dir", c.Dir(0)); code != 0 || !strings.Contains(out, `as node "second-1" of cluster "second"`) {
		t.Errorf("%d: %s", code, out)
	}
	keep[4] = into + "-2"
	if _, errs, code := recovers(t, append(keep, "--yes")...); code != 2 || !strings.Contains(errs, "was founded with this log already") {
		t.Errorf("a second time: %d: %s", code, errs)
	}
	c.FlipBit(filepath.Join(c.Dir(1), "events", "end"), 0.01)
	c.FlipBit(filepath.Join(c.Dir(1), "events", "end"), 0.95)
	if _, errs, code := recovers(t, "--dir", c.Dir(1)); code != 70 || !strings.Contains(errs, "this log is damaged") {
		t.Errorf("a damaged log: %d: %s", code, errs)
	}
}

// TestRecoverUsage: mistakes are named, all at once, with the exit code 2.
func TestRecoverUsage(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("{}x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"give the directory of a survivor with --dir": {},
		"--compare takes the files":                   {"--compare", "--dir", dir},
		"--compare takes":                             {"--compare"},
		"give directories with --dir":                 {dir},
		"--reason is required":                        {"--keep", "--dir", dir, "--into", "x", "--cluster-id", "b", "--node-id", "c", "--peer-address", "h:1"},
		"--peer-address is required":                  {"--keep", "--dir", dir},
		"--keep takes one --dir":                      {"--keep", "--dir", dir, "--dir", dir},
		"--into is for --keep":                        {"--dir", dir, "--into", "x"},
		"is not host:port":                            {"--keep", "--dir", dir, "--peer-address", "h"},
		"is no directory of a node":                   {"--dir", dir},
		"is no report":                                {"--compare", text},
		"no such file":                                {"--compare", filepath.Join(dir, "none")},
	} {
		if _, errs, code := recovers(t, args...); code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%q: %d: %s", args, code, errs)
		}
	}
}
