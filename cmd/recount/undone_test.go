package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// TestRepeatedOperationThatWasTakenBack: an operation that is given again under its op_id is answered as it was. When
// something else came after it, the command says so, and says nothing when it stands.
func TestRepeatedOperationThatWasTakenBack(t *testing.T) {
	active, holds, thawed, inForce := uint32(2), uint64(0), uint64(0), strings.Repeat("ab", 32)
	n := newNode(t)
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		switch r.Method + " " + r.URL.Path {
		case "POST /v1/generations/2/activate":
			answer(w, wire.ActivateAnswer{Generation: 2, From: 1, Seq: 50})
		case "POST /v1/freezes":
			answer(w, wire.FreezeAnswer{Scope: wire.FreezeAll, Seq: 60, ThawedSeq: thawed})
		case "POST /v1/thaw":
			answer(w, wire.FreezeAnswer{Scope: wire.FreezeAll, Seq: 60, ThawedSeq: 70})
		case "GET /v1/generations":
			answer(w, wire.GenerationsPage{Active: active, AppliedSeq: 100})
		case "GET /v1/freezes":
			answer(w, wire.FreezesPage{
				Items: []wire.FreezeAnswer{{Scope: wire.FreezeAll, Seq: 60, ThawedSeq: 70},
					{Scope: wire.FreezeAll, Seq: holds, ThawedSeq: 1 - min(1, holds)},
					{Scope: wire.FreezeShard, Subject: "lab", Seq: 90}},
			})
		case "GET /v1/approvals":
			answer(w, wire.ApprovalsPage{})
		case "GET /v1/policies":
			answer(w, wire.PoliciesPage{
				Items: []wire.PolicyAnswer{{ID: strings.Repeat("ab", 32), InForce: inForce[0] == 'a'},
					{ID: strings.Repeat("cd", 32), InForce: inForce[0] == 'c'}},
				AppliedSeq: 100,
			})
		case "POST /v1/approvals":
			answer(w, wire.ApprovalAnswer{
				OpID:   "x",
				Name:   wire.OperationApply,
				Result: []byte(`{"policy":"` + strings.Repeat("ab", 32) + `","seq":40}`),
			})
		default:
			return false
		}
		return true
	}
	dir := dev(t, n)
	for line, want := range map[string]string{
		"generation activate 2 --diff 00": "generation 3 answers, and not 2",
		"freeze --reason x":               "event 70 has thawed it",
		"thaw --reason x":                 "the freeze of event 80 holds",
		"approve x --run":                 "policy cdcdcdcdcdcdcdcd is in force, and not abababababababab",
	} {
		active, holds, thawed, inForce = 2, 0, 0, strings.Repeat("ab", 32)
		if r := run(t, "", append(strings.Fields(line), "--dev", dir)...); r.code != exitOK ||
			strings.Contains(r.err, "Warning") {
			t.Errorf("%s: it stands: %+v", line, r)
		}
		active, holds, thawed, inForce = 3, 80, 70, strings.Repeat("cd", 32)
		if r := run(t, "", append(strings.Fields(line), "--dev", dir)...); r.code != exitOK ||
			!strings.Contains(r.err, want+". To do it again give another --op-id") {
			t.Errorf("%s: %+v", line, r)
		}
	}
}
