package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// TestDrills plays both incidents of the security overview on scratch clusters, with the commands of the runbooks.
func TestDrills(t *testing.T) {
	submissions := 500
	if full {
		submissions = atoi("RECOUNT_E2E_RECORDS", 100_000)
	}
	tool := recountTool(t)
	for _, name := range []string{"key", "bypass"} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(tool, "drill", name, "--submissions", strconv.Itoa(submissions), "--node-binary", nodeBin, "--dir", t.TempDir(), "-o", "json", "-q")
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			var report struct {
				Agree    bool
				Response float64 `json:"response_seconds"`
				Steps    []struct {
					Step    string
					Seconds float64
					Result  string
				}
			}
			if jsonErr := json.Unmarshal(out, &report); err != nil || jsonErr != nil || !report.Agree || len(report.Steps) < 10 {
				t.Fatalf("%v, %v: %s", err, jsonErr, out)
			}
			for _, s := range report.Steps {
				t.Logf("%8.2f s  %s: %s", s.Seconds, s.Step, s.Result)
			}
			t.Logf("%8.2f s  the responder's commands together", report.Response)
		})
	}
}

// TestTamperDrill changes what a ledger has written in every way that the drill knows. Each change must be found.
func TestTamperDrill(t *testing.T) {
	cmd := exec.Command(recountTool(t), "drill", "tamper", "--node-binary", nodeBin, "--dir", t.TempDir(), "-o", "json", "-q")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var report struct {
		Agree bool
		Cases []struct {
			Case     string
			By       string `json:"detected_by"`
			Seconds  float64
			Said     string
			Detected bool
		}
	}
	if jsonErr := json.Unmarshal(out, &report); err != nil || jsonErr != nil || !report.Agree || len(report.Cases) < 10 {
		t.Fatalf("%v, %v: %s", err, jsonErr, out)
	}
	for _, c := range report.Cases {
		t.Logf("%6.2f s  %s: by %s: %s", c.Seconds, c.Case, c.By, c.Said)
		if !c.Detected || c.Said == "" {
			t.Errorf("%s: nobody noticed", c.Case)
		}
	}
}
