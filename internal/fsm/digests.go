package fsm

import (
	"slices"

	"github.com/recount-ledger/recount/internal/projections"
)

// Digests are the digests of the log, of one generation and of the control state at one event. Nodes that have
// folded the same have the same.
type Digests struct{ Log, State, Control [32]byte }

// DigestsAt returns the digests at event seq, which both d and g must have folded.
func (d *Derived) DigestsAt(g *Generation, seq uint64) (Digests, error) {
	var out Digests
	var err error
	if out.Log, err = d.Root(seq); err != nil {
		return out, err
	}
	view := g.View()
	defer view.Close()
	if out.State, err = projections.DigestAt(view, seq); err != nil {
		return out, err
	}
	out.Control, err = d.ControlDigest(seq)
	return out, err
}

// Bytes returns the three digests one after the other, as nodes send them to each other.
func (d Digests) Bytes() []byte { return slices.Concat(d.Log[:], d.State[:], d.Control[:]) }
