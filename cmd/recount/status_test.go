package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// threeNodes are nodes that know each other. The last one is gone.
func threeNodes(t *testing.T) (nodes []*node, dir string) {
	nodes = []*node{newNode(t), newNode(t), newNode(t)}
	seq, lag := uint64(42), uint64(0)
	answerOf := wire.ClusterAnswer{ClusterID: "dev", Leader: "node-2", Term: 7}
	for i, n := range nodes {
		m := wire.Member{
			ID:           "node-" + string(rune('1'+i)),
			API:          n.server.URL,
			Suffrage:     "voter",
			CommittedSeq: &seq,
			AppliedSeq:   &seq,
			Lag:          &lag,
			State:        "follower",
		}
		if i == 1 {
			m.State = "leader"
		}
		if i == 2 {
			m.State, m.AppliedSeq, m.CommittedSeq, m.Lag = "unreachable", nil, nil, nil
		}
		answerOf.Members = append(answerOf.Members, m)
	}
	for i, n := range nodes {
		n.override = func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.URL.Path == "/v1/cluster":
				answer(w, answerOf)
			case r.URL.Path == "/version":
				answer(w, wire.VersionAnswer{Version: "v0.2.0", Node: "node-" + string(rune('1'+i)), ClusterID: "dev"})
			case r.URL.Path == "/readyz" && i == 0:
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = w.Write([]byte("[-]applied failed: 12 events behind\n[+]log ok\n"))
			default:
				return false
			}
			return true
		}
	}
	dir = dev(t, nodes...)
	nodes[2].server.Close()
	return nodes, dir
}

// TestClusterStatusHasARowPerNode, the dead one included, all of them aligned, and says in one line whether all
// is well.
func TestClusterStatusHasARowPerNode(t *testing.T) {
	nodes, dir := threeNodes(t)
	r := run(t, "", "cluster", "status", "--dev", dir, "--timeout", "1s", "--width", "160")
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	if r.code != exitOK || len(lines) != 4 {
		t.Fatalf("%+v", r)
	}
	at := strings.Index(lines[0], "READY")
	for i, want := range [][]string{{"node-1", "follower", "no: applied: 12 events behind"},
		{"node-2", "leader", "yes", "v0.2.0", "3.0 GiB", "10 days"}, {"node-3", "no answer", "-"}} {
		for _, cell := range want {
			if !strings.Contains(lines[i+1], cell) {
				t.Errorf("no %q in %q", cell, lines[i+1])
			}
		}
		if !strings.HasPrefix(lines[i+1][at:], want[2]) {
			t.Errorf("not below READY: %q", lines[i+1])
		}
	}
	if !strings.Contains(r.err, "1 of 3 ready, leader node-2, 2 digests equal at seq 42") {
		t.Errorf("%q", r.err)
	}
	if one := run(t, "", "cluster", "status", "--endpoint", nodes[1].server.URL, "--ca",
		dir+"/ca.pem"); !strings.Contains(one.out, "not asked") || !strings.Contains(one.err, "1 of 3 ready") {
		t.Errorf("%+v", one)
	}
	sick := newNode(t)
	sick.override = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/cluster" {
			t.Errorf("%s was asked of a node that gave no answer before", r.URL.Path)
		}
		answer(w, wire.NewProblem(wire.CodeInternal, ""))
		return true
	}
	if r := run(t, "", "cluster", "status", "--dev", dev(t, nodes[0], nodes[1], sick)); r.code != exitOK ||
		!strings.Contains(r.err, "2 digests equal") {
		t.Errorf("%+v", r)
	}
	nodes[0].digest.State = strings.Repeat("00", 32)
	if r := run(t, "", "cluster", "status", "--dev", dir, "--timeout", "1s"); r.code != exitVerify ||
		!strings.Contains(r.err, "differ at seq 42") {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "cluster", "status", "--all-views", "--dev", dir, "--timeout",
		"1s"); strings.Count(r.out, "node-3") != 2 {
		t.Errorf("%+v", r)
	}
}

// TestStatusOfNodesThatRefuse: a node that does not take the credentials is not one that is silent.
func TestStatusOfNodesThatRefuse(t *testing.T) {
	n := newNode(t)
	n.override = func(w http.ResponseWriter, _ *http.Request) bool {
		answer(w, wire.NewProblem(wire.CodeUnauthorized, ""))
		return true
	}
	dir := dev(t, n)
	for _, line := range []string{"cluster status", "cluster status --all-views", "digest", "version"} {
		if r := run(t, "", append(strings.Fields(line), "--dev", dir)...); r.code != exitRejected ||
			!strings.Contains(r.out, "refused") || strings.Contains(r.out, "no answer") {
			t.Errorf("%s: %+v", line, r)
		}
	}
}
