package export

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// lists compares the lists of operations, keys, policies and generations with the control state after the last event.
// They may be of a later time, so what later events can have added is left out.
func (w *walk) lists(control *projections.Control, tx rows) error {
	if by := control.ActiveAfter(w.m.Range.ToSeq); by != w.m.Generation {
		w.fault(CheckHistory, "generation %d answered after event %d, not %d", by, w.m.Range.ToSeq, w.m.Generation)
	}
	if _, sum := control.Digest(); hex.EncodeToString(sum[:]) != w.m.End.Control {
		w.fault(CheckHistory, "the control state hashes to %x, and the manifest says %s", sum, w.m.End.Control)
	}
	for _, k := range control.Keys(w.m.Range.ToSeq) {
		if what := w.keyOtherwise(&k); what != "" {
			w.fault(CheckKeys, "%s has another %s of %q than the events", KeysFile, what, k.ID)
		}
	}
	for _, g := range control.Generations() {
		if what := w.generationOtherwise(&g); what != "" {
			w.fault(CheckGenerations, "%s has another %s of generation %d than the events", GenerationsFile, what,
				g.Number)
		}
	}
	if what := w.intervalsOtherwise(control.InForce()); what != "" {
		w.fault(CheckPolicies, "%s: %s", PoliciesFile, what)
	}
	return w.effects(tx)
}

// intervalsOtherwise compares when which policy was in force. The first releases did not list that.
func (w *walk) intervalsOtherwise(folded []projections.Interval) string {
	last := w.m.Range.ToSeq
	listed := slices.DeleteFunc(w.page.InForce(), func(i interval) bool { return i.FromSeq > last })
	if len(listed) == 0 {
		return ""
	}
	if len(listed) != len(folded) {
		return fmt.Sprintf("%d times in which a policy was in force, and the events have %d", len(listed), len(folded))
	}
	for n, f := range folded {
		l := listed[n]
		if l.Policy != hex.EncodeToString(f.Policy[:]) || l.FromSeq != f.FromSeq || l.Generation != f.Generation ||
			!w.same(l.ToSeq, f.ToSeq) {
			return fmt.Sprintf("policy %.16s was in force from event %d on, otherwise than listed",
				hex.EncodeToString(f.Policy[:]), f.FromSeq)
		}
	}
	return ""
}

// same reports whether a list that may be of a later time can name this event; 0 is none.
func (w *walk) same(listed, folded uint64) bool {
	return listed == folded || folded == 0 && listed > w.m.Range.ToSeq
}

func (w *walk) keyOtherwise(k *projections.KeyRow) string {
	f, ok := w.keys[k.ID]
	switch {
	case !ok || f.Seq != k.Seq:
		return "registration"
	case f.TermsSeq != k.Terms.Seq && f.TermsSeq <= w.m.Range.ToSeq:
		return "event of the terms"
	case !w.same(f.RevokedSeq, k.Revoked) || !w.same(f.RetiredSeq, k.Retired) ||
		!w.same(f.SecretRetired, k.SecretRetired):
		return "end"
	case k.Revoked != 0 && f.RevokedSince != wire.TimeNS(k.RevokedSince) && w.m.Head == w.m.Range.ToSeq:
		return "time of the theft"
	}
	return ""
}

func (w *walk) generationOtherwise(g *projections.GenerationRow) string {
	if int(g.Number) > len(w.generations) {
		return "number"
	}
	f, last := w.generations[g.Number-1], w.m.Range.ToSeq
	activated := slices.DeleteFunc(slices.Clone(f.Activated), func(seq uint64) bool { return seq > last })
	var steps []wire.ScheduleStep
	for _, s := range g.Steps {
		steps = append(steps, wire.ScheduleStep{FromSeq: s.FromSeq, Policy: hex.EncodeToString(s.Policy[:])})
	}
	listed := f.Schedule[:min(len(steps), len(f.Schedule))]
	switch {
	case f.StartedSeq != g.Seq:
		return "start"
	case !slices.Equal(activated, g.Activated):
		return "time of answering"
	case !slices.Equal(listed, steps) || len(f.Schedule) > len(steps) && f.Schedule[len(steps)].FromSeq <= last:
		return "schedule"
	case g.Dropped != 0 && f.State != wire.GenerationDropped:
		return "state"
	}
	return ""
}

// effectWords are the words of projections.Effect.
var effectWords = map[projections.Effect]string{
	projections.Applied:  wire.EffectApplied,
	projections.Repeated: wire.EffectRepeated,
	projections.Ignored:  wire.EffectIgnored,
}

// effects compares what became of the operations.
func (w *walk) effects(tx rows) error {
	operations, err := openLines[wire.OperationItem](w.dir, OperationsFile)
	if err != nil {
		return err
	}
	defer operations.file.Close()
	for !w.failed(CheckOperations) {
		a, err := operations.next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		effect, err := projections.EffectOf(tx, event.KindNamed(a.Kind), a.Seq)
		if err != nil {
			return err
		}
		if effectWords[effect] != a.Effect {
			w.fault(CheckOperations, "event %d was %s, and the list says %s", a.Seq, effectWords[effect], a.Effect)
		}
	}
	return nil
}
