package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// secondNode answers like a node on which generation 3 is to be activated under op_id fix-7, to which somebody
// says yes at the second look.
func secondNode(t *testing.T) (dir string, sent *[]wire.ApprovalRequest) {
	n := newNode(t)
	sent = &[]wire.ApprovalRequest{}
	digest := "0000000000000fe1" + strings.Repeat("7b", 32)
	asked := wire.ApprovalAnswer{
		OpID:      "fix-7",
		Name:      "activate",
		Request:   "activate generation 3 under diff " + digest + ", however many flips are new",
		Operation: &wire.PendingOperation{Name: "activate", Generation: 3, Diff: digest},
		State:     wire.ApprovalAsked,
		Actors:    []string{"alice"},
		AskedAt:   wire.Time(time.Now().Add(-3 * time.Minute)),
		ExpiresAt: wire.Time(time.Now().Add(57 * time.Minute)),
		Seq:       5,
		Reason:    "reviewed",
	}
	old := asked
	old.OpID, old.State = "older", wire.ApprovalApproved
	var looks atomic.Int64
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		switch r.Method + " " + r.URL.Path {
		case "GET /v1/approvals":
			now := asked
			if looks.Add(1) > 1 {
				now.State, now.Actors = wire.ApprovalApproved, []string{"alice", "bob"}
			}
			answer(w, wire.ApprovalsPage{Items: []wire.ApprovalAnswer{now, old}})
		case "POST /v1/approvals":
			var q wire.ApprovalRequest
			if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
				t.Error(err)
			}
			*sent = append(*sent, q)
			now := asked
			now.State = wire.ApprovalApproved
			if q.Run {
				now.State = wire.ApprovalDone
				now.Result, _ = json.Marshal(wire.ActivateAnswer{
					Generation: 3,
					From:       1,
					Seq:        4070,
					Position:   4065,
					Reporters:  []string{"node-1"},
					Absent:     []string{},
				})
			}
			answer(w, now)
		case "POST /v1/generations/3/activate":
			answer(w, wire.NewProblem(wire.CodeApprovalNeeded, "asked for"))
		default:
			return false
		}
		return true
	}
	return dev(t, n), sent
}

// TestSecondPerson: the second actor reads what is asked in words, with how to look and how old it is. An
// approved request is carried out by its name alone, by either of the two.
func TestSecondPerson(t *testing.T) {
	dir, _ := secondNode(t)
	list := run(t, "", "approve", "list", "-o", "wide", "--dev", dir)
	for _, want := range []string{"activate generation 3 as reviewed up to event 4065",
		"recount generation diff 3 --position 4065", "3m ago", "alice"} {
		if !strings.Contains(list.out, want) {
			t.Errorf("no %q in\n%s", want, list.out)
		}
	}
	if strings.Contains(list.out, "older") || strings.Contains(list.out, "7b7b7b7b") {
		t.Errorf("what is approved is listed, or digits that nobody compares:\n%s", list.out)
	}
	if all := run(t, "", "approve", "list", "--all", "--dev", dir); !strings.Contains(all.out, "older") {
		t.Errorf("--all leaves it out:\n%s", all.out)
	}
	for args, want := range map[string]string{
		"approve fix-7":       "recount approve fix-7 --run",
		"approve fix-7 --run": "4070",
		"generation activate 3 --diff " + strings.Repeat("0", 80) + " --op-id fix-7 --wait-approval": "4070",
		"generation activate 3 --diff " + strings.Repeat("0", 80) +
			" --op-id fix-7": "recount approve fix-7 --run",
	} {
		dir, sent := secondNode(t)
		r := run(t, "", append(strings.Fields(args), "--dev", dir)...)
		if wantCode := map[bool]int{
			true:  exitOK,
			false: exitRejected,
		}[!strings.HasSuffix(args, "--op-id fix-7")]; r.code != wantCode || !strings.Contains(r.out+r.err, want) {
			t.Errorf("%s: %d, no %q in\n%s%s", args, r.code, want, r.out, r.err)
		}
		if strings.HasSuffix(args, "--wait-approval") &&
			(len(*sent) != 1 || !(*sent)[0].Run || (*sent)[0].Approve != "fix-7") {
			t.Errorf("%s: sent %+v", args, *sent)
		}
	}
}

// TestApproveShow: one request in full, and its generation, position and digest for a shell.
func TestApproveShow(t *testing.T) {
	dir, _ := secondNode(t)
	if r := run(t, "", "approve", "show", "fix-7", "--dev", dir); r.code != exitOK ||
		!strings.Contains(r.out, "recount generation diff 3 --position 4065\n") {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "approve", "show", "fix-7", "-o", "env", "--dev", dir); r.code != exitOK ||
		r.out != "export OP_ID=fix-7 GEN=3 POSITION=4065 DIGEST=0000000000000fe1"+strings.Repeat("7b", 32)+"\n" {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "approve", "show", "nosuch-7", "-o", "env", "--dev", dir); r.code != exitNotFound ||
		r.out != "unset OP_ID GEN POSITION DIGEST; false\n" {
		t.Errorf("%+v", r)
	}
}

// TestSecondPersonIsWarned: who is asked for the second yes reads what the policy lets in, as the first one did.
func TestSecondPersonIsWarned(t *testing.T) {
	p := verify.DefaultPolicy()
	p.Signature.Required = false
	policy := wire.PolicyAnswer{ID: fmt.Sprintf("%x", p.ID()), Seq: 7, Kernel: p.Kernel, InForce: true}
	if err := json.Unmarshal(p.Canonical(), &policy.Canonical); err != nil {
		t.Fatal(err)
	}
	requests := []wire.ApprovalAnswer{
		{
			OpID:      "apply-it",
			Name:      wire.OperationApply,
			Operation: &wire.PendingOperation{Name: wire.OperationApply, Policy: policy.ID},
		},
		{
			OpID:      "activate-it",
			Name:      wire.OperationActivate,
			Operation: &wire.PendingOperation{Name: wire.OperationActivate, Generation: 3, Diff: strings.Repeat("0", 80)},
		},
		{OpID: "thaw-it", Name: wire.OperationThaw, Operation: &wire.PendingOperation{Name: wire.OperationThaw}},
	}
	n := newNode(t)
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Path {
		case "/v1/approvals":
			answer(w, wire.ApprovalsPage{Items: requests})
		case "/v1/generations/3":
			answer(w, wire.GenerationAnswer{Generation: 3, Policy: policy.ID})
		case "/v1/policies":
			answer(w, wire.PoliciesPage{Items: []wire.PolicyAnswer{policy}})
		case "/v1/policies/" + policy.ID:
			answer(w, policy)
		default:
			return false
		}
		return true
	}
	dir := dev(t, n)
	for line, warned := range map[string]bool{
		"approve show apply-it":        true,
		"approve show activate-it":     true,
		"approve show thaw-it":         false,
		"policy show " + policy.ID[:8]: true,
	} {
		r := run(t, "", append(strings.Fields(line), "--dev", dir)...)
		if r.code != exitOK || strings.Contains(r.err, "Warning: unsigned records pass") != warned ||
			strings.Contains(r.out, "Warning") {
			t.Errorf("%s: %+v", line, r)
		}
	}
}

// TestApproveOnly: with --only and --diff nothing but what was read gets a yes, whatever the request is called.
// An empty one is what a failed "generation diff" leaves behind.
func TestApproveOnly(t *testing.T) {
	digest := "0000000000000fe1" + strings.Repeat("7b", 32)
	requests := []wire.ApprovalAnswer{
		{
			OpID:      "activate-INC-7",
			Name:      wire.OperationApply,
			Request:   "apply",
			Operation: &wire.PendingOperation{Name: wire.OperationApply, Policy: strings.Repeat("ab", 32)},
		},
		{
			OpID:      "activate-INC-8",
			Name:      wire.OperationActivate,
			Operation: &wire.PendingOperation{Name: wire.OperationActivate, Generation: 3, Diff: digest},
		},
	}
	n, posted := newNode(t), 0
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		switch r.Method + " " + r.URL.Path {
		case "GET /v1/approvals":
			answer(w, wire.ApprovalsPage{Items: requests})
		case "POST /v1/approvals":
			posted++
			answer(w, requests[1])
		default:
			return false
		}
		return true
	}
	dir := dev(t, n)
	for _, c := range []struct {
		opID, flag, value, want string
		code, posted            int
	}{
		{"activate-INC-7", "--diff", "", "given without a value", exitUsage, 0},
		{"activate-INC-7", "--diff", digest, "something else: apply policy abababababababab", exitRejected, 0},
		{"activate-INC-8", "--diff", "", "given without a value", exitUsage, 0},
		{"activate-INC-8", "--diff", "f" + digest[1:], "recount generation diff 3 --position 4065", exitRejected, 0},
		{"activate-INC-8", "--diff", digest, "activate-INC-8", exitOK, 1},
		{"activate-INC-7", "--only", "thaw", "recount approve show activate-INC-7", exitRejected, 0},
		{"activate-INC-7", "--only", "apply", "activate-INC-8", exitOK, 1},
		{"activate-INC-7", "--only", "freeze", "rollback", exitUsage, 0},
		{"nosuch", "--only", "thaw", "activate-INC-8", exitOK, 1}, // the node decides
	} {
		posted = 0
		if r := run(t, "", "approve", c.opID, c.flag, c.value, "--dev", dir); r.code != c.code ||
			posted != c.posted || !strings.Contains(r.out+r.err, c.want) {
			t.Errorf("%+v: %d, %d yes:\n%s%s", c, r.code, posted, r.out, r.err)
		}
	}
}

// TestApproveQuotes: an op_id is chosen by who asks. A line to paste must not run it in the shell of who says yes.
func TestApproveQuotes(t *testing.T) {
	const hostile = "fix;recount approve evil $(id)"
	n := newNode(t)
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		x := wire.ApprovalAnswer{
			OpID:      hostile,
			Name:      wire.OperationThaw,
			Operation: &wire.PendingOperation{Name: wire.OperationThaw},
			State:     wire.ApprovalApproved,
		}
		switch r.Method + " " + r.URL.Path {
		case "GET /v1/approvals":
			answer(w, wire.ApprovalsPage{Items: []wire.ApprovalAnswer{x}})
		case "POST /v1/approvals":
			answer(w, x)
		case "POST /v1/thaw":
			answer(w, wire.NewProblem(wire.CodeApprovalNeeded, "asked for"))
		default:
			return false
		}
		return true
	}
	dir := dev(t, n)
	for _, args := range [][]string{{"approve", hostile}, {"thaw", "--reason", "x", "--op-id", hostile}} {
		r := run(t, "", append(args, "--dev", dir)...)
		if !strings.Contains(r.err, "recount approve '"+hostile+"' --run") ||
			strings.Contains(r.err, "recount approve "+hostile) {
			t.Errorf("%v: %s", args, r.err)
		}
	}
}

// TestApproveOwn: who asks cannot say the second yes, and reads under which op_id another one can.
func TestApproveOwn(t *testing.T) {
	n := newNode(t)
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		switch r.Method + " " + r.URL.Path {
		case "GET /v1/approvals":
			answer(w, wire.ApprovalsPage{Items: []wire.ApprovalAnswer{{OpID: "fix-7", Name: wire.OperationThaw}}})
		case "POST /v1/approvals":
			answer(w, wire.NewProblem(wire.CodeApprovalNeeded, "asked for by alice"))
		default:
			return false
		}
		return true
	}
	if r := run(t, "", "approve", "fix-7", "--run", "--dev", dev(t, n)); r.code != exitRejected ||
		!strings.Contains(r.err, "recount approve fix-7 --run") {
		t.Errorf("%+v", r)
	}
}
