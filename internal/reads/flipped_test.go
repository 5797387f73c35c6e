package reads

import (
	"slices"
	"testing"

	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
)

// recordedFlips are flips of one pcs_id, in the order in which history/ has them.
type recordedFlips struct {
	Generations
	all []fsm.Recorded
}

func (r recordedFlips) Recorded(_ string, upTo uint64, limit int) ([]fsm.Recorded, error) {
	n, _ := slices.BinarySearchFunc(r.all, upTo, func(x fsm.Recorded, upTo uint64) int {
		if x.Activation <= upTo {
			return -1
		}
		return 1
	})
	return r.all[max(0, n-limit):n], nil
}

func (r *recordedFlips) add(activation, from, to uint64) {
	for seq := from; seq <= to; seq++ {
		r.all = append(r.all, fsm.Recorded{Activation: activation, Flip: projections.Flip{Seq: seq}})
	}
}

// TestFlippedOfManyActivations: a submission that only an early activation changed is not left out of the middle, when a
// later one changed more than one answer shows.
func TestFlippedOfManyActivations(t *testing.T) {
	for name, c := range map[string]struct {
		early, late [2]uint64 // first and last submission that an activation changed
		from        uint64    // the first one of the answer
		more        bool
	}{
		"all of them":     {[2]uint64{1, 10}, [2]uint64{11, 20}, 1, false},
		"as many as fit":  {[2]uint64{1, 10}, [2]uint64{11, historyLimit}, 1, false},
		"one more":        {[2]uint64{1, 10}, [2]uint64{11, historyLimit + 1}, 2, true},
		"newer ones":      {[2]uint64{3000, 3009}, [2]uint64{1, 2999}, 3009 - historyLimit + 1, true},
		"the same":        {[2]uint64{1, 2000}, [2]uint64{1, 2000}, 2000 - historyLimit + 1, true},
		"many, and older": {[2]uint64{1, 2000}, [2]uint64{1500, 2500}, 2500 - historyLimit + 1, true},
	} {
		var r recordedFlips
		r.add(5000, c.early[0], c.early[1])
		r.add(6000, c.late[0], c.late[1])
		v := &view{gens: r}
		seqs, more, err := v.flipped(t.Context(), "", projections.Latest)
		if err != nil || more != c.more || seqs[0] != c.from || seqs[len(seqs)-1] != max(c.early[1], c.late[1]) ||
			len(seqs) != int(seqs[len(seqs)-1]-c.from)+1 {
			t.Errorf("%s: %d from %d to %d, more %v, %v", name, len(seqs), seqs[0], seqs[len(seqs)-1], more, err)
		}
	}
}
