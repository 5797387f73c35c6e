package drill

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/sample"
)

// playing returns a drill whose commands are answered by run.
func playing(run Runner) *drill {
	return &drill{
		cfg:     Config{Scenario: "key", Submissions: 200, Run: run, Progress: func(string, ...any) {}},
		cluster: &cluster{nodes: 3, dir: "DIR"},
	}
}

// TestCommand: a command asks the cluster of the drill and decodes its JSON. Another exit code than the expected one
// fails the drill with the command's own words.
func TestCommand(t *testing.T) {
	var asked []string
	d := playing(func(_ context.Context, args []string) (int, []byte, []byte) {
		asked = args
		return exitVerify, []byte(`{"digest":"aa"}`), []byte("recount: they differ\n")
	})
	var got struct{ Digest string }
	err := d.command(t.Context(), "compare", exitVerify, &got, "digest", "--seq", "7")
	if err != nil || got.Digest != "aa" {
		t.Errorf("%v: %+v", err, got)
	}
	if want := strings.Fields("digest --seq 7 --dev DIR -o json -q"); !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	err = d.command(t.Context(), "compare", exitOK, nil, "digest")
	if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "exit code 7, want 0: recount: they differ") {
		t.Errorf("%v", err)
	}
	if last := d.steps[1]; last.Command != "recount digest" || last.Result != err.Error() {
		t.Errorf("%+v", last)
	}
}

// TestReport: only commands of the responder count as response time, and a result may be replaced.
func TestReport(t *testing.T) {
	d := playing(func(context.Context, []string) (int, []byte, []byte) { return exitOK, nil, nil })
	filled := d.step("fill", func() (string, error) { return "", nil })
	if err := errors.Join(filled, d.sameEverywhere(t.Context())); err != nil {
		t.Fatal(err)
	}
	d.setResult("%d nodes", 3)
	d.steps[0].Seconds, d.steps[1].Seconds = 40, 2
	r := d.report(true)
	if r.Response != 2 || !r.Agree || r.Drill != "key" || r.Nodes != 3 || r.Submissions != 200 ||
		r.Steps[1].Result != "3 nodes" {
		t.Errorf("%+v", r)
	}
}

// TestRecountedComparesFlips: a diff with other flips than the attack explains is not activated.
func TestRecountedComparesFlips(t *testing.T) {
	activated := false
	d := playing(func(_ context.Context, args []string) (int, []byte, []byte) {
		activated = activated || args[1] == "activate"
		return exitOK, []byte(`{"digest":"aa","flips":12,"direct":10,"indirect":2}`), nil
	})
	if err := d.recounted(t.Context(), 2, 10, 3); !errors.Is(err, ErrFailed) || activated {
		t.Errorf("%v, activated %v", err, activated)
	}
	if err := d.recounted(t.Context(), 2, 10, 2); err != nil || !activated {
		t.Errorf("%v, activated %v", err, activated)
	}
}

// TestFreezeSeesAcceptedCanaries: a node without the freeze, which still accepts canaries, fails the drill.
func TestFreezeSeesAcceptedCanaries(t *testing.T) {
	for counts, fails := range map[string]bool{
		`{"sent":24,"refused":21,"let_through":3}`: true,
		`{"sent":24,"refused":23,"frozen":1}`:      true,
		`{"sent":24,"refused":24}`:                 false,
	} {
		d := playing(func(_ context.Context, args []string) (int, []byte, []byte) {
			return map[string]int{"canary": exitVerify, "freeze": exitOK}[args[0]], []byte(counts), nil
		})
		d.cluster.nodes = 0 // so every canary must be refused, and no node is asked about its freeze
		d.cluster.honest, _ = sample.New(nil)
		if err := d.freeze(t.Context()); errors.Is(err, ErrFailed) != fails || err != nil && !fails {
			t.Errorf("%s: %v", counts, err)
		}
	}
}

// TestStartFails: a program that does not print that it serves is a StartError with its log, and the directory goes.
func TestStartFails(t *testing.T) {
	parent := t.TempDir()
	binary := filepath.Join(parent, "recount-node")
	for name, script := range map[string]string{
		"ends":         "#!/bin/sh\necho 'no port' >&2\nexit 1\n",
		"another line": "#!/bin/sh\necho starting\n",
		"not ready":    "#!/bin/sh\necho '{\"ready\":false}'\n",
	} {
		if err := os.WriteFile(binary, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		report, err := Run(t.Context(), Config{
			Scenario: "key", Submissions: 200, Nodes: 3, Binary: binary, Parent: parent,
			Connect: func(string) (*client.Client, error) { panic("connected to a cluster that does not serve") },
		})
		var start *StartError
		if report != nil || !errors.Is(err, ErrStart) || !errors.As(err, &start) ||
			filepath.Base(start.Log) != "dev.log" {
			t.Errorf("%s: %v, %+v", name, err, report)
		}
	}
	left, err := filepath.Glob(filepath.Join(parent, "recount-drill-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestNoBinary(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Run(t.Context(), Config{Scenario: "bypass", Nodes: 1}); !errors.Is(err, ErrNoBinary) {
		t.Errorf("%v", err)
	}
	if _, err := Run(t.Context(), Config{Scenario: "flood"}); err == nil || !strings.Contains(err.Error(), `"flood"`) {
		t.Errorf("%v", err)
	}
	for _, name := range Scenarios() {
		if scenarios[name] == nil {
			t.Errorf("no scenario %q", name)
		}
	}
	if len(Scenarios()) != len(scenarios) {
		t.Errorf("%v", Scenarios())
	}
}
