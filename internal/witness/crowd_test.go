package witness

import (
	"errors"
	"testing"
)

// TestUnprovenForksLeaveRoom: whoever sends public checkpoints with wrong hashes does not keep a proven fork out.
func TestUnprovenForksLeaveRoom(t *testing.T) {
	r := newRig(t)
	one, two := tree(400, 10, "a"), tree(400, 10, "b")
	_, err := r.w.Add(r.request(one, 0, 16))
	must(t, err)
	for i := range maxForks {
		wrong := r.request(one, 16, uint64(17+i))
		wrong.Proof = [][32]byte{{byte(i)}}
		if _, err := r.w.Add(wrong); err == nil {
			t.Fatalf("checkpoint %d with wrong hashes is cosigned", i)
		}
	}
	_, err = r.w.Add(r.request(one, 16, 301))
	must(t, err)
	if _, err = r.w.Add(r.request(two, 301, 301)); !errors.Is(err, ErrFork) {
		t.Errorf("a fork: %v", err)
	}
	list, err := List(r.o.Dir)
	if err != nil || list[0].Forks != 1 || list[0].Unproven != maxUnproven {
		t.Errorf("%+v, %v", list, err)
	}
}
