package export

import (
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/wire"
)

// claim is a statement of a list about an event.
type claim struct {
	check, what string
	holds       func(*Event, any) bool
}

// claim notes what is to be compared when the walk comes to an event. Events outside the export are not in it.
func (w *walk) claim(seq uint64, check, what string, holds func(*Event, any) bool) {
	if r := w.m.Range; r.Shard == "" && seq >= r.FromSeq && seq <= r.ToSeq {
		w.claims[seq] = append(w.claims[seq], claim{check, what, holds})
	}
}

// checkClaims compares what the lists say of an event with the event.
func (w *walk) checkClaims(e *Event, m any) {
	for _, c := range w.claims[e.Seq] {
		if !c.holds(e, m) {
			w.fault(c.check, "%s: event %d says other things", c.what, e.Seq)
		}
	}
	delete(w.claims, e.Seq)
}

// by reports whether an operator's event has these facts. The genesis has none.
func by(m any, actor, role, reason, ticket string) bool {
	var op *event.OpV1
	if carrier, ok := m.(interface{ GetOp() *event.OpV1 }); ok {
		op = carrier.GetOp()
	}
	return op.GetActor() == actor && op.GetRole() == role && op.GetReason() == reason && op.GetTicket() == ticket
}

// claimsOfKey: when it was registered, its terms, and its end.
func (w *walk) claimsOfKey(k wire.KeyAnswer) {
	what := fmt.Sprintf("%s: key %q", KeysFile, k.KeyID)
	w.claim(k.Seq, CheckKeys, what, func(e *Event, m any) bool {
		a, ok := m.(*event.KeyAddedV1)
		return ok && a.KeyId == k.KeyID && k.At == e.LogTime && a.Source == k.Source
	})
	w.claim(k.TermsSeq, CheckKeys, what, func(_ *Event, m any) bool {
		a, ok := m.(*event.KeyAddedV1)
		return ok && a.KeyId == k.KeyID && a.Owner == k.Owner && slices.Equal(a.Scope, k.Scope) &&
			a.Comment == k.Comment && bound(a.NotBefore) == k.NotBefore && bound(a.NotAfter) == k.NotAfter
	})
	w.claim(k.RevokedSeq, CheckKeys, what, func(_ *Event, m any) bool {
		a, ok := m.(*event.KeyRevokedV1)
		return ok && a.KeyId == k.KeyID
	})
	w.claim(k.RetiredSeq, CheckKeys, what, func(_ *Event, m any) bool {
		a, ok := m.(*event.KeyRetiredV1)
		return ok && a.KeyId == k.KeyID
	})
	want := wire.KeyActive
	if k.RetiredSeq != 0 {
		want = wire.KeyRetired
	}
	if k.RevokedSeq != 0 {
		want = wire.KeyRevoked
	}
	if k.Status != want || (k.RevokedSeq == 0) != (k.RevokedSince == "") || k.TermsSeq < k.Seq || k.Held {
		w.fault(CheckKeys, "%s contradicts itself", what)
	}
}

// bound is the text of a bound of time, empty for none.
func bound(ns int64) string {
	if ns == 0 {
		return ""
	}
	return wire.TimeNS(ns)
}

// claimsOfPolicy: who published it, when and why, in which text, and the operations that put it in force.
func (w *walk) claimsOfPolicy(p wire.PolicyAnswer) {
	what := fmt.Sprintf("%s: policy %.16s", PoliciesFile, p.ID)
	w.claim(p.Seq, CheckPolicies, what, func(e *Event, m any) bool {
		var policy []byte
		switch m := m.(type) {
		case *event.GenesisV1:
			policy = m.Policy
		case *event.PolicyPublishedV1:
			policy = m.Policy
			w.sourceOf(p.ID, m)
		}
		return policy != nil && sumOf(policy) == p.ID && p.At == e.LogTime && by(m, p.Actor, p.Role, p.Reason, p.Ticket)
	})
	for _, i := range p.Intervals {
		w.claim(i.FromSeq, CheckPolicies, what, func(e *Event, m any) bool {
			return puts(m, i.By) && i.From == e.LogTime && by(m, i.Actor, i.Role, i.Reason, i.Ticket)
		})
		w.claim(i.ToSeq, CheckPolicies, what, func(e *Event, _ any) bool { return i.To == e.LogTime })
	}
}

// sourceOf compares the text that was published with its file. A policy that was published in its canonical
// form has another one.
func (w *walk) sourceOf(id string, m *event.PolicyPublishedV1) {
	_, source := policyFiles(id)
	i := slices.IndexFunc(w.m.Files, func(f File) bool { return f.Name == source })
	if string(m.Source) != string(m.Policy) && (i < 0 || w.m.Files[i].SHA256 != sumOf(m.Source)) {
		w.fault(CheckPolicies, "%s is not the text that was published", source)
	}
}

// puts reports whether an event can put a policy in force in this way.
func puts(m any, how string) bool {
	switch m := m.(type) {
	case *event.GenesisV1:
		return how == wire.ByGenesis
	case *event.PolicyAppliedV1:
		return how == wire.ByApplied
	case *event.GenerationActivatedV1:
		return how == wire.ByActivated && !m.Rollback || how == wire.ByRolledBack && m.Rollback
	}
	return false
}

// claimsOfGeneration: who started it, when and why, and the operations that made it answer.
func (w *walk) claimsOfGeneration(g wire.GenerationAnswer) {
	what := fmt.Sprintf("%s: generation %d", GenerationsFile, g.Generation)
	w.claim(g.StartedSeq, CheckGenerations, what, func(_ *Event, m any) bool {
		switch m := m.(type) {
		case *event.GenesisV1:
			return g.Generation == 1 && g.Keys == wire.KeysAsOf && by(m, g.Actor, g.Role, g.Reason, g.Ticket)
		case *event.GenerationStartedV1:
			keys := wire.KeysAsOf
			if m.Keys == 1 {
				keys = wire.KeysHindsight
			}
			return g.Generation > 1 && g.Keys == keys && by(m, g.Actor, g.Role, g.Reason, g.Ticket)
		}
		return false
	})
	for _, seq := range g.Activated {
		w.claim(seq, CheckGenerations, what, func(_ *Event, m any) bool {
			a, ok := m.(*event.GenerationActivatedV1)
			return ok && a.Generation == g.Generation
		})
	}
	last := ""
	if n := len(g.Schedule); n > 0 {
		last = g.Schedule[n-1].Policy
	}
	if g.Policy != last || g.Nodes != nil || g.Operation != fmt.Sprintf("/v1/generations/%d", g.Generation) {
		w.fault(CheckGenerations, "%s contradicts itself", what)
	}
}

// readGenerations: the numbers follow each other.
func (w *walk) readGenerations() error {
	w.begin(CheckGenerations, "as the events say")
	list, err := readList[wire.GenerationAnswer](w.checker, GenerationsFile)
	if err != nil {
		return err
	}
	for i, g := range list {
		w.looked(CheckGenerations)
		if uint64(g.Generation) != uint64(i)+1 {
			w.fault(CheckGenerations, "where generation %d is expected, there is %d", i+1, g.Generation)
		}
		w.claimsOfGeneration(g)
	}
	w.generations, w.page.Generations = list, list
	if by := w.activeAfter(w.m.Range.ToSeq); by != w.m.Generation || !w.listed(w.m.End.Generation) {
		w.fault(CheckGenerations, "generation %d answered after event %d, and the manifest says %d", by,
			w.m.Range.ToSeq, w.m.Generation)
	}
	return nil
}

// activeAfter is the generation that answered after an event, as the list says.
func (w *walk) activeAfter(seq uint64) uint32 {
	by, since := uint32(1), uint64(0)
	for _, g := range w.generations {
		for _, at := range g.Activated {
			if at <= seq && at >= since {
				by, since = g.Generation, at
			}
		}
	}
	return by
}

// listed reports whether a generation is in the list.
func (w *walk) listed(number uint32) bool {
	return number > 0 && int64(number) <= int64(len(w.generations))
}

// scheduled reports whether a policy judges an event in a generation, as the list says.
func (w *walk) scheduled(number uint32, seq uint64, policy string) bool {
	by := ""
	for _, s := range w.generations[number-1].Schedule {
		if s.FromSeq <= seq {
			by = s.Policy
		}
	}
	return by == policy
}

// span compares what the manifest says of the range with its events and with what was asked for.
func (w *walk) span(e *Event) {
	r := w.m.Range
	if r.Shard == "" && (e.Seq == r.FromSeq && e.LogTime != r.FirstTime ||
		e.Seq == r.ToSeq && e.LogTime != r.LastTime) {
		w.fault(CheckTime, "the manifest says another log time of event %d", e.Seq)
	}
}

// rangeOf returns what a range contradicts, "" for nothing.
func rangeOf(m *Manifest) string {
	first, err := wire.ParseTime(m.Range.FirstTime)
	last, err2 := wire.ParseTime(m.Range.LastTime)
	if err != nil || err2 != nil || last.Before(first) {
		return "its log times are none"
	}
	if s := m.Range.Since; s != "" {
		if at, err := wire.ParseTime(s); err != nil || first.Before(at) {
			return "it begins before the time that was asked for"
		}
	}
	if s := m.Range.Until; s != "" {
		if at, err := wire.ParseTime(s); err != nil || !last.Before(at) {
			return "it ends behind the time that was asked for"
		}
	}
	if m.Head < m.Range.ToSeq {
		return "the ledger ended before it"
	}
	return ""
}
