package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/doctor"
)

// TestDoctorSaysWhatComesNext: a finding is told in full, with the next command, and the exit code is 1; programs get
// one document.
func TestDoctorSaysWhatComesNext(t *testing.T) {
	_, dir := threeNodes(t)
	r := run(t, "", "doctor", "--dev", dir, "--timeout", "2s")
	for _, want := range []string{"warning  answer", "node     node-3", "finding  no answer: ", "next     systemctl status recount-node",
		"(on the machine of node-3)", "page     docs/runbooks/lost-node.md", "12 events behind"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in:\n%s", want, r.out)
		}
	}
	if r.code != exitFailed || !strings.Contains(r.err, "warnings") || !strings.Contains(r.err, "Begin with the first") {
		t.Errorf("%d %s", r.code, r.err)
	}
	var report doctor.Report
	js := run(t, "", "doctor", "--dev", dir, "--timeout", "2s", "-o", "json")
	if err := json.Unmarshal([]byte(js.out), &report); err != nil || js.code != exitFailed || report.OK || report.Nodes != 3 ||
		len(report.Findings) < 3 {
		t.Errorf("%v: %+v", err, js)
	}
}
