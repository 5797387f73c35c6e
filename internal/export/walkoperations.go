package export

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/wire"
)

// operation compares an operator's event with the next line of acts.ndjson.
func (w *walk) operation(e *Event, m any) error {
	by, ok := m.(interface{ GetOp() *event.OpV1 })
	if !ok || by.GetOp() == nil || w.operationsLost || w.m.Range.Shard != "" {
		return nil
	}
	a, err := w.operations.next()
	switch {
	case errors.Is(err, io.EOF):
		w.fault(CheckOperations, "event %d, %s, is missing", e.Seq, e.Kind)
		w.operationsLost = true
		return nil
	case errors.Is(err, ErrFormat):
		w.fault(CheckOperations, "%v", err)
		w.operationsLost = true
		return nil
	case err != nil:
		return err
	}
	w.looked(CheckOperations)
	w.counts.Operations++
	w.page.operation(a)
	op := by.GetOp()
	switch {
	case a.Seq != e.Seq:
		w.fault(CheckOperations, "where event %d, %s, is expected, there is event %d", e.Seq, e.Kind, a.Seq)
		w.operationsLost = true
	case a.Kind != e.Kind || a.LogTime != e.LogTime || a.Actor != op.GetActor() || a.Role != op.GetRole() ||
		a.Credential != op.GetCredential() || a.Reason != op.GetReason() || a.Ticket != op.GetTicket() ||
		a.OpID != op.GetOpId() ||
		a.RequestID != op.GetRequestId() || a.Node != op.GetNode():
		w.fault(CheckOperations, "event %d says other things than its line", e.Seq)
	case !aboutOf(a, m):
		w.fault(CheckOperations, "event %d did another thing than its line says", e.Seq)
	case a.Effect == wire.EffectApplied:
		w.ended(e, m)
	}
	return nil
}

// aboutOf reports whether a line says what the event does. A later release may know more members of it.
func aboutOf(a *wire.OperationItem, m any) bool {
	want, err := event.About(m)
	for name, v := range a.About {
		if x, there := want[name]; !there || !reflect.DeepEqual(x, v) {
			return false
		}
		delete(want, name)
	}
	for _, v := range want {
		if s := fmt.Sprint(v); s != "" && s != "0" && s != "false" && s != "[]" && s != "<nil>" {
			return false
		}
	}
	return err == nil
}

// ended sees that a key that was revoked or retired is so in keys.json, and that an activation is in generations.json.
func (w *walk) ended(e *Event, m any) {
	switch m := m.(type) {
	case *event.KeyRevokedV1:
		if k := w.keys[m.GetKeyId()]; k.RevokedSeq == 0 || k.Status != wire.KeyRevoked {
			w.fault(CheckKeys, "event %d revokes %q, and %s does not say so", e.Seq, m.GetKeyId(), KeysFile)
		}
	case *event.GenerationActivatedV1:
		if n := m.GetGeneration(); !w.listed(n) || !slices.Contains(w.generations[n-1].Activated, e.Seq) {
			w.fault(CheckGenerations, "event %d activates generation %d, and %s does not say so", e.Seq, n,
				GenerationsFile)
		}
	case *event.KeyRetiredV1:
		if k := w.keys[m.GetKeyId()]; k.RetiredSeq == 0 {
			w.fault(CheckKeys, "event %d retires %q, and %s does not say so", e.Seq, m.GetKeyId(), KeysFile)
		}
	}
}

// restOfOperations checks that there are no more lines or, in an export of one shard, that they are in the range and
// in order.
func (w *walk) restOfOperations() error {
	for last := w.m.Range.FromSeq - 1; !w.operationsLost; {
		a, err := w.operations.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case w.m.Range.Shard == "":
			w.fault(CheckOperations, "event %d is listed and is no operator's event of the range", a.Seq)
			return nil
		case a.Seq <= last || a.Seq > w.m.Range.ToSeq:
			w.fault(CheckOperations, "event %d is out of order or out of the range", a.Seq)
		}
		last = a.Seq
		w.page.operation(a)
		w.looked(CheckOperations)
		w.counts.Operations++
	}
	return nil
}

// noMoreAnswers checks that the outcomes end with the submissions.
func (w *walk) noMoreAnswers() error {
	if w.answersLost {
		return nil
	}
	switch v, err := w.answers.next(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	default:
		w.fault(CheckAnswers, "there is one to event %d, which is no submission of the export", v.Seq)
	}
	return nil
}
