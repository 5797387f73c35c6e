package cluster

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestFlipsOfTheVote flips one bit at a time in every region of the stable store, and cuts it: the node remembers exactly how it
// voted, or refuses to start.
func TestFlipsOfTheVote(t *testing.T) {
	db := filepath.Join(t.TempDir(), stableName)
	path := filepath.Join(filepath.Dir(db), votesName)
	s, err := openStable(db)
	if err != nil {
		t.Fatal(err)
	}
	for term := uint64(1); term <= 5; term++ {
		if err := errors.Join(s.SetUint64(keyTerm, term), s.SetUint64(keyVoteTerm, term), s.Set(keyVoteCand, []byte("10.0.0.1:94"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.SetUint64(keyTerm, 7), s.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	opens := func(what string, b []byte, mayRefuse bool) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openStable(db)
		if err != nil {
			if !mayRefuse || !errors.Is(err, ErrInconsistent) {
				t.Errorf("%s: %v", what, err)
			}
			return
		}
		defer s.Close()
		if s.now.term != 7 || s.now.voteTerm != 5 || string(s.now.candidate) != "10.0.0.1:94" {
			t.Errorf("%s: remembers term %d, vote in %d for %q", what, s.now.term, s.now.voteTerm, s.now.candidate)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 100 {
		at := rng.IntN(len(whole))
		if i%2 == 0 {
			at = at%48 + i%4/2*stableCopy // the fields themselves
		}
		b := append([]byte(nil), whole...)
		b[at] ^= 1 << rng.IntN(8)
		opens("flip", b, false)
	}
	for _, n := range []int{1, 47, stableCopy - 1} {
		b := append([]byte(nil), whole[:n]...)
		opens("cut", b, true)
	}
	both := append([]byte(nil), whole...)
	both[13] ^= 1
	both[stableCopy+13] ^= 1
	opens("both copies damaged", both, true)
	// A crash after the first of the two writes.
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err = openStable(db); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.SetUint64(keyTerm, 8), s.Close()); err != nil {
		t.Fatal(err)
	}
	newer, _ := os.ReadFile(path)
	older, _ := parseBallot(whole[:stableCopy])
	if next, ok := parseBallot(newer[:stableCopy]); !ok || next.seq != older.seq+2 {
		t.Fatalf("sequence %d after %d", next.seq, older.seq)
	}
}

// TestFlipsOfTheDatabase flips one bit at a time in raft.db, and takes it back to an older one: the node remembers exactly how it
// voted, or refuses to start. Without the votes beside it, it refuses.
func TestFlipsOfTheDatabase(t *testing.T) {
	db := filepath.Join(t.TempDir(), stableName)
	s, err := openStable(db)
	if err != nil {
		t.Fatal(err)
	}
	var older []byte
	for term := uint64(1); term <= 5; term++ {
		if older, err = os.ReadFile(db); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.SetUint64(keyTerm, term), s.SetUint64(keyVoteTerm, term), s.Set(keyVoteCand, []byte("10.0.0.1:94"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	opens := func(what string, b []byte) {
		t.Helper()
		if err := os.WriteFile(db, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openStable(db)
		if err != nil {
			return
		}
		defer s.Close()
		voted, _ := s.GetUint64(keyVoteTerm)
		inBolt, _ := s.boltUint64(keyVoteTerm)
		if candidate, _ := s.Get(keyVoteCand); s.now.term != 5 || voted != 5 || inBolt != 5 || string(candidate) != "10.0.0.1:94" {
			t.Errorf("%s: remembers term %d, vote in %d (%d) for %q", what, s.now.term, voted, inBolt, candidate)
		}
	}
	opens("an older database", older)
	rng := rand.New(rand.NewPCG(3, 4))
	for range 40 {
		b := append([]byte(nil), whole...)
		b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		opens("flip", b)
	}
	if err := errors.Join(os.WriteFile(db, whole, 0o600), os.Remove(filepath.Join(filepath.Dir(db), votesName))); err != nil {
		t.Fatal(err)
	}
	if _, err := openStable(db); !errors.Is(err, ErrInconsistent) {
		t.Errorf("without the votes: %v", err)
	}
}
