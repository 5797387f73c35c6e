package cluster

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestLearnerOfAnotherDirectory: a learner that was added by its token is known by the directory that the ledger names,
// not by the one that comes first. Before this node has read the entry that names it, it keeps neither.
func TestLearnerOfAnotherDirectory(t *testing.T) {
	r, says := lonely(t)
	servers := []raft.Server{{Suffrage: raft.Voter, ID: "n1", Address: "h:1"}, {Suffrage: raft.Nonvoter, ID: "n4", Address: "h:4"}}
	r.members.set(newConfiguration(9, servers))
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
