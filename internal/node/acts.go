package node

import (
	"context"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// A page of acts reads the events that are no submissions in stretches of actsStretch, and at most actsMost of
// them. Digests of the state are among them.
const (
	actsStretch = 1000
	actsMost    = 10_000
)

// Acts lists the events of operators' acts from seq on, at most limit.
func (n ledger) Acts(ctx context.Context, from uint64, limit int) (items []wire.OperationItem, next uint64, err error) {
	read := n.derived.Items()
	for looked := 0; looked < actsMost; looked += actsStretch {
		seqs, err := n.derived.OperatorSeqs(from, actsStretch)
		if err != nil {
			return nil, 0, err
		}
		for _, seq := range seqs {
			if len(items) == limit {
				return items, seq, nil
			}
			item, ok, err := n.reader.actItem(read, seq)
			if err != nil {
				return nil, 0, err
			}
			if ok {
				items = append(items, item)
			}
			from = seq + 1
		}
		if len(seqs) < actsStretch {
			return items, 0, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
	}
	return items, from, nil
}

var effectWords = map[projections.Effect]string{
	projections.Applied:  wire.EffectApplied,
	projections.Repeated: wire.EffectRepeated,
	projections.Ignored:  wire.EffectIgnored,
}

// actItem describes an event. ok is false when no operator did it.
func (rd *reader) actItem(read func(uint64) (projections.Item, error),
	seq uint64) (item wire.OperationItem, ok bool, err error) {
	it, err := read(seq)
	if err != nil {
		return item, false, err
	}
	_, m, err := it.Event.Message()
	if err != nil {
		return item, false, err
	}
	act, ok := m.(event.OpMessage)
	if !ok || act.GetOp() == nil {
		return item, false, nil
	}
	effect, err := rd.derived.Effect(it.Kind, seq)
	if err != nil {
		return item, false, err
	}
	about, err := event.About(m)
	if err != nil {
		return item, false, err
	}
	op := act.GetOp()
	return wire.OperationItem{
		Seq:        seq,
		LogTime:    wire.TimeNS(it.LogTime),
		Kind:       it.Kind.String(),
		Effect:     effectWords[effect],
		Actor:      op.GetActor(),
		Role:       op.GetRole(),
		Credential: op.GetCredential(),
		Reason:     op.GetReason(),
		Ticket:     op.GetTicket(),
		OpID:       op.GetOpId(),
		RequestID:  op.GetRequestId(),
		Node:       op.GetNode(),
		About:      about,
	}, true, nil
}
