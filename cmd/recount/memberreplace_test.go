package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// ring is a cluster whose members change as they are asked to. It does changes up to limit and then says nothing but
// that it is forbidden, as if the operator had been interrupted.
type ring struct {
	members []wire.Member
	leader  string
	lacks   []uint64 // of the learner, one look after the other, then it can be promoted
	done    []string
	limit   int
	taken   bool // another operator removes n3 while the learner still lacks entries
}

func member(id, suffrage, state string) wire.Member {
	return wire.Member{ID: id, API: "https://" + id, Suffrage: suffrage, State: state}
}

func newRing(limit int) *ring {
	return &ring{leader: "n1", limit: limit, lacks: []uint64{9000, 4000}, members: []wire.Member{
		member("n1", "voter", "leader"), member("n2", "voter", "follower"), member("n3", "voter", "unreachable")}}
}

func (g *ring) at(t *testing.T) (dir string) {
	n := newNode(t)
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/v1/cluster") {
			return false
		}
		if len(g.done) == g.limit {
			answer(w, wire.NewProblem(wire.CodeForbidden, "interrupted"))
			return true
		}
		if r.Method == http.MethodGet {
			g.show(w)
			return true
		}
		g.change(w, strings.TrimPrefix(r.URL.Path, "/v1/cluster/"))
		return true
	}
	return dev(t, n)
}

func (g *ring) show(w http.ResponseWriter) {
	if g.taken && len(g.done) > 0 {
		g.members = slices.DeleteFunc(g.members, func(m wire.Member) bool { return m.ID == "n3" })
	}
	for i := range g.members {
		m := &g.members[i]
		if m.Learner = nil; m.Suffrage != "nonvoter" {
			continue
		}
		if m.Learner = (&wire.LearnerProgress{Promotable: true}); len(g.lacks) > 0 {
			m.Learner, g.lacks = &wire.LearnerProgress{Lacks: g.lacks[0], Why: "has too few"}, g.lacks[1:]
		}
	}
	answer(w, wire.ClusterAnswer{ClusterID: "dev", Leader: g.leader, Members: g.members})
}

func (g *ring) change(w http.ResponseWriter, path string) {
	a := wire.MemberAnswer{Seq: uint64(10 + len(g.done))}
	switch path {
	case "members":
		a.Change, a.NodeID = wire.MemberAdded, "n4"
		g.members = append(g.members, member("n4", "nonvoter", "follower"))
	case "members/n4/promote":
		a.Change, a.NodeID = wire.MemberPromoted, "n4"
		g.members[slices.IndexFunc(g.members, func(m wire.Member) bool { return m.ID == "n4" })].Suffrage = "voter"
	case "members/n3/remove":
		a.Change, a.NodeID = wire.MemberRemoved, "n3"
		g.members = slices.DeleteFunc(g.members, func(m wire.Member) bool { return m.ID == "n3" })
	case "leader":
		a.Change, a.NodeID, g.leader = wire.MemberLeads, "n2", "n2"
		g.members[0].State, g.members[1].State = "follower", "leader"
	}
	g.done = append(g.done, a.Change)
	answer(w, a)
}

func replaceArgs(dir string, more ...string) []string {
	return append(strings.Fields("cluster replace n3 n4 --peer h:1 --reason r --yes --dev "+dir), more...)
}

// TestReplaceGoesOn interrupts a replacement after each of its steps. Given again, the command makes those that are left,
// each once and in order.
func TestReplaceGoesOn(t *testing.T) {
	want := []string{"added", "promoted", "removed"}
	for limit := range 4 {
		g := newRing(limit)
		dir := g.at(t)
		if r := run(t, "", replaceArgs(dir)...); limit < 3 && r.code == exitOK || !slices.Equal(g.done, want[:limit]) {
			t.Errorf("interrupted after %d steps: %+v did %q", limit, r, g.done)
		} else if limit > 0 && limit < 3 && !strings.Contains(r.err, "Give the same command again") {
			t.Errorf("after %d steps it says nothing of going on: %s", limit, r.err)
		}
		g.limit = 100
		r := run(t, "", replaceArgs(dir)...)
		if r.code != exitOK || !slices.Equal(g.done, want) || strings.Count(r.out, "done before") != limit {
			t.Errorf("again after %d steps: %+v did %q", limit, r, g.done)
		}
		if limit == 0 && !strings.Contains(r.err, "n4 lacks 9000 entries") {
			t.Errorf("no progress: %s", r.err)
		}
		if r := run(t, "", replaceArgs(dir, "-o", "json")...); r.code != exitOK || !slices.Equal(g.done, want) ||
			!strings.Contains(r.out, `"new": "n4"`) {
			t.Errorf("once more: %+v did %q", r, g.done)
		}
	}
}

// TestReplaceRefused: what cannot be brought to its end changes nothing and says what to do.
func TestReplaceRefused(t *testing.T) {
	for _, x := range []struct {
		what, args, says string
		ill              func(g *ring)
	}{
		{"no leader", "n3 n4", "lost-majority.md", func(g *ring) { g.leader, g.members[1].State = "", "unreachable" }},
		{"another one is lost", "n1 n4", "Bring back n2, n3", func(g *ring) { g.members[1].State = "unreachable" }},
		{"no member", "n9 n4", "n9 is no member", func(*ring) {}},
		{"one id", "n3 n3", "an id of its own", func(*ring) {}},
		{"an operation id", "n3 n4 --op-id x", "replace has three", func(*ring) {}},
	} {
		g := newRing(100)
		x.ill(g)
		args := strings.Fields("cluster replace " + x.args + " --peer h:1 --reason r --yes --dev " + g.at(t))
		if r := run(t, "", args...); r.code == exitOK || !strings.Contains(r.err, x.says) || len(g.done) > 0 {
			t.Errorf("%s: %+v did %q", x.what, r, g.done)
		}
	}
}

// TestReplaceOfARemovedNode: two operators replace one node. The second one does not make a voter more of the cluster, and is told.
func TestReplaceOfARemovedNode(t *testing.T) {
	g := newRing(100)
	g.taken = true
	r := run(t, "", replaceArgs(g.at(t))...)
	if r.code != exitFailed || !strings.Contains(r.err, "n3 was removed by another operation meanwhile, and n4 stays a learner") ||
		!slices.Equal(g.done, []string{"added"}) {
		t.Errorf("%+v did %q", r, g.done)
	}
}

// TestCatchUp: the rate and the time to go come from what was lacking at first, and are not said too often.
func TestCatchUp(t *testing.T) {
	p, began := catchUp{id: "n4"}, time.Unix(0, 0)
	for _, x := range []struct {
		after time.Duration
		lacks uint64
		want  string
	}{
		{0, 10000, "n4 lacks 10000 entries: has too few"},
		{sayEvery / 2, 9000, ""},
		{sayEvery, 8000, "n4 lacks 8000 entries, 200/s, 40s to go"},
		{3 * sayEvery, 12000, "n4 lacks 12000 entries: has too few"},
	} {
		if got := p.text(&wire.LearnerProgress{Lacks: x.lacks, Why: "has too few"}, began.Add(x.after)); got != x.want {
			t.Errorf("after %s: %q, want %q", x.after, got, x.want)
		}
	}
}

// TestDrain: a leader hands over first, another node is left alone, and a node that is needed for a majority may not be
// stopped.
func TestDrain(t *testing.T) {
	g := newRing(100)
	dir := g.at(t)
	drain := func(id string) ran {
		return run(t, "", "cluster", "drain", id, "--reason", "r", "--dev", dir)
	}
	if r := drain("n1"); r.code == exitOK || !strings.Contains(r.err, "Bring back n3") || len(g.done) > 0 {
		t.Errorf("needed for a majority: %+v did %q", r, g.done)
	}
	if r := drain("n3"); r.code != exitOK || len(g.done) > 0 {
		t.Errorf("a lost one: %+v did %q", r, g.done)
	}
	g.members[2].State = "follower"
	for range 2 {
		if r := drain("n1"); r.code != exitOK || !slices.Equal(g.done, []string{"leads"}) ||
			!strings.Contains(r.err, "n1 may be stopped: n2 leads, and 2 of 3 voters answer without it") {
			t.Errorf("the leader: %+v did %q", r, g.done)
		}
	}
	if r := drain("n9"); r.code != exitNotFound {
		t.Errorf("no member: %+v", r)
	}
	g.members = g.members[1:2]
	if r := drain("n2"); r.code == exitOK || !strings.Contains(r.err, "Add and promote a new node") {
		t.Errorf("the only one: %+v", r)
	}
}
