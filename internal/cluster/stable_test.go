package cluster

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vote stores a term and a vote in it.
func vote(t *testing.T, s *stableStore, term uint64) {
	t.Helper()
	if err := errors.Join(s.SetUint64(keyTerm, term), s.SetUint64(keyVoteTerm, term),
		s.Set(keyVoteCand, []byte("10.0.0.1:94"))); err != nil {
		t.Fatal(err)
	}
}

// votesOfFive makes a stable store with votes in the terms 1 to 5 and with the current term 7. It returns the path of
// the database and the bytes of the votes.
func votesOfFive(t *testing.T) (db string, votes []byte) {
	t.Helper()
	db = filepath.Join(t.TempDir(), stableName)
	s, err := openStable(db)
	if err != nil {
		t.Fatal(err)
	}
	for term := uint64(1); term <= 5; term++ {
		vote(t, s, term)
	}
	if err := errors.Join(s.SetUint64(keyTerm, 7), s.Close()); err != nil {
		t.Fatal(err)
	}
	votes, err = os.ReadFile(filepath.Join(filepath.Dir(db), votesName))
	if err != nil {
		t.Fatal(err)
	}
	return db, votes
}

// TestFlipsOfTheVote flips one bit at a time in every region of the stable store, and cuts it: the node remembers
// exactly how it voted, or refuses to start.
func TestFlipsOfTheVote(t *testing.T) {
	db, whole := votesOfFive(t)
	path := filepath.Join(filepath.Dir(db), votesName)
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
	for _, n := range []int{0, 1, 47, stableCopy - 1} {
		b := append([]byte(nil), whole[:n]...)
		opens("cut", b, true)
	}
	both := append([]byte(nil), whole...)
	both[13] ^= 1
	both[stableCopy+13] ^= 1
	opens("both copies damaged", both, true)
}

// copiesOfTerms stores the terms 8 and 9, and returns the copy of each term from 7 on.
func copiesOfTerms(t *testing.T, db string) map[uint64][]byte {
	t.Helper()
	s, err := openStable(db)
	if err != nil {
		t.Fatal(err)
	}
	copies := map[uint64][]byte{}
	for term := uint64(7); term <= 9; term++ {
		if term > 7 {
			err = s.SetUint64(keyTerm, term)
		}
		raw, errRead := os.ReadFile(filepath.Join(filepath.Dir(db), votesName))
		if err := errors.Join(err, errRead); err != nil {
			t.Fatal(err)
		}
		b, ok := parseBallot(raw[:stableCopy])
		if !ok || b.term != term || string(raw[:stableCopy]) != string(raw[stableCopy:]) {
			t.Fatalf("the copies of term %d: %+v", term, b)
		}
		copies[term] = raw[:stableCopy]
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return copies
}

// TestCrashBetweenTheCopies: the copies of a change are written one after the other. What a crash in between leaves is
// read back as the older or the newer state, and what no crash leaves is refused.
func TestCrashBetweenTheCopies(t *testing.T) {
	db, _ := votesOfFive(t)
	path := filepath.Join(filepath.Dir(db), votesName)
	copies := copiesOfTerms(t, db)
	term7, term8, term9, torn := copies[7], copies[8], copies[9], make([]byte, stableCopy)
	for _, c := range []struct {
		name          string
		first, second []byte
		term          uint64 // 0: refused
	}{
		{"after both", term9, term9, 9},
		{"between the two", term9, term8, 9},
		{"in the first", torn, term8, 8},
		{"in the second", term9, torn, 9},
		{"the second is ahead", term8, term9, 0},
		{"the first is two ahead", term9, term7, 0},
	} {
		if err := os.WriteFile(path, append(append([]byte(nil), c.first...), c.second...), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openStable(db)
		if c.term == 0 {
			if !errors.Is(err, ErrInconsistent) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if inBolt, err := s.boltUint64(keyTerm); s.now.term != c.term || inBolt != c.term || err != nil {
			t.Errorf("%s: term %d, in the database %d, want %d: %v", c.name, s.now.term, inBolt, c.term, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestEmptyVotes: an empty file of votes is a start that was interrupted, unless the database remembers votes.
func TestEmptyVotes(t *testing.T) {
	db := filepath.Join(t.TempDir(), stableName)
	path := filepath.Join(filepath.Dir(db), votesName)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openStable(db)
	if err != nil {
		t.Fatalf("before the first vote: %v", err)
	}
	vote(t, s, 4)
	if err := errors.Join(s.Close(), os.Truncate(path, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := openStable(db); !errors.Is(err, ErrInconsistent) {
		t.Fatalf("after a vote: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("a refused start writes votes: %v", err)
	}
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := openStable(db); err == nil {
		t.Error("a directory of votes")
	}
}

// TestStableStoreKeepsThreeKeys: Raft uses three keys. Another one, and a name that a copy has no room for, are
// errors and change nothing.
func TestStableStoreKeepsThreeKeys(t *testing.T) {
	s, err := openStable(filepath.Join(t.TempDir(), stableName))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Get(keyVoteCand); err == nil || err.Error() != "not found" { // Raft compares the text
		t.Errorf("before the first vote: %v", err)
	}
	longest := []byte(strings.Repeat("a", maxCandidate))
	if err := errors.Join(s.SetUint64(keyTerm, 3), s.Set(keyVoteCand, longest)); err != nil {
		t.Fatal(err)
	}
	before := s.now
	for name, err := range map[string]error{
		"a long name":       s.Set(keyVoteCand, append(longest, 'a')),
		"an unknown key":    s.Set([]byte("x"), []byte("y")),
		"an unknown number": s.SetUint64([]byte("x"), 1),
	} {
		if err == nil {
			t.Errorf("%s is stored", name)
		}
	}
	if _, err := s.GetUint64([]byte("x")); err == nil {
		t.Error("an unknown number is found")
	}
	if got, err := s.Get(keyVoteCand); err != nil || string(got) != string(longest) || s.now.seq != before.seq {
		t.Errorf("%d bytes, sequence %d after %d: %v", len(got), s.now.seq, before.seq, err)
	}
}

// TestFlipsOfTheDatabase flips one bit at a time in raft.db, and takes it back to an older one: the node remembers
// exactly how it voted, or refuses to start. Without the votes beside it, it refuses.
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
		vote(t, s, term)
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
		candidate, _ := s.Get(keyVoteCand)
		if s.now.term != 5 || voted != 5 || inBolt != 5 || string(candidate) != "10.0.0.1:94" {
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
	votes := filepath.Join(filepath.Dir(db), votesName)
	if err := errors.Join(os.WriteFile(db, whole, 0o600), os.Remove(votes)); err != nil {
		t.Fatal(err)
	}
	if _, err := openStable(db); !errors.Is(err, ErrInconsistent) {
		t.Errorf("without the votes: %v", err)
	}
}

// dyingFile is a file of the votes. The power goes before one of its writes.
type dyingFile struct {
	votesFile
	left *int
}

func (f dyingFile) WriteAt(b []byte, at int64) (int, error) {
	if *f.left--; *f.left < 0 {
		return 0, errors.New("the power is gone")
	}
	return f.votesFile.WriteAt(b, at)
}

// TestCrashesOfStarts: the power goes in a write, and again in each of the starts that follow. The node still knows how
// it voted.
func TestCrashesOfStarts(t *testing.T) {
	for writes := range 4 {
		db, _ := votesOfFive(t)
		left := 1 << 20
		open := func(path string, flags int) (votesFile, error) {
			f, err := votesOnDisk(path, flags)
			return dyingFile{f, &left}, err
		}
		s, err := openStableWith(db, open)
		if err != nil {
			t.Fatal(err)
		}
		left = 1
		if err := s.SetUint64(keyTerm, 8); err == nil {
			t.Fatal("the second copy was written")
		}
		_ = s.Close()
		for range 3 {
			left = writes
			if s, err := openStableWith(db, open); err == nil {
				_ = s.Close()
			}
		}
		s, err = openStable(db)
		if err != nil {
			t.Fatalf("%d writes per start: %v", writes, err)
		}
		if s.now.term != 8 || s.now.voteTerm != 5 {
			t.Errorf("%d writes per start: term %d, voted in %d", writes, s.now.term, s.now.voteTerm)
		}
		_ = s.Close()
	}
}
