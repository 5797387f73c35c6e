package fsm

import (
	"slices"

	"github.com/recount-ledger/recount/internal/projections"
)

// Digests are the digests of the log, of one generation and of the control state at one event. Nodes that have
// folded the same have the same.
type Digests struct{ Log, State, Control [32]byte }

// DigestsAt returns the digests at event seq, which both d and g must have folded.
func (d *Derived) DigestsAt(g *Generation, seq uint64) (out Digests, err error) {
	if out.Log, err = d.rootAt(seq); err != nil {
		return out, err
	}
	if out.State, err = g.digestAt(seq); err != nil {
		return out, err
	}
	out.Control, err = d.controlAt(seq)
	return out, err
}

// rootAt returns the root of the tree of the first seq events, from memory or from the tiles.
func (d *Derived) rootAt(seq uint64) ([32]byte, error) {
	if root, ok := d.ends.find(seq); ok && d.Damage() == nil {
		return root, nil
	}
	return d.Root(seq)
}

// digestAt returns the digest of the generation at event seq, from memory or from the rows.
func (g *Generation) digestAt(seq uint64) ([32]byte, error) {
	if digest, ok := g.ends.find(seq); ok && g.Damage() == nil {
		return digest, nil
	}
	view := g.View()
	defer view.Close()
	return projections.DigestAt(view, seq)
}

// controlAt returns the digest of the control state at event seq, from memory or from the rows.
func (d *Derived) controlAt(seq uint64) ([32]byte, error) {
	if last, digest := d.ctrl.Digest(); last <= seq && d.Damage() == nil {
		return digest, nil
	}
	return d.ControlDigest(seq)
}

// Bytes returns the three digests one after the other, as nodes send them to each other.
func (d Digests) Bytes() []byte { return slices.Concat(d.Log[:], d.State[:], d.Control[:]) }
