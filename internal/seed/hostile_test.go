package seed

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/wire"
)

// TestPoisonedCopy: the process ends within every check of the copy of one member, as it would if the files were
// made for that. After some starts the log comes from another member, and nothing of all that is left.
func TestPoisonedCopy(t *testing.T) {
	bad, good := newMember(t, "n1", entries), newMember(t, "n2", entries)
	j := newJoiner(t, bad, good)
	ended := 0
	j.step = func(name string) error {
		p, err := readPlan(filepath.Join(j.dir, seedName))
		if name == "checking" && err == nil && p.Member == "n1" {
			ended++
			return errCrash
		}
		return nil
	}
	for j.start() != nil {
		if ended > maxChecks {
			t.Fatalf("%d processes ended", ended)
		}
	}
	if ended != maxChecks {
		t.Errorf("%d processes ended, want %d", ended, maxChecks)
	}
	j.same(good)
	if _, err := os.Stat(filepath.Join(j.dir, avoidName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
}

// TestPoisonedByAll: a node whose only source ends it gets the log from Raft.
func TestPoisonedByAll(t *testing.T) {
	j := newJoiner(t, newMember(t, "n1", entries))
	must(t, os.MkdirAll(filepath.Join(j.dir, seedName), 0o700))
	must(t, os.WriteFile(filepath.Join(j.dir, seedName, checkingName), []byte("4\n"), 0o600))
	out, r := j.run()
	if out != Replicate || !slices.Equal(r.avoided(), []string{"n1"}) {
		t.Errorf("%d, avoided %q", out, r.avoided())
	}
}

// TestSlowPreparation: a member that says less progress than before makes none, and one that says too much is refused.
func TestSlowPreparation(t *testing.T) {
	m := newMember(t, "n1", entries)
	asked := 0
	m.disturb(func(path string, answer []byte, err error) ([]byte, error) {
		if path != MakePath || err != nil {
			return answer, err
		}
		var a wire.CopyAnswer
		must(t, json.Unmarshal(answer, &a))
		if asked++; asked < 3 {
			a.State, a.Files, a.Hashed = wire.CopyPreparing, nil, a.Bytes+int64(asked)-1
		}
		return json.Marshal(a)
	})
	j := newJoiner(t, m)
	_, r := j.run()
	if s := r.Status(); s.Failures != 1 || !errors.Is(s.Last, errBadAnswer) {
		t.Errorf("%+v", s)
	}
	j.check(m)
}

// TestGreedyMember: a member may read some parts at once and make some copies in a while. What is too much is
// refused, and other members notice nothing of it.
func TestGreedyMember(t *testing.T) {
	m := newMember(t, "n1", entries)
	busy := func(err error) bool {
		var remote *cluster.RemoteError
		return errors.As(err, &remote) && remote.Code == codeBusy
	}
	var a wire.CopyAnswer
	make1 := func(from string) error {
		raw, err := m.source.Make(t.Context(), from, nil)
		if err == nil {
			err = json.Unmarshal(raw, &a)
		}
		return err
	}
	for i := range maxMakes {
		must(t, make1("n9"))
		raw, err := json.Marshal(part{ID: a.ID})
		must(t, err)
		if _, err := m.source.Done(t.Context(), "n9", raw); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if err := make1("n9"); !busy(err) {
		t.Errorf("one copy too many: %v", err)
	}
	if m.source.mayMake("n9", time.Now()) || !m.source.mayMake("n9", time.Now().Add(makeWithin+time.Second)) {
		t.Error("the bound does not end")
	}
	must(t, make1("n8"))
	var ends []func()
	for range maxReads {
		end, ok := m.source.beginRead("n8")
		if !ok {
			t.Fatal("refused too early")
		}
		ends = append(ends, end)
	}
	raw, err := json.Marshal(part{ID: a.ID, Name: "end", Bytes: 10})
	must(t, err)
	if _, err := m.source.Read(t.Context(), "n8", raw); !busy(err) {
		t.Errorf("one read too many: %v", err)
	}
	if end, ok := m.source.beginRead("n7"); !ok {
		t.Error("another member is refused")
	} else {
		end()
	}
	for _, end := range ends {
		end()
	}
	if len(m.source.reading) != 0 {
		t.Errorf("%v", m.source.reading)
	}
}
