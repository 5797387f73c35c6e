package cluster

import (
	"context"
	"errors"
	"testing"
	"time"
)

// visit prepares a visit with the directory of a stopped node.
func (b *box) visit(id string, change func(*Config)) *Visit {
	b.t.Helper()
	cfg := b.config(id)
	if change != nil {
		change(&cfg)
	}
	v, err := NewVisit(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(v.Close)
	return v
}

// TestFence: the fence is not before an entry that the leader has sent and that nobody else has stored yet, and
// the leader gives it only once that entry is committed. Without a majority there is no fence.
func TestFence(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	b.propose(b.leader(), "a")
	gone := b.followers(b.leader())[0].id
	b.stop(gone)
	v := b.visit(gone, nil)
	last := b.propose(b.leader(), "b")
	f, err := v.Fence(t.Context())
	if term, _ := b.leader().c.IsLeader(); err != nil || f.Index < last || f.Term != term {
		t.Fatalf("%+v, %v: entry %d, term %d", f, err, last, term)
	}
	lead := b.leader()
	b.stop(b.followers(lead)[0].id)
	future := lead.c.raft.Load().Apply([]byte("c"), time.Second) // stays alone
	until(t, "the leader has stored it", func() bool {
		end, err := lead.c.logs.LastIndex()
		return err == nil && end > f.Index
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if f, err := v.Fence(ctx); !errors.Is(err, ErrNoLeader) {
		t.Errorf("without a majority: %+v, %v", f, err)
	}
	if err := future.Error(); err == nil {
		t.Error("one of three committed an entry")
	}
}

// TestVisits: a member that does not run may call what is open to visits and nothing else. Refused are another
// directory, a node that is no member, and one that was removed. The visitor refuses a member with another
// directory than it knew.
func TestVisits(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	b.propose(b.leader(), "a")
	lead := b.leader()
	gone := b.followers(lead)[0].id
	b.stop(gone)
	refused := func(v *Visit, path, code string) {
		t.Helper()
		_, err := v.Call(short(t, 5*time.Second), lead.id, path, nil)
		var remote *RemoteError
		if !errors.As(err, &remote) || remote.Code != code {
			t.Errorf("%s: %v, want %s", path, err, code)
		}
	}
	v := b.visit(gone, nil)
	refused(v, pathTerm, codeRefused)
	refused(v, pathReadIndex, codeRefused)
	if _, err := v.Call(short(t, 5*time.Second), lead.id, pathFence, nil); err != nil {
		t.Errorf("the fence: %v", err)
	}
	v.hello = visitPrefix + "00000000000000000000000000000000"
	refused(v, pathFence, codeRefused)
	v.hello = visitPrefix + "x"
	refused(v, pathFence, codeRefused)
	v = b.visit(gone, nil)
	v.known[lead.id] = memberRow{Incarnation: "00000000000000000000000000000000"}
	if _, err := v.Call(short(t, 5*time.Second), lead.id, pathFence, nil); !errors.Is(err, errRefused) {
		t.Errorf("a member with another directory: %v", err)
	}
	b.change("remove "+gone, func(ctx context.Context, c *Cluster) error { return c.Remove(ctx, gone) })
	lead = b.leader()
	refused(b.visit(gone, nil), pathFence, CodeRemoved)
}

// TestPromises reads the term of a stopped node from a copy, and refuses files that do not tell it. A raised term
// stays, and so does the vote.
func TestPromises(t *testing.T) {
	b := newBox(t, "n1").startAll()
	b.propose(b.leader(), "a")
	term, _ := b.leader().c.IsLeader()
	b.stop("n1")
	dir := b.config("n1").Dir
	got, err := Promises(dir, t.TempDir()+"/stable")
	if err != nil || got != term {
		t.Fatalf("term %d, %v, want %d", got, err, term)
	}
	for _, to := range []uint64{term + 7, term + 3} {
		if err := RaiseTerm(dir, to); err != nil {
			t.Fatal(err)
		}
	}
	if got, err = Promises(dir, t.TempDir()+"/stable"); err != nil || got != term+7 {
		t.Errorf("raised: term %d, %v", got, err)
	}
	s, err := openStable(dir + "/stable/" + stableName)
	if err != nil {
		t.Fatal(err)
	}
	voted, err := s.GetUint64(keyVoteTerm)
	if err := errors.Join(err, s.Close()); err != nil || voted != term {
		t.Errorf("the vote is of term %d, want %d: %v", voted, term, err)
	}
	if err := writeMarker(dir, joiningName); err != nil {
		t.Fatal(err)
	}
	if _, err := Promises(dir, t.TempDir()+"/stable"); !errors.Is(err, ErrNoPromises) {
		t.Errorf("a node that joins: %v", err)
	}
}
