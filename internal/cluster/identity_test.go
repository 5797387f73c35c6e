package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestDirectories: a node starts on the directory that it has always had, and on an empty one only when the operator says that
// the cluster is new.
func TestDirectories(t *testing.T) {
	entry := &raft.Log{Index: 1, Term: 1}
	for name, c := range map[string]struct {
		change func(b *box, n *node)
		config func(*Config)
		want   error
	}{
		"empty, no word":       {func(*box, *node) {}, func(c *Config) { c.NewCluster = false }, ErrEmptyDirectory},
		"identity without log": {func(b *box, _ *node) { b.own("n1") }, nil, ErrLostLog},
		"log without identity": {func(b *box, n *node) {
			b.stableOf("n1", map[string]uint64{"CurrentTerm": 1})
			_ = n.logs.StoreLog(entry)
		}, nil, ErrInconsistent},
		"another node's":        {func(b *box, n *node) { b.own("n2"); _ = os.Rename(b.nodes["n2"].dir, n.dir) }, nil, ErrForeignDirectory},
		"another cluster's":     {func(b *box, _ *node) { b.own("n1") }, func(c *Config) { c.ClusterID = "other" }, ErrForeignDirectory},
		"damaged identity":      {func(b *box, n *node) { b.own("n1"); flip(b.t, filepath.Join(n.dir, IdentityFile), 60) }, nil, ErrInconsistent},
		"emptied identity":      {func(b *box, n *node) { b.own("n1"); _ = os.Truncate(filepath.Join(n.dir, IdentityFile), 0) }, nil, ErrInconsistent},
		"all gone but the vote": {func(b *box, _ *node) { b.stableOf("n1", map[string]uint64{"CurrentTerm": 4}) }, nil, ErrLostLog},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, "n1", "n2", "n3")
			n := b.nodes["n1"]
			c.change(b, n)
			before, _ := n.logs.LastIndex()
			cfg := b.config("n1")
			if c.config != nil {
				c.config(&cfg)
			}
			if _, err := Open(cfg, n.logs, n.fsm, n.fsm); !errors.Is(err, c.want) {
				t.Errorf("Open: %v, want %v", err, c.want)
			}
			if last, _ := n.logs.LastIndex(); last != before {
				t.Error("something was written to the log")
			}
		})
	}
}

// TestFlippedIdentity: a node refuses its directory after any flipped bit of the identity, and says what to do. It once
// gave no advice about a flip behind the end of the document.
func TestFlippedIdentity(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	b.own("n1")
	cfg := b.config("n1")
	path := filepath.Join(cfg.Dir, IdentityFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := readIdentity(cfg.Dir, cfg.ClusterID, cfg.NodeID)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(good) * 8 {
		bad := slices.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		id, _, err := readIdentity(cfg.Dir, cfg.ClusterID, cfg.NodeID)
		if err == nil && id == want {
			continue // other white space, or letter case in the name of a member
		}
		if !errors.Is(err, ErrInconsistent) || !strings.Contains(err.Error(), "leave this node stopped") {
			t.Errorf("bit %d of byte %d: %v", bit%8, bit/8, err)
		}
	}
}

// TestWipedMember: a member that lost its directory is refused by itself and by everybody who has met it, and knows it.
func TestWipedMember(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	last := b.propose(b.leader(), "x")
	for _, n := range b.nodes {
		until(t, "everybody has it", func() bool { return n.fsm.at(last) == "x" })
		until(t, "everybody has met everybody", func() bool {
			r := n.c.peer.roster
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(r.known) == 2
		})
	}
	b.stop("n1")
	n := b.nodes["n1"]
	if err := os.RemoveAll(n.dir); err != nil {
		t.Fatal(err)
	}
	n.logs, n.fsm = newMemLog(), newMemFSM()
	if _, err := b.open("n1", func(c *Config) { c.NewCluster = false }); !errors.Is(err, ErrEmptyDirectory) {
		t.Errorf("without the word: %v", err)
	}
	if _, err := b.open("n1", nil); !errors.Is(err, ErrLostLog) {
		t.Errorf("with the word: %v", err)
	}
	b.stop("n2")
	b.stop("n3")
	b.start("n1", nil) // nobody answers, so it starts; but the others remember it
	b.start("n2", nil)
	until(t, "n1 is told that it is another one", func() bool { return n.c.Standing() != nil })
	if b.nodes["n2"].c.Standing() != nil || b.nodes["n2"].c.PeerRefusals() == 0 {
		t.Errorf("n2: %v", b.nodes["n2"].c.Standing())
	}
	if _, ok := n.c.Leader(); ok {
		t.Error("the wiped node has a leader")
	}
	b.start("n3", nil)
	until(t, "the other two go on", func() bool {
		_, two := b.nodes["n2"].c.IsLeader()
		_, three := b.nodes["n3"].c.IsLeader()
		return two || three
	})
	if have, _ := b.nodes["n2"].logs.LastIndex(); have < last || n.c.Standing() == nil {
		t.Error("n2 lost its log, or n1 serves")
	}
}

// TestShorterLog: a member that comes back with a shorter log than it has had committed is refused.
func TestShorterLog(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	cfg := b.config("n1")
	cfg.setDefaults()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	open := func() *roster {
		r, err := newRoster(&cfg, founded(cfg.Voters), func() (last, commit uint64) { return 0, 0 })
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	says := hello{incarnation: newIdentity(&cfg).Incarnation, boot: newIdentity(&cfg).Incarnation, founders: digestOf(cfg.Voters), last: 30, commit: 20}
	admit := func(r *roster, last uint64, ok bool) {
		t.Helper()
		h := says
		h.last, h.commit = last, min(h.commit, last)
		if _, err := r.admit("n2", h.String()); (err == nil) != ok {
			t.Errorf("log of %d: %v", last, err)
		}
	}
	r := open()
	admit(r, 30, true)
	admit(r, 10, true) // an older message of the same process
	says.boot = newIdentity(&cfg).Incarnation
	admit(r, 19, false)
	admit(r, 20, true)
	r = open()
	admit(r, 19, false)
	admit(r, 20, true)
	flip(t, r.path, 40)
	if _, err := newRoster(&cfg, founded(cfg.Voters), nil); err == nil {
		t.Error("a damaged file was read")
	}
}

// TestOtherVoters: a node that counts only itself, and one whose voters name it, do not both serve.
func TestOtherVoters(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	b.start("n2", nil)
	b.start("n3", nil)
	b.start("n1", func(c *Config) { c.Voters = c.Voters[:1] })
	until(t, "n1 hears of the others", func() bool { return b.nodes["n1"].c.Standing() != nil })
	b.leader("n1")
	until(t, "n2 and n3 agree", func() bool { return b.nodes["n2"].c.Standing() == nil && b.nodes["n3"].c.Standing() == nil })
	if b.nodes["n1"].c.Standing() == nil {
		t.Error("n1 serves")
	}
}

func flip(t testing.TB, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// otherVoters is a slip in the settings of one node.
func otherVoters(c *Config) {
	c.Voters = append(append([]Voter{}, c.Voters...), Voter{ID: "n4", PeerAddr: "127.0.0.1:1"}, Voter{ID: "n5", PeerAddr: "127.0.0.1:2"})
}

// TestOneMemberDenies: a single member that refuses the others, with wrong settings or on purpose, stops none of them.
func TestOneMemberDenies(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	b.isolate("n3", true)
	b.start("n3", otherVoters)
	b.start("n1", nil)
	b.start("n2", nil)
	b.isolate("n3", false)
	b.leader("n3")
	for _, id := range []string{"n1", "n2"} {
		r := b.nodes[id].c.peer.roster
		until(t, id+" is refused by n3", func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.denied["n3"].reason != ""
		})
	}
	until(t, "n1 and n2 serve", func() bool { return b.nodes["n1"].c.Standing() == nil && b.nodes["n2"].c.Standing() == nil })
	if b.nodes["n3"].c.Standing() == nil {
		t.Error("n3 serves")
	}
}

// TestFirstStartAfterASlip: a first start that was refused because of another node's settings succeeds once they are mended.
func TestFirstStartAfterASlip(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	b.isolate("n3", true)
	b.start("n2", nil)
	b.start("n3", otherVoters)
	b.isolate("n3", false)
	if _, err := b.open("n1", nil); err == nil || errors.Is(err, ErrLostLog) {
		t.Fatalf("first start: %v", err)
	}
	b.stop("n3")
	n := b.nodes["n3"]
	if err := os.RemoveAll(n.dir); err != nil {
		t.Fatal(err)
	}
	n.logs, n.fsm = newMemLog(), newMemFSM()
	b.start("n3", nil)
	b.start("n1", nil)
	b.leader()
}

// TestFirstStartBesideASlowPeer: a new node of a cluster that has begun asks on while too few answer, and says so when it gives
// up, not that it lost its disk.
func TestFirstStartBesideASlowPeer(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	b.start("n2", nil)
	b.start("n3", nil)
	b.propose(b.leader(), "x")
	b.net.set("n1", "n3", true)
	patient := func(c *Config) { c.askLimit = 5 * time.Second } // n2 has time to answer on a busy machine
	soon := func(c *Config) { patient(c); c.StartTimeout = 3 * time.Second }
	if _, err := b.open("n1", soon); !errors.Is(err, ErrTooFewAnswers) || errors.Is(err, ErrLostLog) {
		t.Fatalf("beside one that does not answer: %v", err)
	}
	opened := make(chan error, 1)
	tries := b.net.tries("n1", "n3")
	go func() {
		_, err := b.open("n1", patient)
		opened <- err
	}()
	until(t, "n1 asks n3 again", func() bool { return b.net.tries("n1", "n3") > tries+1 })
	b.net.set("n1", "n3", false)
	if err := <-opened; err != nil {
		t.Fatalf("n3 answers late: %v", err)
	}
	if err := b.nodes["n1"].c.Start(); err != nil {
		t.Fatal(err)
	}
	last := b.propose(b.leader("n1"), "y")
	until(t, "n1 takes part", func() bool { return b.nodes["n1"].fsm.at(last) == "y" })
}

// TestMemberIsWrittenDownFirst: a member that could not be written down is not admitted, at the second attempt neither.
func TestMemberIsWrittenDownFirst(t *testing.T) {
	r, says := lonely(t)
	blocker := r.path + ".new"
	if err := os.MkdirAll(blocker, 0o700); err != nil { // a directory where the file has to be written
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.admit("n2", says.String()); err == nil {
			t.Error("admitted, and a crash now would forget it")
		}
	}
	if _, err := os.Stat(r.path); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if err := os.Remove(blocker); err != nil {
		t.Fatal(err)
	}
	if _, err := r.admit("n2", says.String()); err != nil {
		t.Error(err)
	}
	if rows, err := readMembers(r.path); err != nil || rows["n2"].Incarnation != says.incarnation {
		t.Errorf("%v %v", rows, err)
	}
	says.commit = says.last + 1
	if _, err := r.admit("n2", says.String()); err == nil {
		t.Error("a node has committed more than it has")
	}
}

// TestMembersFile: what this release did not write is refused with the reason, not taken for what is known.
func TestMembersFile(t *testing.T) {
	r, says := lonely(t)
	good := map[string]memberRow{"n2": {says.incarnation, 7}}
	for name, f := range map[string]*memberFile{
		"another format":    {Format: membersFormat + 1, Members: good},
		"no format":         {Members: good},
		"no members":        {Format: membersFormat},
		"short incarnation": {Format: membersFormat, Members: map[string]memberRow{"n2": {"abc", 7}}},
	} {
		if err := writeSummed(r.path, f); err != nil {
			t.Fatal(err)
		}
		_, err := newRoster(r.cfg, founded(r.cfg.Voters), nil)
		advised := err != nil && (strings.Contains(err.Error(), "leave this node stopped") ||
			strings.Contains(err.Error(), "run the release"))
		if !errors.Is(err, ErrInconsistent) || !advised {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := writeSummed(r.path, &memberFile{Format: membersFormat, Members: good}); err != nil {
		t.Fatal(err)
	}
	if _, err := newRoster(r.cfg, founded(r.cfg.Voters), nil); err != nil {
		t.Error(err)
	}
	raw, err := os.ReadFile(r.path)
	if err == nil {
		err = os.WriteFile(r.path, append(raw, "{}"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newRoster(r.cfg, founded(r.cfg.Voters), nil); !errors.Is(err, ErrInconsistent) {
		t.Errorf("with more after the end: %v", err)
	}
}

// lonely is the roster of n1, and what n2 says.
func lonely(t *testing.T) (*roster, hello) {
	t.Helper()
	cfg := newBox(t, "n1", "n2", "n3").config("n1")
	cfg.setDefaults()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r, err := newRoster(&cfg, founded(cfg.Voters), func() (last, commit uint64) { return 0, 0 })
	if err != nil {
		t.Fatal(err)
	}
	return r, hello{incarnation: newIdentity(&cfg).Incarnation, boot: newIdentity(&cfg).Incarnation, founders: digestOf(cfg.Voters), last: 30, commit: 20}
}

// TestDocumentsOfTomorrow: a document of a later format has members that this release does not know, and a sum over
// them. It is refused for its format, with what to do, and is not taken for damage.
func TestDocumentsOfTomorrow(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{`{"format":2,"more":"x"}`, `{"format":2,"node_id":"n1","sum":"none"}`} {
		path := filepath.Join(dir, IdentityFile)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err1 := CheckDirectory(dir, "c", "n1")
		_, err2 := readMembers(path)
		for _, err := range []error{err1, err2} {
			if !errors.Is(err, ErrInconsistent) || !strings.Contains(err.Error(), "run the release that wrote it") ||
				strings.Contains(err.Error(), "damaged") {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
}
