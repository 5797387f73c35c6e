package cluster

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// joinedBy returns the roster of n1 once entry 9 has added n4, and the hello of a node that it never met.
func joinedBy(t *testing.T, suffrage raft.ServerSuffrage) (*roster, hello) {
	t.Helper()
	r, says := lonely(t)
	r.members.set(newConfiguration(9, []raft.Server{{Suffrage: raft.Voter, ID: "n1", Address: "h:1"},
		{Suffrage: suffrage, ID: "n4", Address: "h:4"}}))
	return r, says
}

// TestLearnerOfAnotherDirectory: a learner that was added by its token is known by the directory that the ledger names,
// not by the one that comes first. Before this node has read the entry that names it, it keeps neither.
func TestLearnerOfAnotherDirectory(t *testing.T) {
	r, says := joinedBy(t, raft.Nonvoter)
	joined, index := "", uint64(8)
	r.cfg.JoinedFrom = func(string) (string, uint64) { return joined, index }
	first, second := says, says
	second.incarnation = newIdentity(r.cfg).Incarnation
	for _, h := range []hello{first, second} {
		if _, err := r.admit("n4", h.String()); err != nil || len(r.known) != 0 {
			t.Fatalf("before the ledger is read: %v, %v", err, r.known)
		}
	}
	joined, index = second.incarnation, 9
	if _, err := r.admit("n4", first.String()); !errors.Is(err, errOtherDirectory) || len(r.known) != 0 {
		t.Errorf("the directory that came first: %v, %v", err, r.known)
	}
	if _, err := r.admit("n4", second.String()); err != nil || r.known["n4"].Incarnation != joined {
		t.Errorf("the directory with the token: %v, %v", err, r.known)
	}
	if _, err := r.admit("n4", first.String()); !errors.Is(err, errOtherDirectory) {
		t.Errorf("the other one, later: %v", err)
	}
	joined, index = "", 8 // the ledger forgets old invitations
	if _, err := r.admit("n4", second.String()); err != nil {
		t.Error(err)
	}
}

// TestStrangerBecomesAMember: a node that was away takes those who were added meanwhile for strangers that are ahead of it.
// Once it has caught up it knows them, and serves at once.
func TestStrangerBecomesAMember(t *testing.T) {
	r, says := lonely(t)
	if _, err := r.admit("n9", says.String()); err != nil {
		t.Fatal(err)
	}
	if err := r.standing(); err == nil || !strings.Contains(err.Error(), errForked.Error()) {
		t.Errorf("while it is behind: %v", err)
	}
	servers := []raft.Server{{Suffrage: raft.Voter, ID: "n1", Address: "h:1"}, {Suffrage: raft.Nonvoter, ID: "n9", Address: "h:9"}}
	r.members.set(newConfiguration(9, servers))
	if err := r.standing(); err != nil {
		t.Errorf("once it has caught up: %v", err)
	}
}

// TestTokenOfALearner: a learner that was added without its token may use it later. Another directory may not.
func TestTokenOfALearner(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	n4 := b.joins("n4")
	b.change("add n4", func(ctx context.Context, c *Cluster) error { return c.AddLearner(ctx, "n4", n4.c.cfg.addrOf("n4")) })
	change := Change{Kind: Added, ID: "n4", Addr: n4.c.cfg.addrOf("n4"), Incarnation: n4.c.cfg.self.Incarnation}
	b.change("the node itself", func(ctx context.Context, c *Cluster) error {
		done, err := c.CheckChange(ctx, change)
		if err == nil && !done {
			err = errors.New("it would be added again")
		}
		return err
	})
	change.Incarnation = newIdentity(&n4.c.cfg).Incarnation
	if _, err := b.leader().c.CheckChange(short(t, 10*time.Second), change); !errors.Is(err, ErrOtherNode) {
		t.Errorf("another directory: %v", err)
	}
}

// TestRightDirectoryOfAVoter: a node that has not read yet from which directory a voter was added takes the first one that
// comes. Once it has read it, the other one is refused, and the right one takes its place, also after a restart.
func TestRightDirectoryOfAVoter(t *testing.T) {
	r, says := joinedBy(t, raft.Voter)
	joined, index := "", uint64(8)
	r.cfg.JoinedFrom = func(string) (string, uint64) { return joined, index }
	wrong, right := says, says
	right.incarnation = newIdentity(r.cfg).Incarnation
	if _, err := r.admit("n4", wrong.String()); err != nil || r.known["n4"].Incarnation != wrong.incarnation {
		t.Fatalf("before the ledger is read: %v, %v", err, r.known)
	}
	joined, index = right.incarnation, 9
	if _, err := r.admit("n4", wrong.String()); !errors.Is(err, errOtherDirectory) {
		t.Errorf("the directory that came first: %v", err)
	}
	if err := r.admitVisit("n4", wrong.incarnation); !errors.Is(err, errOtherDirectory) {
		t.Errorf("a visit of the directory that came first: %v", err)
	}
	if err := r.admitVisit("n4", right.incarnation); err != nil {
		t.Errorf("a visit of the right one: %v", err)
	}
	if _, err := r.admit("n4", right.String()); err != nil {
		t.Errorf("the right one: %v", err)
	}
	again, err := newRoster(r.cfg, r.members, r.state)
	if err != nil || again.known["n4"].Incarnation != right.incarnation {
		t.Errorf("after a restart: %v, %v", again.known, err)
	}
}

// TestStreamOfAnotherDirectory: a stream that was opened before the ledger was read ends once it names another directory.
func TestStreamOfAnotherDirectory(t *testing.T) {
	r, says := joinedBy(t, raft.Voter)
	joined, index, asked := "", uint64(8), 0
	r.cfg.JoinedFrom = func(string) (string, uint64) { asked++; return joined, index }
	open := func() *stream {
		here, there := net.Pipe()
		t.Cleanup(func() { _, _ = here.Close(), there.Close() })
		go func() { _, _ = io.Copy(there, there) }()
		return &stream{Conn: here, id: "n4", incarnation: says.incarnation, roster: r}
	}
	echo := func(s *stream) error {
		if _, err := s.Write([]byte("entry")); err != nil {
			return err
		}
		_, err := s.Read(make([]byte, 5))
		return err
	}
	s := open()
	if err := echo(s); err != nil {
		t.Fatalf("before the ledger is read: %v", err)
	}
	if _, err := s.Write([]byte("entry")); err != nil {
		t.Fatal(err)
	}
	joined, index = newIdentity(r.cfg).Incarnation, 9
	if _, err := s.Read(make([]byte, 5)); !errors.Is(err, errOtherDirectory) {
		t.Errorf("an answer to what was sent before: %v", err)
	}
	if _, err := s.Conn.Write(nil); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the stream is open: %v", err)
	}
	if err := echo(open()); !errors.Is(err, errOtherDirectory) {
		t.Error("an entry was sent to the other directory")
	}
	joined, asked = says.incarnation, 0
	right := open()
	for range 3 {
		if err := echo(right); err != nil {
			t.Error(err)
		}
	}
	if asked != 1 {
		t.Errorf("the ledger was asked %d times about a directory that it names", asked)
	}
}
