package witness

import (
	"errors"
	"fmt"
	"testing"

	"github.com/recount-ledger/recount/evidence"
)

// TestForkIsKept: both notes of a fork are kept once, they convince a third party, and the first branch goes on.
func TestForkIsKept(t *testing.T) {
	for _, c := range []struct {
		name      string
		old, size uint64 // of the second branch
		forks     int
		unproven  int
		code      error
	}{
		{"same size", 13, 13, 1, 0, ErrFork},
		{"same size, from another one", 2, 13, 1, 0, ErrFork},
		{"grown", 13, 17, 1, 0, ErrFork},
		{"smaller", 11, 12, 0, 0, nil},
	} {
		r := newRig(t)
		one, two := tree(20, 10, "a"), tree(20, 10, "b")
		_, err := r.w.Add(r.request(one, 0, 13))
		must(t, err)
		for range 2 {
			lines, err := r.w.Add(r.request(two, c.old, c.size))
			if err == nil || lines != nil || c.code != nil && !errors.Is(err, c.code) {
				t.Errorf("%s: %v", c.name, err)
			}
			r.reopen()
		}
		list, err := List(r.o.Dir)
		must(t, err)
		if len(list) != 1 || list[0].Forks != c.forks || list[0].Unproven != c.unproven || list[0].Size != 13 {
			t.Errorf("%s: %+v", c.name, list)
		}
		for _, f := range list[0].Files {
			fork, err := ReadFork(f.Path)
			must(t, err)
			_, strange, err := evidence.NewSecretKey(origin)
			must(t, err)
			if err := fork.Check(r.trusted...); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if err := fork.Check(strange.Public()); !errors.Is(err, evidence.ErrSignature) {
				t.Errorf("%s: a stranger's key: %v", c.name, err)
			}
		}
		if _, err := r.w.Add(r.request(one, 13, 20)); err != nil {
			t.Errorf("%s: the first branch: %v", c.name, err)
		}
	}
}

// TestForkFromAPowerOfTwo: a proof from there starts at the root of the witness and never shows a fork. Both notes
// are kept as not proven, and the next size that is seen proves it.
func TestForkFromAPowerOfTwo(t *testing.T) {
	r := newRig(t)
	one, two := tree(20, 10, "a"), tree(20, 10, "b")
	_, err := r.w.Add(r.request(one, 0, 16))
	must(t, err)
	if _, err := r.w.Add(r.request(two, 16, 18)); !errors.Is(err, evidence.ErrProof) || errors.Is(err, ErrFork) {
		t.Errorf("%v", err)
	}
	list, err := List(r.o.Dir)
	must(t, err)
	if list[0].Forks != 0 || list[0].Unproven != 1 {
		t.Errorf("%+v", list)
	}
	if f, err := ReadFork(list[0].Files[0].Path); err != nil || !errors.Is(f.Check(r.trusted...), evidence.ErrProof) {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := r.w.Add(r.request(two, 16, 16)); !errors.Is(err, ErrFork) {
		t.Errorf("%v", err)
	}
}

// TestForksAreBounded: the holder of a key of the ledger cannot fill the disk of the witness.
func TestForksAreBounded(t *testing.T) {
	r := newRig(t)
	_, err := r.w.Add(r.request(tree(3, 0, "a"), 0, 3))
	must(t, err)
	for i := range maxForks + 5 {
		if _, err := r.w.Add(r.request(tree(3, 0, fmt.Sprint(i)), 3, 3)); !errors.Is(err, ErrFork) {
			t.Fatal(err)
		}
	}
	if list, err := List(r.o.Dir); err != nil || list[0].Forks != maxForks {
		t.Errorf("%d, %v", list[0].Forks, err)
	}
}
