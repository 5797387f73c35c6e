package cluster

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// foundingMemLog is a log in memory that founds a cluster.
type foundingMemLog struct{ *memLog }

func (foundingMemLog) CommittedTo(uint64) {}

// TestTwoFoundings: one log founds two clusters under one id. Raft takes two entries of one index and term for the same, so
// their new entries have different terms.
func TestTwoFoundings(t *testing.T) {
	terms := map[uint64]string{}
	for _, id := range []string{"b-1", "b-2", "b-3"} {
		logs := foundingMemLog{newMemLog()}
		for i := uint64(1); i <= 3; i++ {
			if err := logs.StoreLog(&raft.Log{Index: i, Term: 7}); err != nil {
				t.Fatal(err)
			}
		}
		dir := filepath.Join(t.TempDir(), id)
		f := Founding{Dir: dir, ClusterID: "b", NodeID: id, PeerAddr: "127.0.0.1:1", Created: time.Now()}
		if err := Found(f, logs, []byte("restored")); err != nil {
			t.Fatal(err)
		}
		var first, second raft.Log
		for i, e := range map[uint64]*raft.Log{4: &first, 5: &second} {
			if err := logs.GetLog(i, e); err != nil {
				t.Fatal(err)
			}
		}
		if other, twice := terms[first.Term]; twice || first.Term <= 7 || second.Term != first.Term {
			t.Errorf("%s has the terms %d and %d, %s has one of them", id, first.Term, second.Term, other)
		}
		terms[first.Term] = id
	}
}
