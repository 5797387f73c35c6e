package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// memberNode answers the changes of members, and counts those of a promotion that it refuses first.
func memberNode(t *testing.T, early int) (dir string, asked *[]string) {
	asked = &[]string{}
	n := newNode(t)
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			var body map[string]any
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Error(err)
			}
			delete(body, "op_id")
			text, _ := json.Marshal(body)
			*asked = append(*asked, r.URL.Path+" "+string(text))
		}
		switch r.Method + " " + r.URL.Path {
		case "POST /v1/cluster/members":
			answer(w, wire.MemberAnswer{Change: wire.MemberAdded, NodeID: "n4", Seq: 7})
		case "POST /v1/cluster/members/n4/promote":
			if early--; early >= 0 {
				answer(w, wire.NewProblem(wire.CodeStale, "n4 has kept up for 3s of 10s").WithRetry(1))
				return true
			}
			answer(w, wire.MemberAnswer{Change: wire.MemberPromoted, NodeID: "n4"})
		case "POST /v1/cluster/members/n3/remove":
			answer(w, wire.MemberAnswer{Change: wire.MemberRemoved, NodeID: "n3", Seq: 8})
		case "POST /v1/cluster/members/n2/address":
			answer(w, wire.MemberAnswer{Change: wire.MemberMoved, NodeID: "n2", Seq: 9})
		case "POST /v1/cluster/leader":
			answer(w, wire.MemberAnswer{Change: wire.MemberLeads, NodeID: "n2", Seq: 10})
		case "POST /v1/cluster/version":
			answer(w, wire.ClusterVersionAnswer{Version: 3, From: 2, Seq: 11})
		case "POST /v1/cluster/invitations":
			answer(w, wire.InvitationAnswer{NodeID: "n4", PeerAddress: "h:1", ExpiresAt: "2026-01-01T00:00:00Z", Seq: 11,
				ClusterID: "dev", Members: []wire.JoinMember{{ID: "n1", Peer: "h:9"}}, Authorities: [][]byte{{1, 2}}})
		case "POST /v1/cluster/invitations/n4/withdraw":
			answer(w, wire.MemberAnswer{Change: wire.MemberWithdrawn, NodeID: "n4", Seq: 12})
		case "GET /v1/cluster":
			seq, old, newest := uint64(42), uint32(2), uint32(3)
			answer(w, wire.ClusterAnswer{ClusterID: "dev", ClusterVersion: 2, Leader: "n1", Members: []wire.Member{
				{KnowsVersion: &newest, ID: "n1", Suffrage: "voter", CommittedSeq: &seq, AppliedSeq: &seq, Lag: new(uint64), State: "leader"},
				{ID: "n3", Suffrage: "voter", State: "unreachable"},
				{KnowsVersion: &old, ID: "n4", Suffrage: "nonvoter", CommittedSeq: &seq, AppliedSeq: &seq, Lag: new(uint64), State: "follower",
					Learner: &wire.LearnerProgress{Lacks: 5, Why: "has kept up for 3s of 10s"}}}})
		default:
			return false
		}
		return true
	}
	return dev(t, n), asked
}

// TestMemberCommands: each command asks for exactly its change and prints it. Without a reason or an address nothing is
// asked.
func TestMemberCommands(t *testing.T) {
	dir, asked := memberNode(t, 1)
	for _, x := range []struct{ args, want, out string }{
		{"add n4 --peer h:1 --api https://h:2 --reason r --wait 1m",
			`/v1/cluster/members {"api_address":"https://h:2","node_id":"n4","peer_address":"h:1","reason":"r"}`, "added"},
		{"promote n4 --reason r --ticket T --wait 1m",
			`/v1/cluster/members/n4/promote {"reason":"r","ticket":"T"}`, "nothing changed"},
		{"remove n3 --reason r --yes", `/v1/cluster/members/n3/remove {"reason":"r"}`, "removed"},
		{"move n2 --peer h:3 --reason r", `/v1/cluster/members/n2/address {"peer_address":"h:3","reason":"r"}`, "moved"},
		{"upgrade --version 3 --reason r --yes", `/v1/cluster/version {"reason":"r","version":3}`, "version  3"},
		{"upgrade --reason r --yes -o json", `/v1/cluster/version {"reason":"r","version":2}`, `"from": 2`},
		{"invite n4 --withdraw --reason r", `/v1/cluster/invitations/n4/withdraw {"reason":"r"}`, "withdrawn"},
		{"transfer --reason r", `/v1/cluster/leader {"reason":"r"}`, "n2"},
		{"transfer n2 --reason r -o json", `/v1/cluster/leader {"node_id":"n2","reason":"r"}`, `"change": "leads"`},
	} {
		r := run(t, "", append(append([]string{"cluster"}, strings.Fields(x.args)...), "--dev", dir)...)
		if r.code != exitOK || !strings.Contains(r.out, x.out) {
			t.Errorf("%s: %+v", x.args, r)
		}
		if last := (*asked)[len(*asked)-1]; last != x.want {
			t.Errorf("%s asked for %s", x.args, last)
		}
	}
	before := len(*asked)
	for args, code := range map[string]int{
		"upgrade --yes": exitUsage, "upgrade --reason r": exitUsage, "upgrade n1 --reason r --yes": exitUsage,
		"add n4 --peer h:1": exitUsage, "add n4 --reason r": exitUsage, "promote n4": exitUsage, "remove n3 --yes": exitUsage,
		"remove n3 --reason r": exitUsage, "move n2 --reason r": exitUsage, "transfer": exitUsage, "promote": exitUsage,
		"invite n4 --peer h:1": exitUsage, "invite n4 --reason r": exitUsage, "invite n4 --withdraw --peer h:1 --reason r": exitUsage,
		"invite n4 --peer h:1 --reason r --ttl 25h": exitUsage, "invite n4 --peer h:1 --reason r --ttl 59s": exitUsage,
	} {
		if r := run(t, "", append(append([]string{"cluster"}, strings.Fields(args)...), "--dev", dir)...); r.code != code {
			t.Errorf("%s: %+v", args, r)
		}
	}
	if len(*asked) != before {
		t.Errorf("something was asked: %q", (*asked)[before:])
	}
	if r := onTerminal(t, "n3\n", "cluster", "remove", "n3", "--reason", "r", "--dev", dir); r.code != exitOK ||
		!strings.Contains(r.err, "voter, unreachable, of 3 members") {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "cluster", "status", "--dev", dir); !strings.Contains(r.err,
		"learner n4 lacks 5 entries of the leader and cannot be promoted yet: has kept up for 3s of 10s") {
		t.Errorf("%+v", r)
	}
	dir, _ = memberNode(t, 100)
	if r := run(t, "", "cluster", "promote", "n4", "--reason", "r", "--dev", dir); r.code == exitOK ||
		!strings.Contains(r.err, "3s of 10s") {
		t.Errorf("too early: %+v", r)
	}
}

// TestInvite: the node gets the digest of the secret only. The token, on stdout or in a file, has the secret, and is
// not written over a file that exists.
func TestInvite(t *testing.T) {
	dir, asked := memberNode(t, 0)
	file := filepath.Join(t.TempDir(), "n4.join")
	for _, more := range [][]string{nil, {"--out", file}, {"-o", "json"}} {
		args := append(strings.Fields("cluster invite n4 --peer h:1 --api https://h:2 --ttl 90s --reason r --dev"), dir)
		r := run(t, "", append(args, more...)...)
		text := r.out
		if len(more) == 2 && more[0] == "--out" {
			raw, err := os.ReadFile(file)
			if err != nil || r.out != "" {
				t.Errorf("%q, %v", r.out, err)
			}
			text = string(raw)
		} else if more != nil {
			var made invitation
			if err := json.Unmarshal([]byte(r.out), &made); err != nil || made.Seq != 11 {
				t.Errorf("%+v, %v", made, err)
			}
			text = made.Token
		}
		token, err := wire.ParseJoinToken(text)
		if r.code != exitOK || err != nil || token.NodeID != "n4" || token.ClusterID != "dev" || token.Members[0].Peer != "h:9" {
			t.Fatalf("%+v, %v, %v", r, token, err)
		}
		want := `/v1/cluster/invitations {"api_address":"https://h:2","digest":"` + wire.JoinDigest(token.Secret) +
			`","node_id":"n4","peer_address":"h:1","reason":"r","valid_s":90}`
		if last := (*asked)[len(*asked)-1]; last != want {
			t.Errorf("asked for %s", last)
		}
	}
	if r := run(t, "", "cluster", "invite", "n4", "--peer", "h:1", "--reason", "r", "--out", file, "--dev", dir); r.code != exitUsage {
		t.Errorf("%+v", r)
	}
}
