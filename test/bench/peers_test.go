package main

import (
	"os"
	"strings"
	"testing"
)

// TestReportPeers: the table has a line for each system that was measured, and processor time over all of its records.
func TestReportPeers(t *testing.T) {
	a, b := newPeerCells("recount"), newPeerCells("other v1")
	a.add(1, 64, sample{records: 100, seconds: 1, p50: 5, p99: 9}, 1)
	a.forget()
	for _, records := range []int{1000, 3000, 2000} {
		a.add(1, 64, sample{records: records, seconds: 1, p50: 5, p99: 9}, 0.5)
	}
	var out strings.Builder
	reportPeers(&out, []*peerCells{a, b})
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	want := "64 connections records/s p50 ms p99 ms CPU s for 10,000\nrecount 2000 5.0 9.0 2.50"
	if got := strings.Join(lines, "\n"); !strings.Contains(got, want) || strings.Contains(got, "other") {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestTreeSeconds: a process is in the tree of its parent, and a process that is gone costs nothing.
func TestTreeSeconds(t *testing.T) {
	children, err := processTree()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, pid := range children[os.Getppid()] {
		found = found || pid == os.Getpid()
	}
	if !found {
		t.Errorf("%v has not %d", children[os.Getppid()], os.Getpid())
	}
	if _, err := treeSeconds([]int{os.Getpid(), 1 << 30}); err != nil {
		t.Error(err)
	}
}
