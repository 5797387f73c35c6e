package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// recountNode answers like a node with one published policy and a generation 2 that is built at the second look.
func recountNode(t *testing.T) (n *node, acts *[]string) {
	n = newNode(t)
	acts = &[]string{}
	id := strings.Repeat("ab", 32)
	looks := 0
	var canonical map[string]any
	if err := json.Unmarshal(verify.DefaultPolicy().Canonical(), &canonical); err != nil {
		t.Fatal(err)
	}
	policy := wire.PolicyAnswer{ID: id, Seq: 5, At: "2026-01-02T03:04:05Z", Kernel: 1, InForce: true, Source: "kernel: 1\n", Canonical: canonical}
	g := wire.GenerationAnswer{Generation: 2, State: wire.GenerationBuilding, Policy: id, Keys: wire.KeysAsOf, StartedSeq: 9, Position: 40, Agree: true,
		Schedule: []wire.ScheduleStep{}, Activated: []uint64{}, Operation: "/v1/generations/2"}
	diff := wire.DiffAnswer{Generation: 2, Against: 1, Position: 40, Events: 38, Flips: 2, Direct: 1, KnockOn: 1, First: 7, Last: 8, Digest: strings.Repeat("0", 80),
		ByOutcome: map[string]int{"accepted->refused": 1, "conflict->accepted": 1}, ByReason: map[string]int{"ok": 1, "bad_signature": 1},
		ByShard: map[string]int{"alpha": 2}, ByKey: map[string]int{"": 1, "hmac-1": 1}}
	ok := wire.FlipSide{Outcome: "accepted", Accepted: true, ReasonCode: "ok", Policy: id}
	refused := wire.FlipSide{Outcome: "refused", ReasonCode: "bad_signature", Policy: id}
	flips := wire.FlipsPage{Items: []wire.Flip{{Seq: 7, PCSID: someID, ShardID: "alpha", Epoch: 1, Cause: "direct", Old: ok, New: refused},
		{Seq: 8, PCSID: someID, ShardID: "alpha", Epoch: 1, KeyID: "hmac-1", Cause: "knock_on", Behind: 7, Old: refused, New: ok}}, Position: 40, Generation: 2}
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			*acts = append(*acts, r.Method+" "+r.URL.Path)
		}
		switch r.Method + " " + r.URL.Path {
		case "POST /v1/policies", "GET /v1/policies/" + id:
			answer(w, policy)
		case "GET /v1/policies":
			answer(w, wire.PoliciesPage{Items: []wire.PolicyAnswer{policy}})
		case "POST /v1/policies/" + id + "/apply":
			answer(w, wire.ApplyAnswer{Policy: id, Seq: 12})
		case "POST /v1/generations":
			answer(w, g)
		case "GET /v1/generations":
			answer(w, wire.GenerationsPage{Items: []wire.GenerationAnswer{g}, Active: 1})
		case "GET /v1/generations/2":
			looks++
			compared := uint64(min(40, 20*looks))
			g.Nodes = []wire.NodeProgress{{Node: "node-1", State: "following", Seq: 40, Compared: compared, Committed: 40, DiffAt: strings.Repeat("0", 80)},
				{Node: "node-2", State: "unreachable", ETA: -1}, {Node: "node-3", State: "following", Seq: 40, Compared: 40, Committed: 40}}
			answer(w, g)
		case "GET /v1/generations/2/diff":
			answer(w, diff)
		case "GET /v1/generations/2/flips":
			answer(w, flips)
		case "POST /v1/generations/2/activate":
			answer(w, wire.NewProblem(wire.CodeStale, "the diff is another"))
		case "POST /v1/generations/rollback":
			answer(w, wire.ActivateAnswer{Generation: 1, From: 2, Seq: 50, Position: 49, Reporters: []string{"node-1"}, Absent: []string{}})
		case "DELETE /v1/generations/2":
			answer(w, wire.DropAnswer{Generation: 2, Seq: 51})
		default:
			return false
		}
		return true
	}
	return n, acts
}

func TestRecountCommands(t *testing.T) {
	n, acts := recountNode(t)
	dir := dev(t, n)
	fix := write(t, filepath.Join(t.TempDir(), "fix.yaml"), "signature: {profiles: [f9]}\n")
	bad := write(t, filepath.Join(t.TempDir(), "bad.yaml"), "kernel: 9\nmore: 1\n")
	for _, c := range []struct {
		args string
		code int
		want []string // in stdout or stderr
	}{
		{"policy lint " + fix, 0, []string{fix}},
		{"policy lint " + bad, exitRejected, []string{"line 1, column 9: kernel", "line 2, column 1: more: unknown member"}},
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
		{"generation start --policy abababab", 0, []string{"generation status 2 --wait"}},
		{"generation start", exitUsage, []string{"--policy is missing"}},
		{"generation list", 0, []string{"building"}},
		{"generation status 2 --wait", 0, []string{"unreachable", "agree"}},
		{"generation diff 2", 0, []string{"knock-on", "conflict->accepted"}},
		{"generation diff 2 --by key", 0, []string{"hmac-1"}},
		{"generation diff 2 --by day", exitUsage, []string{"outcome, reason, shard or key"}},
		{"generation diff 2 --list", 0, []string{"knock_on", "bad_signature"}},
		{"generation diff x", exitUsage, []string{"generation list"}},
		{"generation activate 2", exitUsage, []string{"--diff is missing"}},
		{"generation activate 2 --diff abc", exitRejected, []string{"Look again"}},
		{"generation rollback", 0, []string{"instead of"}},
		{"generation drop 2", 0, []string{"51"}},
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
	if want := "POST /v1/policies"; (*acts)[0] != want || len(*acts) != 6 {
		t.Errorf("acts %v", *acts)
	}
	var d wire.DiffAnswer
	r := run(t, "", "generation", "diff", "2", "-o", "json", "--dev", dir)
	if err := json.Unmarshal([]byte(r.out), &d); err != nil || d.Flips != 2 || d.ByOutcome["accepted->refused"] != 1 {
		t.Errorf("%+v %v", d, err)
	}
}
