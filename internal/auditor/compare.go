package auditor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
)

// claim has the digests that somebody gave for the ledger after an event. A digest that is nil says nothing.
type claim struct {
	by                  string
	at                  uint64
	log, state, control []byte
	generation          uint32 // of state
	origin              string // of a checkpoint
	note                []byte // its text
	shown               bool   // by the source
	logged              bool   // by a leader
}

// claimOf makes a claim of digests in hex. A digest that is no hex equals none.
func claimOf(by string, at uint64, log, state, control string, generation uint32) claim {
	digest := func(text string) []byte {
		b, err := hex.DecodeString(text)
		if err != nil || len(b) != 32 {
			return []byte(text)
		}
		return b
	}
	return claim{by: by, at: at, log: digest(log), state: digest(state), control: digest(control),
		generation: generation}
}

// comparison compares claims with the fold, in the order of their events.
type comparison struct {
	w    *work
	r    *Report
	end  uint64            // last event folded
	seen uint64            // last event that the source shows, of those
	good map[string]uint64 // by what was compared: the last event at which it agreed
	bad  map[string]bool   // it has differed
}

// logged is the number of logged digests that are read at once.
const logged = 1000

// run compares the digests in the log, and between them other claims.
func (c *comparison) run(ctx context.Context, others []claim) error {
	slices.SortStableFunc(others, func(a, b claim) int { return cmp.Compare(a.at, b.at) })
	for from := uint64(1); ; {
		rows, err := c.w.derived.LoggedDigests(from, logged)
		if err != nil {
			return err
		}
		for _, row := range rows {
			for len(others) > 0 && others[0].at <= row.At {
				if err := c.compare(ctx, &others[0]); err != nil {
					return err
				}
				others = others[1:]
			}
			c.r.Digests++
			said := claim{by: fmt.Sprintf("the digest in event %d", row.Seq), at: row.At, log: row.Log[:],
				state: row.State[:], control: row.Control[:], generation: row.Generation,
				logged: true}
			if err := c.compare(ctx, &said); err != nil {
				return err
			}
			from = row.Seq + 1
		}
		if len(rows) < logged {
			break
		}
		c.w.tell("digests", from, c.end)
	}
	for i := range others {
		if err := c.compare(ctx, &others[i]); err != nil {
			return err
		}
	}
	return nil
}

// compare compares one claim.
func (c *comparison) compare(ctx context.Context, said *claim) error {
	if said.at > c.seen && !c.bad["end"] {
		c.bad["end"] = true
		c.r.differ(c.seen+1, said.at, "missing: %s covers %d events, and there are %d", said.by, said.at, c.seen)
	}
	if said.at > c.end {
		return nil
	}
	root, err := c.w.derived.Root(said.at)
	if err != nil {
		return err
	}
	c.same("the root of the events", said, said.log, root)
	control, err := c.w.derived.ControlDigest(said.at)
	if err != nil {
		return err
	}
	c.same(controlState, said, said.control, control)
	if said.state == nil {
		return nil
	}
	return c.outcomes(ctx, said)
}

// outcomes compares the state digest, whether or not its generation was ever active.
func (c *comparison) outcomes(ctx context.Context, said *claim) error {
	what := outcomesOf(said.generation)
	if _, ok := c.w.derived.Control().Generation(said.generation); !ok {
		switch {
		case c.bad[what]:
		case said.logged:
			c.r.differ(said.at, said.at, "%s: no event starts this generation, and %s gives a digest of it", what,
				said.by)
		default: // it may have been started later
			c.r.not("%s, of which %s gives a digest: no event up to event %d starts this generation", what, said.by,
				c.end)
		}
		c.bad[what] = true
		return nil
	}
	g, err := c.w.generation(ctx, said.generation, said.at)
	if err != nil {
		return err
	}
	state, err := stateAt(g, said.at)
	if err != nil {
		return err
	}
	c.same(what, said, said.state, state)
	return nil
}

// controlState names what operators did in words.
const controlState = "the control state"

func outcomesOf(generation uint32) string {
	return fmt.Sprintf("the outcomes in generation %d", generation)
}

// unsaid notes the generations of whose outcomes nobody gave a digest, and those whose last digest is not about all of
// them. One good digest says nothing of the outcomes behind it.
func (c *comparison) unsaid() error {
	var none, part []string
	for _, g := range c.w.derived.Control().Generations() {
		what := outcomesOf(g.Number)
		last, good := c.good[what]
		if c.bad[what] {
			continue
		}
		if !good {
			none = append(none, fmt.Sprint(g.Number))
			continue
		}
		had, err := c.w.derived.Submissions(last)
		if err != nil {
			return err
		}
		all, err := c.w.derived.Submissions(c.answered(&g))
		if err != nil {
			return err
		}
		if had < all {
			part = append(part, fmt.Sprintf("of generation %d behind event %d", g.Number, last))
		}
	}
	if len(none) > 0 {
		c.r.not("outcomes of %s %s: no digest of them is in the log or was given",
			plural(uint64(len(none)), "generation"), strings.Join(none, ", "))
	}
	if len(part) > 0 {
		c.r.not("outcomes %s: the digests that are in the log or were given end there", strings.Join(part, ", "))
	}
	return c.uncontrolled()
}

// answered returns the last event whose outcome in a generation an audit is about: the end, or the event since which a
// dropped generation answers no more.
func (c *comparison) answered(g *projections.GenerationRow) uint64 {
	if g.Dropped == 0 || g.Dropped > c.end {
		return c.end
	}
	until := uint64(0)
	for _, a := range c.w.derived.Control().Activations() {
		if a.From == g.Number && a.Seq <= c.end {
			until = a.Seq
		}
	}
	return until
}

// uncontrolled notes the control state behind the last digest of it.
func (c *comparison) uncontrolled() error {
	last := c.good[controlState]
	had, err := c.w.derived.ControlDigest(last)
	if err != nil {
		return err
	}
	all, err := c.w.derived.ControlDigest(c.end)
	if err == nil && had != all && !c.bad[controlState] {
		c.r.not("%s behind event %d: no digest of it is in the log or was given", controlState, last)
	}
	return err
}

func stateAt(g *fsm.Generation, seq uint64) ([32]byte, error) {
	v := g.View()
	defer v.Close()
	return projections.DigestAt(v, seq)
}

// same compares one digest. Only the first difference of a kind is told: those behind it follow from it.
func (c *comparison) same(what string, said *claim, want []byte, got [32]byte) {
	switch {
	case want == nil || c.bad[what]:
	case bytes.Equal(want, got[:]):
		c.good[what] = said.at
	default:
		c.bad[what] = true
		c.r.differ(c.good[what]+1, said.at, "%s: after event %d the fold has %x, and %s says %x", what, said.at, got,
			said.by, want)
	}
}

// activations compares what the log says of each activation with a comparison of both generations.
func (c *comparison) activations(ctx context.Context) error {
	for _, a := range c.w.derived.Control().Activations() {
		if a.Seq > c.end {
			break
		}
		if err := c.activation(ctx, &a); err != nil {
			return err
		}
		c.r.Activations++
	}
	return nil
}

func (c *comparison) activation(ctx context.Context, a *projections.ActivationRow) error {
	old, err := c.w.generation(ctx, a.From, a.Seq)
	if err != nil {
		return err
	}
	g, err := c.w.generation(ctx, a.Generation, a.Seq)
	if err != nil {
		return err
	}
	pair, err := fsm.NewComparison(old, g, c.w.derived)
	if err != nil {
		return err
	}
	err = pair.Run(ctx, a.Seq, func(ctx context.Context) error {
		c.w.tell("differences", pair.Seq(), a.Seq)
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	diff, _, err := pair.Digest(a.Position)
	if err != nil {
		return err
	}
	if diff != a.Diff {
		c.r.differ(a.Seq, a.Seq, "it activates generation %d with the differences %x to generation %d, and the fold "+
			"has %x", a.Generation, a.Diff, a.From, diff)
	}
	return c.recorded(g, a)
}

// recorded compares what was recorded in the log of the changes at an activation.
func (c *comparison) recorded(g *fsm.Generation, a *projections.ActivationRow) error {
	if a.Recorded == nil {
		return nil
	}
	v := g.View()
	defer v.Close()
	digest, err := projections.FlipDigestAt(v, a.Seq)
	if err != nil {
		return err
	}
	flips := uint64(0)
	err = projections.EachFlip(v, 1, a.Seq, func(*projections.Flip) bool {
		flips++
		return true
	})
	if err == nil && (digest != a.Recorded.Digest || flips != a.Recorded.Flips) {
		c.r.differ(a.Recorded.Seq, a.Recorded.Seq, "it records %d changes with the digest %x of the activation at "+
			"event %d, and the fold has %d with %x", a.Recorded.Flips, a.Recorded.Digest, a.Seq, flips, digest)
	}
	return err
}
