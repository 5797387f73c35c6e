package recount

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// three are three nodes with the same log that answer each other. Nodes that are nil are down.
type three [3]*testNode

func newThree(t *testing.T, grow func(r *testNode)) *three {
	t.Helper()
	var c three
	ids := []string{"n1", "n2", "n3"}
	for i := range c {
		r := newTestNode(t, 80)
		grow(r)
		r.peers = Peers{Self: ids[i], IDs: func() []string { return ids },
			Call: func(ctx context.Context, voter, path string, body []byte) ([]byte, error) {
				to := c[slices.Index(ids, voter)]
				if to == nil || path != ProgressPath {
					return nil, errors.New("down")
				}
				return to.m.AnswerProgress(ctx, ids[i], body)
			}}
		c[i] = r
		r.start()
	}
	for _, r := range c {
		r.settled()
	}
	return &c
}

func diffAt(p wire.NodeProgress) string  { return p.DiffAt }
func stateAt(p wire.NodeProgress) string { return p.StateAt }

// TestVotersCompare: three nodes build by themselves and report the same digests for every position up to which
// they have compared, of the generation that is built and of the active one. A majority of two is enough, none
// contradicts.
func TestVotersCompare(t *testing.T) {
	c := newThree(t, func(r *testNode) { r.generation(tight()) })
	end := c[0].seq
	seen := map[string]uint64{}
	for _, at := range []uint64{1, 20, 50, end} {
		nodes := c[1].m.Progress(t.Context(), 2, at)
		for i, p := range nodes {
			if p.Node != c[1].peers.IDs()[i] || p.State != StateFollowing || p.ETA != 0 || p.Compared != end || p.Seq != end ||
				p.Committed != end {
				t.Errorf("at %d: %+v", at, p)
			}
		}
		if agree, reporters, absent := Agree(nodes, 3, diffAt); !agree || len(reporters) != 3 || len(absent) > 0 {
			t.Errorf("at %d: %v, %v, %v", at, agree, reporters, absent)
		}
		if before, ok := seen[nodes[0].DiffAt]; ok {
			t.Errorf("positions %d and %d have one digest", before, at)
		}
		seen[nodes[0].DiffAt] = at
		if position, _, ok := ParseDiff(nodes[0].DiffAt); !ok || position != at {
			t.Errorf("%q names position %d, want %d", nodes[0].DiffAt, position, at)
		}
		active := c[2].m.Progress(t.Context(), 1, at)
		if agree, _, _ := Agree(active, 3, stateAt); !agree || active[0].DiffAt != "" {
			t.Errorf("the active one at %d: %+v", at, active)
		}
		if same := active[0].StateAt == nodes[0].StateAt; same != (at == 1) {
			t.Errorf("at %d the states of 1 and 2 are equal: %v", at, same)
		}
	}
	down := c[2]
	c[2] = nil
	nodes := c[0].m.Progress(t.Context(), 2, end)
	if agree, _, absent := Agree(nodes, 3, diffAt); !agree || !slices.Equal(absent, []string{"n3"}) ||
		nodes[2].State != StateUnreachable || nodes[2].ETA != -1 {
		t.Errorf("one is down: %v, %v, %+v", agree, absent, nodes[2])
	}
	c[1] = nil
	if agree, _, _ := Agree(c[0].m.Progress(t.Context(), 2, end), 3, diffAt); agree {
		t.Error("one of three is a majority")
	}
	c[2] = down
	later := c[0].m.Progress(t.Context(), 2, end+1)
	if agree, _, absent := Agree(later, 3, diffAt); agree || len(absent) != 3 {
		t.Errorf("a position that nobody has compared: %+v", later)
	}
}

// TestGenerationOfAnotherRelease: a node that does not know a generation, or answers nonsense, is one that has not
// said anything.
func TestGenerationOfAnotherRelease(t *testing.T) {
	r := newTestNode(t, 20)
	answer := ""
	r.peers = Peers{Self: "n1", IDs: func() []string { return []string{"n1", "n2"} },
		Call: func(context.Context, string, string, []byte) ([]byte, error) { return []byte(answer), nil }}
	r.start()
	r.settled()
	for _, answer = range []string{"", "{", `"following"`, `{"seq":"many"}`} {
		if p := r.m.Progress(t.Context(), 1, 3)[1]; p.State != StateUnreachable || p.Node != "n2" || p.ETA != -1 {
			t.Errorf("%q: %+v", answer, p)
		}
	}
	answer = `{"node":"n2","state":"building","later":{"member":1}}`
	if p := r.m.Progress(t.Context(), 1, 3)[1]; p.State != StateBuilding {
		t.Errorf("%q: %+v", answer, p)
	}
	nowhere := r.m.Progress(t.Context(), 9, 3)[0]
	if nowhere.State != StateBuilding || nowhere.Seq != 0 || nowhere.ETA != -1 || nowhere.StateAt != "" ||
		nowhere.Committed != r.seq || nowhere.DiskFree != 1<<40 {
		t.Errorf("a generation that is not here: %+v", nowhere)
	}
	for _, body := range []string{"", "elevenbytes", "thirteen byte"} {
		if _, err := r.m.AnswerProgress(t.Context(), "n2", []byte(body)); err == nil {
			t.Errorf("answered a request of %d bytes", len(body))
		}
	}
	raw, err := r.m.AnswerProgress(t.Context(), "n2", []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3})
	var p wire.NodeProgress
	if err != nil || json.Unmarshal(raw, &p) != nil || p.Node != "n1" || len(p.StateAt) != 64 {
		t.Errorf("%s %v", raw, err)
	}
}

// TestProgressOfOneNode walks the state of a generation that is built through what can be said of it.
func TestProgressOfOneNode(t *testing.T) {
	r := newTestNode(t, 60)
	r.generation(tight())
	r.must(r.open())
	t.Cleanup(r.stop)
	g, why, bad := r.running(2), "no space", errors.New("bad")
	if p := r.m.progress(2, 5); p.State != StateFollowing || p.Seq != 0 || p.Compared != 0 || p.DiffAt != "" {
		t.Errorf("nothing is folded, and the log is short: %+v", p)
	}
	r.fold(2, r.seq)
	if p := r.m.progress(2, 5); p.Seq != r.seq || p.Compared != 0 || p.DiffAt != "" {
		t.Errorf("folded and not compared: %+v", p)
	}
	if p := r.m.progress(2, 0); p.DiskFree != 1<<40 || p.Committed != r.seq {
		t.Errorf("%+v", p)
	}
	g.paused.Store(&why)
	if p := r.m.progress(2, 0); p.State != StatePaused || p.Why != why || p.ETA != -1 || !Follows(p) {
		t.Errorf("paused: %+v", p)
	}
	g.failed.Store(&bad)
	if p := r.m.progress(2, 0); p.State != StateFailed || p.Why != "bad" || Follows(p) {
		t.Errorf("failed, which goes before paused: %+v", p)
	}
}

// TestEstimates: how long a generation still takes, from how far it is behind and how fast it folds.
func TestEstimates(t *testing.T) {
	r := newTestNode(t, 0)
	for range Following + 100 {
		r.pack(r.pad())
	}
	r.generation(tight())
	r.must(r.open())
	t.Cleanup(r.stop)
	p := r.m.progress(2, 0)
	if p.State != StateBuilding || p.ETA != -1 || Follows(p) {
		t.Errorf("no rate yet: %+v", p)
	}
	r.running(2).meter.rate = 50
	if p := r.m.progress(2, 0); p.State != StateBuilding || p.Rate != 50 || math.Abs(p.ETA-float64(r.seq)/50) > 1e-9 {
		t.Errorf("%d events at 50 a second: %+v", r.seq, p)
	}
	r.fold(2, 100)
	if p := r.m.progress(2, 0); p.Seq < 100 || math.Abs(p.ETA-float64(r.seq)/50) > 1e-9 {
		t.Errorf("what is folded and not compared is still to be done: %+v", p)
	}
	r.running(1).meter.rate = 10
	r.fold(1, 100)
	active := r.m.progress(1, 0)
	if active.Compared != active.Seq || active.State == StateBuilding && math.Abs(active.ETA-float64(r.seq-active.Seq)/10) > 1e-9 {
		t.Errorf("the active one counts as compared: %+v", active)
	}
}

// TestEdgeOfFollowing: a generation follows while it is at most so many events behind.
func TestEdgeOfFollowing(t *testing.T) {
	for behind, want := range map[int]string{Following: StateFollowing, Following + 1: StateBuilding} {
		r := newTestNode(t, 0)
		for r.seq < uint64(behind) {
			r.pack(r.pad())
		}
		r.must(r.open())
		if p := r.m.progress(1, 0); p.State != want || p.Committed != uint64(behind) || p.Compared != 0 {
			t.Errorf("%d behind: %+v", behind, p)
		}
		r.stop()
	}
}

// TestAgree: what a majority of the voters has said, and who has not.
func TestAgree(t *testing.T) {
	for _, c := range []struct {
		said   []string // by voter, "" for nothing
		voters int
		want   bool
	}{
		{[]string{"a"}, 1, true},
		{[]string{""}, 1, false},
		{[]string{"a", "a", "a"}, 3, true},
		{[]string{"a", "a", ""}, 3, true},
		{[]string{"a", "", ""}, 3, false},
		{[]string{"a", "a", "b"}, 3, false},
		{[]string{"a", ""}, 2, false},
		{[]string{"a", "a", "", "", ""}, 5, false},
		{[]string{"a", "a", "a", "", ""}, 5, true},
		{[]string{"", "", ""}, 3, false},
	} {
		var nodes []wire.NodeProgress
		var reporters, absent []string
		for i, s := range c.said {
			name := "n" + string('1'+rune(i))
			nodes = append(nodes, wire.NodeProgress{Node: name, DiffAt: s})
			if s == "" {
				absent = append(absent, name)
			} else {
				reporters = append(reporters, name)
			}
		}
		agree, gotReporters, gotAbsent := Agree(nodes, c.voters, diffAt)
		if agree != c.want || !slices.Equal(gotReporters, reporters) || !slices.Equal(gotAbsent, absent) {
			t.Errorf("%q: %v, %v, %v", c.said, agree, gotReporters, gotAbsent)
		}
	}
}

// TestFollows: a node whose disk makes it wait still follows while it is close to the end.
func TestFollows(t *testing.T) {
	for _, c := range []struct {
		state               string
		committed, compared uint64
		want                bool
	}{
		{StateFollowing, 1e6, 0, true},
		{StatePaused, 1e6, 1e6 - Following, true},
		{StatePaused, 1e6, 1e6 - Following - 1, false},
		{StatePaused, 5, 9, true}, // the node has compared more than it said was committed a moment ago
		{StateBuilding, 1e6, 1e6, false},
		{StateFailed, 1e6, 1e6, false},
		{StateUnreachable, 0, 0, false},
	} {
		p := wire.NodeProgress{State: c.state, Committed: c.committed, Compared: c.compared}
		if got := Follows(p); got != c.want {
			t.Errorf("%+v: %v", p, got)
		}
	}
}

// TestDiffText: a position and a digest, as an operator copies them from a review to an activation.
func TestDiffText(t *testing.T) {
	digest := [32]byte{0xab, 31: 0x01}
	text := DiffText(0x1f, digest)
	if want := "000000000000001f" + "ab" + strings.Repeat("00", 30) + "01"; text != want {
		t.Fatalf("%s, want %s", text, want)
	}
	if position, got, ok := ParseDiff(text); !ok || position != 0x1f || got != digest {
		t.Errorf("%d %x %v", position, got, ok)
	}
	for _, bad := range []string{"", text[1:], text[2:], text + "00", "zz" + text[2:], text + " "} {
		if _, _, ok := ParseDiff(bad); ok {
			t.Errorf("%q is a comparison", bad)
		}
	}
}

// TestMeter: the rate is that of the last seconds, nothing before the first one has passed, and never less than 0.
func TestMeter(t *testing.T) {
	began := time.Unix(1e9, 0)
	type reading struct {
		after time.Duration
		seq   uint64
		want  float64
	}
	for name, readings := range map[string][]reading{
		"steady":              {{0, 0, 0}, {time.Second, 100, 100}, {2 * time.Second, 200, 100}},
		"within a second":     {{0, 0, 0}, {time.Second / 2, 500, 0}, {time.Second, 1000, 1000}},
		"faster":              {{0, 0, 0}, {time.Second, 100, 100}, {2 * time.Second, 400, 200}, {3 * time.Second, 700, 250}},
		"stands still":        {{0, 50, 0}, {time.Second, 150, 100}, {2 * time.Second, 150, 50}, {3 * time.Second, 150, 25}},
		"a long step":         {{0, 0, 0}, {10 * time.Second, 1000, 100}},
		"begins in the midst": {{5 * time.Second, 1000, 0}, {6 * time.Second, 1100, 100}},
	} {
		var m meter
		for _, r := range readings {
			m.note(r.seq, began.Add(r.after))
			if got := m.perSecond(); math.Abs(got-r.want) > 1e-9 {
				t.Errorf("%s, after %s: %v events a second, want %v", name, r.after, got, r.want)
			}
		}
	}
}
