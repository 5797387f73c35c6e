package cluster

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// own writes the identity that a bootstrap would have written.
func (b *box) own(id string) {
	b.t.Helper()
	cfg := b.config(id)
	cfg.setDefaults()
	self := newIdentity(&cfg)
	if err := errors.Join(os.MkdirAll(cfg.Dir, 0o700), writeSummed(filepath.Join(cfg.Dir, IdentityFile), &self)); err != nil {
		b.t.Fatal(err)
	}
}

// stableOf writes a stable store by hand.
func (b *box) stableOf(id string, values map[string]uint64) {
	b.t.Helper()
	dir := filepath.Join(b.nodes[id].dir, "stable")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		b.t.Fatal(err)
	}
	s, err := openStable(filepath.Join(dir, stableName))
	if err != nil {
		b.t.Fatal(err)
	}
	for k, v := range values {
		if err := s.SetUint64([]byte(k), v); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) mark(id string) {
	b.t.Helper()
	if err := errors.Join(os.MkdirAll(b.nodes[id].dir, 0o700), writeMarker(b.nodes[id].dir, markerName)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) marked(id string) bool {
	b.t.Helper()
	found, err := exists(filepath.Join(b.nodes[id].dir, markerName))
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

// TestInterruptedBootstrapIsRepeated puts a node between the library's two writes, and before the first one.
func TestInterruptedBootstrapIsRepeated(t *testing.T) {
	for name, stable := range map[string]map[string]uint64{"term written": {"CurrentTerm": 1}, "nothing written": nil} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, "n1", "n2", "n3")
			b.stableOf("n1", stable)
			b.mark("n1")
			b.startAll()
			if b.marked("n1") {
				t.Error("the marker is still there")
			}
			lead := b.leader()
			last := b.propose(lead, "x")
			until(t, "n1 takes part", func() bool { return b.nodes["n1"].fsm.at(last) == "x" })
		})
	}
}

func TestBootstrapFinishedButMarkerLeft(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	b.propose(b.leader(), "x")
	b.stop("n1")
	b.mark("n1")
	b.start("n1", nil)
	if b.marked("n1") {
		t.Error("the marker is still there")
	}
}

func TestLostLogStopsTheNode(t *testing.T) {
	for name, c := range map[string]struct {
		stable map[string]uint64
		marked bool
	}{
		"term 1, no marker":   {map[string]uint64{"CurrentTerm": 1}, false},
		"term 7":              {map[string]uint64{"CurrentTerm": 7}, false},
		"term 7, old marker":  {map[string]uint64{"CurrentTerm": 7}, true},
		"a vote, old marker":  {map[string]uint64{"CurrentTerm": 1, "LastVoteTerm": 1}, true},
		"only a vote, marker": {map[string]uint64{"LastVoteTerm": 2}, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, "n1", "n2", "n3")
			b.stableOf("n1", c.stable)
			if c.marked {
				b.mark("n1")
			}
			if _, err := b.open("n1", nil); !errors.Is(err, ErrLostLog) {
				t.Errorf("Open: %v", err)
			}
			b.own("n1")
			if _, err := b.open("n1", nil); !errors.Is(err, ErrLostLog) {
				t.Errorf("Open with %s: %v", IdentityFile, err)
			}
			if last, _ := b.nodes["n1"].logs.LastIndex(); last != 0 {
				t.Error("something was written to the log")
			}
		})
	}
}

func TestContradictingStoresStopTheNode(t *testing.T) {
	servers := raft.Configuration{Servers: []raft.Server{{ID: "n1", Address: "a"}, {ID: "n2", Address: "b"}, {ID: "n3", Address: "c"}}}
	config := raft.EncodeConfiguration(servers)
	for name, change := range map[string]func(*node){
		"applied beyond the log":  func(n *node) { n.fsm.index, n.fsm.term = 9, 2 },
		"another term":            func(n *node) { n.fsm.term = 1 },
		"configuration too new":   func(n *node) { n.fsm.configIndex = 3 },
		"log newer than the term": func(n *node) { _ = n.logs.StoreLog(&raft.Log{Index: 3, Term: 5}) },
	} {
		b := newBox(t, "n1", "n2", "n3")
		b.stableOf("n1", map[string]uint64{"CurrentTerm": 2})
		b.own("n1")
		n := b.nodes["n1"]
		_ = n.logs.StoreLog(&raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: config})
		_ = n.logs.StoreLog(&raft.Log{Index: 2, Term: 2, Data: []byte("x")})
		n.fsm.index, n.fsm.term, n.fsm.config, n.fsm.configIndex = 2, 2, config, 1
		change(n)
		if _, err := b.open("n1", nil); !errors.Is(err, ErrInconsistent) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTheLogNamesTheMembers: a node that has a log counts the voters of the log, whatever its settings say.
func TestTheLogNamesTheMembers(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	b.leader()
	b.stop("n1")
	b.leader()
	c := b.start("n1", func(c *Config) { c.Voters = c.Voters[:2] })
	if got := c.Configuration().Voters; !slices.Equal(got, []string{"n1", "n2", "n3"}) {
		t.Errorf("voters %v", got)
	}
	last := b.propose(b.leader(), "x")
	until(t, "n1 takes part", func() bool { return b.nodes["n1"].fsm.at(last) == "x" })
	until(t, "n1 reaches n3, which its settings do not name", func() bool {
		_, err := c.Call(short(t, time.Second), "n3", "/echo", nil)
		return err == nil
	})
	if err := c.Standing(); err != nil {
		t.Error(err)
	}
}

func TestSyntheticSnapshot(t *testing.T) {
	fsm := newMemFSM()
	s := &snapshotStore{meta: fsm, log: slog.New(slog.DiscardHandler)}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("empty: %v, %v", list, err)
	}
	fsm.index, fsm.term, fsm.configIndex = 5, 2, 1
	for _, bad := range [][]byte{nil, {0xff, 0x01}} {
		fsm.config = bad
		if _, err := s.List(); !errors.Is(err, ErrInconsistent) {
			t.Errorf("configuration %x: %v", bad, err)
		}
	}
	fsm.config = raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: "n1", Address: "a"}}})
	list, err := s.List()
	if err != nil || len(list) != 1 || list[0].Index != 5 || list[0].Term != 2 || list[0].ConfigurationIndex != 1 || list[0].Configuration.Servers[0].ID != "n1" {
		t.Errorf("List: %+v, %v", list, err)
	}
	if _, _, err := s.Open("applied"); err == nil {
		t.Error("a snapshot was opened")
	}
	sink, err := s.Create(1, 5, 2, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write([]byte("x")); err == nil || sink.Close() != nil || sink.Cancel() != nil || sink.ID() == "" {
		t.Error("the sink takes bytes or does not close")
	}
}
