package node

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/recount-ledger/recount/internal/agreement"
	"github.com/recount-ledger/recount/internal/projections"
)

// raised keeps the questions that were raised, in order.
type raised struct {
	all    []agreement.Question
	folded int
}

func (r *raised) Raise(q agreement.Question) bool {
	r.all = append(r.all, q)
	return true
}

func (r *raised) RaiseFolded(q agreement.Question) bool {
	r.folded++
	return r.Raise(q)
}

// fixedControl is a control state with one generation active and some events disputed.
type fixedControl struct {
	active   uint32
	disputed map[uint64]uint64
}

func (c fixedControl) Active() (number uint32, since uint64) { return c.active, 0 }
func (c fixedControl) Disputed(seq uint64) uint64            { return c.disputed[seq] }

// TestMismatchRaisesAQuestion: facts that do not hold are asked about once, and only for the active generation.
func TestMismatchRaisesAQuestion(t *testing.T) {
	for name, c := range map[string]struct {
		generation uint32
		seq        uint64
		want       []agreement.Question
	}{
		"active generation":       {2, 7, []agreement.Question{{About: agreement.Facts, Seq: 7}}},
		"other generation":        {1, 7, nil},
		"disputed in the log":     {2, 9, nil},
		"neither of the two":      {3, 9, nil},
		"another event, the same": {2, 8, []agreement.Question{{About: agreement.Facts, Seq: 8}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &raised{}
			h := host{
				log:     slog.New(slog.DiscardHandler),
				doubts:  r,
				control: fixedControl{active: 2, disputed: map[uint64]uint64{9: 12}},
			}
			h.FactsMismatch(c.generation, c.seq)
			if !slices.Equal(r.all, c.want) {
				t.Errorf("asked %v, want %v", r.all, c.want)
			}
		})
	}
}

// TestFoldedDigestRaisesAQuestion: a follower has a digest compared when the log contradicts it, a leader always.
// Only the contradiction carries the logged value, which suspends the node.
func TestFoldedDigestRaisesAQuestion(t *testing.T) {
	row := projections.DigestRow{Seq: 12, At: 10, Generation: 1, State: [32]byte{1}}
	for name, c := range map[string]struct {
		leads, agrees, asks, suspends bool
	}{
		"follower that agrees":   {false, true, false, false},
		"follower that does not": {false, false, true, true},
		"leader that agrees":     {true, true, true, false},
		"leader that does not":   {true, false, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := &raised{}
			host{doubts: r, leads: func() bool { return c.leads }}.DigestFolded(row, c.agrees)
			if (r.folded == 1) != c.asks || len(r.all) != r.folded {
				t.Fatalf("%d of %d questions are about a folded digest", r.folded, len(r.all))
			}
			for _, q := range r.all {
				if q.About != agreement.Digest || q.Generation != 1 || q.Seq != 10 || (q.Logged != "") != c.suspends {
					t.Errorf("%+v", q)
				}
			}
		})
	}
}
