package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// violation is a promise that a history breaks, with the calls that show it.
type violation struct {
	what  string
	calls []call
}

// check holds a history against the promises of the ledger about single records.
func check(calls []call) []violation {
	byID := map[int32][]call{}
	for _, c := range calls {
		byID[c.id] = append(byID[c.id], c)
	}
	ids := make([]int32, 0, len(byID))
	for id := range byID {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var out []violation
	for _, id := range ids {
		found := checkID(byID[id])
		if len(found) == 0 {
			found = checkOrder(byID[id])
		}
		out = append(out, found...)
	}
	return append(out, checkSeqs(calls)...)
}

// checkID judges the calls about one id.
func checkID(calls []call) (out []violation) {
	known := firstDefinite(calls)
	if known == nil {
		return nil
	}
	var own *call // the submission that was told that it is the first
	for i := range calls {
		c := &calls[i]
		fail := func(what string) { out = append(out, violation{what, []call{*known, *c}}) }
		switch {
		case c.answer == unknown:
		case c.answer == missing:
			if c.from > known.to {
				fail("an acknowledged record is not found")
			}
		case c.seq != known.seq || c.escal != known.escal:
			fail("two answers for one record")
		case c.kind == submission && c.answer == conflict && c.wrong == known.escal:
			fail("a record conflicts with itself")
		case c.kind == submission && c.answer != conflict && c.wrong != known.escal:
			fail("other values were answered as if they were the first")
		case c.answer == first && own != nil:
			out = append(out, violation{"two submissions were both the first", []call{*own, *c}})
		case c.answer == first:
			own = c
		}
	}
	return out
}

// firstDefinite is the call that knew the record at the earliest moment.
func firstDefinite(calls []call) (found *call) {
	for i := range calls {
		c := &calls[i]
		if c.answer != unknown && c.answer != missing && (found == nil || c.to < found.to) {
			found = c
		}
	}
	return found
}

// checkSeqs: one event decides one record.
func checkSeqs(calls []call) (out []violation) {
	owner := map[uint64]call{}
	for _, c := range calls {
		if c.seq == 0 {
			continue
		}
		if other, ok := owner[c.seq]; ok && other.id != c.id {
			out = append(out, violation{"one event answers for two records", []call{other, c}})
			continue
		}
		owner[c.seq] = c
	}
	return out
}

// register is the model's state of one id. seq is 0 while nothing has shown the place of a first submission without an answer.
type register struct {
	set, wrong bool
	seq        uint64
}

// tells returns the state after an answer about it, if it can be told so.
func (r register) tells(c call) []any {
	if c.escal != r.wrong || r.seq != 0 && r.seq != c.seq {
		return nil
	}
	r.seq = c.seq
	return []any{r}
}

// firstWins is the model: the first submission of an id stands, everything else repeats it or conflicts with it.
var firstWins = porcupine.NondeterministicModel{
	Init: func() []any { return []any{register{}} },
	Step: func(state, input, _ any) []any {
		r, c := state.(register), input.(call)
		begun := register{set: true, wrong: c.wrong}
		switch {
		case c.kind == reading && c.answer == missing:
			if r.set {
				return nil
			}
			return []any{r}
		case c.kind == reading:
			if !r.set {
				return nil
			}
			return r.tells(c)
		case c.answer == unknown && r.set:
			return []any{r}
		case c.answer == unknown:
			return []any{r, begun}
		case !r.set && c.answer == conflict:
			return nil
		case !r.set: // a replay too: the node may have sent its pack twice
			return begun.tells(c)
		case (c.answer == conflict) != (c.wrong != r.wrong):
			return nil
		}
		return r.tells(c)
	},
	Equal:             func(a, b any) bool { return a == b },
	DescribeOperation: func(in, _ any) string { return fmt.Sprint(in) },
}

// checkOrder looks for an order of the calls about one id that explains all answers.
func checkOrder(calls []call) []violation {
	ops := make([]porcupine.Operation, len(calls))
	for i, c := range calls {
		ops[i] = porcupine.Operation{ClientId: int(c.client), Input: c, Output: struct{}{}, Call: c.from, Return: c.to}
	}
	switch porcupine.CheckOperationsTimeout(firstWins.ToModel(), ops, 10*time.Second) {
	case porcupine.Illegal:
		return []violation{{"no order explains the answers", calls}}
	case porcupine.Unknown:
		return []violation{{"the search for an order took too long", calls}}
	}
	return nil
}
