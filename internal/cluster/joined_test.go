package cluster

import (
	"errors"
	"testing"

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
