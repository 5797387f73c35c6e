package auditor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/witness"
)

// Contradiction is a pair of checkpoints that the ledger signed and that cannot both be right, the one of fewer events
// first.
type Contradiction struct {
	File   string       `json:"file,omitempty"` // with both, "" without a directory to keep it in
	Proven bool         `json:"proven"`         // by the two notes and the hashes alone
	Fork   witness.Fork `json:"fork"`
}

// keptNotes returns the checkpoints that earlier runs kept in the directory. An earlier run keeps none that a trusted
// key did not sign. So one that is not signed as it says, or under another name than that of its ledger, is ErrChanged.
// One of other keys of its ledger needs the old key.
func (o *Options) keptNotes() (notes []Note, err error) {
	texts, err := witness.KeptCheckpoints(o.Dir)
	if errors.Is(err, witness.ErrDamaged) {
		return nil, fmt.Errorf("%w: %w", ErrChanged, err)
	}
	if err != nil {
		return nil, err
	}
	for _, text := range texts {
		_, _, err := evidence.OpenCheckpoint(text, o.Keys...)
		switch {
		case errors.Is(err, evidence.ErrUnsigned) && signedAsItself(text):
			return nil, fmt.Errorf("the checkpoint that an earlier run kept in %s: %w. Give the old public key too", o.Dir,
				err)
		case err != nil:
			return nil, fmt.Errorf("%w: the checkpoint that an earlier run kept in %s: %w", ErrChanged, o.Dir, err)
		}
		notes = append(notes, Note{From: "an earlier run in " + o.Dir, Text: text})
	}
	return notes, nil
}

// signedAsItself reports whether a signature of a checkpoint has the name of its origin, as those of its keys have.
func signedAsItself(text []byte) bool {
	body, signatures, _ := strings.Cut(string(text), "\n\n")
	origin, _, _ := strings.Cut(body, "\n")
	for line := range strings.Lines(signatures) {
		if strings.HasPrefix(line, "— "+origin+" ") {
			return true
		}
	}
	return false
}

// keep makes the newest checkpoint of each ledger that was compared the one that later runs compare with. It replaces
// none that was not compared.
func (a *audit) keep() error {
	texts, err := witness.KeptCheckpoints(a.Dir)
	if err != nil {
		return err
	}
	for _, text := range texts {
		if len(a.kept) > 0 && !slices.ContainsFunc(a.kept, func(k claim) bool { return bytes.Equal(k.note, text) }) {
			return fmt.Errorf("%w: a checkpoint came into %s during the run", ErrChanged, a.Dir)
		}
	}
	newest := map[string]claim{}
	for _, k := range a.kept {
		if k.at > newest[k.origin].at {
			newest[k.origin] = k
		}
	}
	for _, k := range newest {
		if err := witness.KeepCheckpoint(a.Dir, k.note); err != nil {
			return err
		}
	}
	return nil
}

// contradictions keeps the checkpoint that the source shows with each one from before that it contradicts.
func (a *audit) contradictions(ctx context.Context) error {
	for i := range a.kept {
		shown := &a.kept[i]
		for j := range a.kept {
			if k := &a.kept[j]; shown.shown && !k.shown && k.origin == shown.origin {
				if err := a.contradiction(ctx, k, shown); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (a *audit) contradiction(ctx context.Context, k, shown *claim) error {
	low, high := k, shown
	if low.at > high.at {
		low, high = high, low
	}
	proof, grew := a.proof(ctx, low, high)
	f, err := witness.NewFork(low.note, high.note, proof, a.Now())
	if err != nil {
		return err
	}
	back := k.at > a.shows()
	switch {
	case f.Proven:
		a.r.differ(low.at, high.at, "a fork: %s covers %d events and %s covers %d, and they are not of one ledger",
			k.by, k.at, shown.by, shown.at)
	case back:
		a.r.differ(a.shows()+1, k.at, "rolled back: %s covers %d events, %s covers %d, and the ledger ends at event %d",
			k.by, k.at, shown.by, shown.at, a.shows())
	case grew || len(a.r.Differences) == 0:
		return nil
	}
	c := Contradiction{Proven: f.Proven, Fork: f}
	if a.keeps {
		if c.File, err = witness.KeepFork(a.Dir, f); err != nil {
			return err
		}
	}
	a.r.Contradictions = append(a.r.Contradictions, c)
	return nil
}

// shows returns the last event that the source shows.
func (a *audit) shows() uint64 {
	end := a.w.derived.Cursor().Seq
	if a.w.shown != 0 {
		return min(end, a.w.shown)
	}
	return end
}

// proof returns hashes that say how two checkpoints stand to each other: from the events here, else from the source.
// grew reports that the first one is of the ledger of the second one. Hashes that say neither are nil.
func (a *audit) proof(ctx context.Context, low, high *claim) (hashes [][32]byte, grew bool) {
	old, next := low.checkpoint(), high.checkpoint()
	if old.Size == next.Size || old.Size == 0 {
		return nil, old.Size == 0 || old.Root == next.Root
	}
	var ways []func() ([][32]byte, error)
	if next.Size <= a.w.derived.Cursor().Seq {
		ways = append(ways, func() ([][32]byte, error) { return a.w.derived.Consistency(old.Size, next.Size) })
	}
	if p, ok := a.Source.(prover); ok {
		ways = append(ways, func() ([][32]byte, error) { return p.consistency(ctx, old.Size, next.Size) })
	}
	for _, way := range ways {
		hashes, err := way()
		if err != nil {
			continue
		}
		if evidence.CheckConsistency(old.Size, next.Size, old.Root, next.Root, hashes) == nil {
			return hashes, true
		}
		if evidence.ProvesFork(old, next, hashes) {
			return hashes, false
		}
	}
	return nil, false
}

func (c *claim) checkpoint() evidence.Checkpoint {
	return evidence.Checkpoint{Origin: c.origin, Size: c.at, Root: [32]byte(c.log)}
}
