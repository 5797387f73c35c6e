package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// recountNode answers like a node with one published policy and a generation 2 that is built at the second look.
func recountNode(t *testing.T) (n *node, operations *[]string) {
	n = newNode(t)
	operations = &[]string{}
	id := strings.Repeat("ab", 32)
	looks := 0
	var canonical map[string]any
	if err := json.Unmarshal(verify.DefaultPolicy().Canonical(), &canonical); err != nil {
		t.Fatal(err)
	}
	policy := wire.PolicyAnswer{
		ID:        id,
		Seq:       5,
		At:        "2026-01-02T03:04:05Z",
		Kernel:    1,
		InForce:   true,
		Source:    "kernel: 1\n",
		Canonical: canonical,
		Intervals: []wire.PolicyInterval{{
			FromSeq:    1,
			From:       "2026-01-02T03:04:05Z",
			ToSeq:      6,
			To:         "2026-01-02T03:04:06Z",
			By:         wire.ByGenesis,
			Generation: 1,
		},
			{
				FromSeq:    8,
				From:       "2026-01-02T03:04:08Z",
				By:         wire.ByRolledBack,
				Generation: 1,
				Actor:      "alice",
				Reason:     "was wrong",
				Ticket:     "INC-7",
			}},
	}
	other := wire.PolicyAnswer{ID: strings.Repeat("cd", 32), Seq: 6, At: policy.At, Kernel: 1,
		Intervals: []wire.PolicyInterval{{
			FromSeq:    6,
			From:       "2026-01-02T03:04:06Z",
			ToSeq:      8,
			To:         "2026-01-02T03:04:08Z",
			By:         wire.ByActivated,
			Generation: 2,
			Actor:      "bob",
		}}}
	g := wire.GenerationAnswer{
		Generation: 2,
		State:      wire.GenerationBuilding,
		Policy:     id,
		Keys:       wire.KeysAsOf,
		StartedSeq: 9,
		Position:   40,
		Agree:      true,
		Schedule:   []wire.ScheduleStep{},
		Activated:  []uint64{},
		Operation:  "/v1/generations/2",
	}
	diff := wire.DiffAnswer{
		Generation: 2,
		Against:    1,
		Position:   40,
		Events:     38,
		Flips:      2,
		Direct:     1,
		Indirect:   1,
		First:      7,
		Last:       8,
		Digest:     strings.Repeat("0", 80),
		ByOutcome:  map[string]int{"accepted->refused": 1, "conflict->accepted": 1},
		ByReason:   map[string]int{"ok": 1, "bad_signature": 1},
		ByShard:    map[string]int{"alpha": 2},
		ByKey:      map[string]int{"": 1, "hmac-1": 1},
	}
	ok := wire.FlipSide{Outcome: "accepted", Accepted: true, ReasonCode: "ok", Policy: id}
	refused := wire.FlipSide{Outcome: "refused", ReasonCode: "bad_signature", Policy: id}
	flips := wire.FlipsPage{
		Items: []wire.Flip{{Seq: 7, PCSID: someID, ShardID: "alpha", Epoch: 1, Cause: "direct", Old: ok, New: refused},
			{
				Seq:         8,
				PCSID:       someID,
				ShardID:     "alpha",
				Epoch:       1,
				KeyID:       "hmac-1",
				Cause:       "indirect",
				CausedBySeq: 7,
				Old:         refused,
				New:         ok,
			}},
		Position:   40,
		Generation: 2,
	}
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			*operations = append(*operations, r.Method+" "+r.URL.Path)
		}
		switch r.Method + " " + r.URL.Path {
		case "POST /v1/policies", "GET /v1/policies/" + id:
			answer(w, policy)
		case "GET /v1/policies":
			answer(w, wire.PoliciesPage{Items: []wire.PolicyAnswer{policy, other}})
		case "POST /v1/policies/" + id + "/apply":
			answer(w, wire.ApplyAnswer{Policy: id, Seq: 12})
		case "POST /v1/generations":
			answer(w, g)
		case "GET /v1/generations":
			answer(w, wire.GenerationsPage{Items: []wire.GenerationAnswer{g}, Active: 1})
		case "GET /v1/generations/2":
			looks++
			compared := uint64(min(40, 20*looks))
			g.Nodes = []wire.NodeProgress{{
				Node:      "node-1",
				State:     "following",
				Seq:       40,
				Compared:  compared,
				Committed: 40,
				DiffAt:    strings.Repeat("0", 16) + strings.Repeat("7b", 32),
			},
				{Node: "node-2", State: "unreachable", ETA: -1},
				{Node: "node-3", State: "following", Seq: 40, Compared: 40, Committed: 40}}
			answer(w, g)
		case "GET /v1/generations/2/diff":
			answer(w, diff)
		case "GET /v1/generations/2/flips":
			answer(w, flips)
		case "POST /v1/generations/2/activate":
			answer(w, wire.NewProblem(wire.CodeStale, "the diff is another"))
		case "POST /v1/generations/rollback":
			answer(w, wire.ActivateAnswer{
				Generation: 1,
				From:       2,
				Seq:        50,
				Position:   49,
				Reporters:  []string{"node-1"},
				Absent:     []string{},
			})
		case "DELETE /v1/generations/2":
			answer(w, wire.DropAnswer{Generation: 2, Seq: 51})
		default:
			return false
		}
		return true
	}
	return n, operations
}

func TestRecountCommands(t *testing.T) {
	n, operations := recountNode(t)
	dir := dev(t, n)
	fix := write(t, filepath.Join(t.TempDir(), "fix.yaml"), "signature: {profiles: [f9]}\n")
	bad := write(t, filepath.Join(t.TempDir(), "bad.yaml"), "kernel: 9\nmore: 1\n")
	for _, c := range []struct {
		args string
		code int
		want []string // in stdout or stderr
	}{
		{"policy lint " + fix, 0, []string{fix}},
		{"policy lint " + bad, exitRejected,
			[]string{"line 1, column 9: kernel", "line 2, column 1: more: unknown member"}},
		{"policy publish " + bad, exitRejected, []string{"Nothing was published"}},
		{"policy publish " + fix, 0, []string{"accepts profile py, this one does not", strings.Repeat("ab", 32)}},
		{"policy list", 0, []string{"IN FORCE"}},
		{"policy show abababab", 0, []string{"kernel: 1"}},
		{"policy show abc", exitUsage, []string{"at least its first 8"}},
		{"policy show ffffffff", exitNotFound, []string{"recount policy list"}},
		{"policy diff abababab " + fix, 0, []string{"profiles: [f9]"}},
		{"policy apply abababab --reason now", 0, []string{"12"}},
		{"policy test " + fix + " --records ../../testdata/good-hmac.ndjson", 0, []string{"(judged)", "717"}},
		{"policy test " + fix, exitUsage, []string{"--records FILE"}},
		{"policy test " + bad + " --records " + fix, exitRejected, []string{"Nothing was tried"}},
		{"policy test " + fix + " --from-seq 1 --to-seq 9 --hmac-key-file " + fix, exitUsage,
			[]string{"keys go with --records"}},
		{"generation start --policy abababab", 0, []string{"generation status 2 --wait"}},
		{"generation start", exitUsage, []string{"--policy is missing"}},
		{"generation list", 0, []string{"building"}},
		{"generation status 2 --wait", 0,
			[]string{"node-1: compared 20 of 40, following, 0/s, 0s to go\n",
				"node-2: compared 0 of 0, unreachable, 0/s, - to go", "agree"}},
		{"generation diff 2", 0, []string{"indirect", "conflict->accepted"}},
		{"generation diff 2 --by key", 0, []string{"hmac-1"}},
		{"generation diff 2 --by day", exitUsage, []string{"outcome, reason, shard or key"}},
		{"generation diff 2 --list", 0, []string{"indirect", "bad_signature"}},
		{"generation diff x", exitUsage, []string{"generation list"}},
		{"generation activate 2", exitUsage, []string{"--diff is missing"}},
		{"generation activate 2 --diff abc", exitRejected, []string{"Look again"}},
		{"generation rollback", 0, []string{"instead of"}},
		{"generation drop 2 --yes", 0, []string{"51"}},
	} {
		r := run(t, "", append(strings.Fields(c.args), "--dev", dir)...)
		for _, want := range c.want {
			if !strings.Contains(r.out+r.err, want) {
				t.Errorf("%s: no %q in\n%s%s", c.args, want, r.out, r.err)
			}
		}
		if r.code != c.code {
			t.Errorf("%s: exit code %d, want %d\n%s", c.args, r.code, c.code, r.err)
		}
	}
	if want := "POST /v1/policies"; (*operations)[0] != want || len(*operations) != 6 {
		t.Errorf("operations %v", *operations)
	}
	var d wire.DiffAnswer
	r := run(t, "", "generation", "diff", "2", "-o", "json", "--dev", dir)
	if err := json.Unmarshal([]byte(r.out), &d); err != nil || d.Flips != 2 || d.ByOutcome["accepted->refused"] != 1 {
		t.Errorf("%+v %v", d, err)
	}
}

// TestRecountOutput holds what the commands print against golden files, each on a node of its own.
func TestRecountOutput(t *testing.T) {
	for name, args := range map[string]string{
		"policy-list":           "policy list",
		"policy-history":        "policy history",
		"policy-history-ndjson": "policy history -o ndjson",
		"policy-publish-json":   "policy publish ../../testdata/policies/default.yaml -q -o json",
		"policy-lint": "policy lint ../../testdata/policies/default.yaml " +
			"../../testdata/policies/kernel-2.yaml",
		"policy-show-canonical": "policy show abababab --canonical",
		"policy-diff": "policy diff ../../testdata/policies/default.yaml " +
			"../../testdata/policies/tighter-tolerance.yaml",
		"generation-start-json":    "generation start --policy abababab -o json",
		"generation-list":          "generation list",
		"generation-status":        "generation status 2",
		"generation-status-json":   "generation status 2 -o json",
		"generation-diff":          "generation diff 2",
		"generation-diff-shard":    "generation diff 2 --by shard",
		"generation-diff-json":     "generation diff 2 -o json",
		"generation-flips":         "generation diff 2 --list",
		"generation-flips-ndjson":  "generation diff 2 --list -o ndjson",
		"generation-rollback":      "generation rollback",
		"generation-rollback-json": "generation rollback -o json",
		"generation-drop":          "generation drop 2 --yes",
	} {
		n, _ := recountNode(t)
		r := run(t, "", append(strings.Fields(args), "--dev", dev(t, n))...)
		if r.code != exitOK {
			t.Errorf("%s: exit %d: %s", name, r.code, r.err)
		}
		golden(t, name, r.out)
	}
}

// TestDiffPrintsOneValue: a script gets the value alone on stdout, whatever the format.
func TestDiffPrintsOneValue(t *testing.T) {
	n, operations := recountNode(t)
	dir := dev(t, n)
	for args, want := range map[string]string{
		"--print flips":         "2\n",
		"--print digest":        strings.Repeat("0", 80) + "\n",
		"--print flips -o json": "2\n",
	} {
		r := run(t, "", append(strings.Fields("generation diff 2 "+args), "--dev", dir)...)
		if r.code != exitOK || r.out != want {
			t.Errorf("%s: %+v", args, r)
		}
	}
	r := run(t, "", "generation", "diff", "2", "--print", "flip", "--dev", dir)
	if r.code != exitUsage || r.out != "" || !strings.Contains(r.err,
		"must be digest or flips") || len(*operations) != 0 {
		t.Errorf("--print flip: %+v", r)
	}
}

// TestEndOfAnOperation: what the node said last is told, with what to do next, and never that a record was sent.
func TestEndOfAnOperation(t *testing.T) {
	for code, want := range map[wire.Code]struct {
		exit int
		talk string
	}{
		wire.CodeNoAgreement:    {exitUnavailable, "recount generation status N"},
		wire.CodeStale:          {exitRejected, "recount generation list"},
		wire.CodeOpIDReused:     {exitRejected, "Give another --op-id"},
		wire.CodeDiskFull:       {exitUnavailable, "drop a generation"},
		wire.CodeOutcomeUnknown: {exitUnknown, "Give the same command again with --op-id "},
		wire.CodeNotFound:       {exitNotFound, "recount generation list"},
		wire.CodeBadRequest:     {exitUsage, "recount explain bad_request"},
	} {
		n := newNode(t)
		n.override = func(w http.ResponseWriter, _ *http.Request) bool {
			answer(w, wire.NewProblem(code, "node-2 has said it").WithRetry(time.Minute))
			return true
		}
		r := run(t, "", "generation", "activate", "2", "--diff", "ab", "--dev", dev(t, n))
		if r.code != want.exit || !strings.Contains(r.err, "node-2 has said it") ||
			!strings.Contains(r.err, want.talk) {
			t.Errorf("%s: exit %d: %s", code, r.code, r.err)
		}
	}
}

func TestFlipsAreExported(t *testing.T) {
	n, _ := recountNode(t)
	path := filepath.Join(t.TempDir(), "flips.ndjson")
	r := run(t, "", "generation", "diff", "2", "--export", path, "--dev", dev(t, n))
	text, err := os.ReadFile(path)
	if err != nil || r.code != exitOK || strings.Count(string(text), "\n") != 2 ||
		!strings.Contains(r.err, "2 flips written") {
		t.Errorf("%+v %v\n%s", r, err, text)
	}
	write(t, path, "an earlier review")
	for _, force := range []bool{false, true} {
		args := []string{"generation", "diff", "2", "--export", path, "--dev", dev(t, n)}
		if force {
			args = append(args, "--force")
		}
		r := run(t, "", args...)
		if text, err := os.ReadFile(path); err != nil || (r.code == exitOK) != force ||
			(string(text) == "an earlier review") == force || !force && r.code != exitUsage {
			t.Errorf("over an earlier file, --force %t: %+v %v\n%s", force, r, err, text)
		}
	}
}

// TestBars draws the bars of a terminal, from the goroutine that refreshes them too.
func TestBars(t *testing.T) {
	var out bytes.Buffer
	b := newBars(&app{err: &out}, true)
	for compared := range uint64(3) {
		b.show(&wire.GenerationAnswer{
			Nodes: []wire.NodeProgress{{
				Node:      "node-1",
				State:     "building",
				Compared:  compared,
				Committed: 3,
				Rate:      2,
				ETA:       1,
			},
				{Node: "node-2", State: "paused", ETA: -1, Why: "little disk space\x1b"}},
		})
	}
	if got := b.node["node-1"].text() +
		b.node["node-2"].text(); got != "building, 2/s, 1s to gopaused, 0/s, - to go, little disk space." {
		t.Error(got)
	}
	b.end()
}
