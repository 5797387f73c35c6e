package reads

import (
	"context"
	"encoding/hex"
	"errors"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// Event shows one event with its leaf.
func (v *view) Event(_ context.Context, seq uint64) (*wire.EventAnswer, error) {
	it, err := v.state.Item(seq)
	if errors.Is(err, fsm.ErrNoEvent) {
		return nil, api.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return v.eventAnswer(&it)
}

// batchBytes bounds the payloads of one batch of events.
const batchBytes = 1 << 20

// Events lists events with their leaves: all of them, or the submissions that name a shard.
func (v *view) Events(ctx context.Context, q api.EventsQuery) (out api.EventsResult, err error) {
	if err := v.Answers(); err != nil {
		return out, err
	}
	seqs, next, err := eventsOf(v.of, q)
	if err != nil {
		return out, v.orGone(err)
	}
	read, size := v.state.Items(), 0
	for _, seq := range seqs {
		if size >= batchBytes {
			return api.EventsResult{Items: out.Items, Next: seq}, nil
		}
		if err := ctx.Err(); err != nil {
			return out, err
		}
		it, err := read(seq)
		if err != nil {
			return out, err
		}
		a, err := v.eventAnswer(&it)
		if err != nil {
			return out, err
		}
		size += len(a.Payload)
		out.Items = append(out.Items, *a)
	}
	out.Next = next
	return out, nil
}

// eventsOf returns the numbers of the events that one batch has, and the number at which the next one begins.
func eventsOf(r *recount.Running, q api.EventsQuery) (seqs []uint64, next uint64, err error) {
	snapshot := r.View()
	defer snapshot.Close()
	if q.Shard == "" {
		p, err := projections.ReadPosition(snapshot)
		last := p.Seq
		if q.To != 0 {
			last = min(last, q.To)
		}
		for seq := q.From; seq <= last && len(seqs) < q.Limit; seq++ {
			seqs = append(seqs, seq)
		}
		if n := len(seqs); n > 0 && seqs[n-1] < last {
			next = seqs[n-1] + 1
		}
		return seqs, next, err
	}
	page, err := projections.Audit(snapshot, projections.Query{
		Shard:   q.Shard,
		FromSeq: q.From,
		UpTo:    q.To,
		Limit:   q.Limit,
	})
	for i := range page.Rows {
		seqs = append(seqs, page.Rows[i].Seq)
	}
	return seqs, page.Next, err
}

// eventAnswer renders an event with its leaf and its decoded payload.
func (v *view) eventAnswer(it *projections.Item) (*wire.EventAnswer, error) {
	leaf := it.Leaf()
	hash := leaf.Hash()
	a := &wire.EventAnswer{
		Seq:     it.Seq,
		Kind:    it.Kind.String(),
		Index:   it.Index,
		Term:    it.Term,
		RawTime: wire.TimeNS(it.RawTime),
		LogTime: wire.TimeNS(it.LogTime),
		Leaf: wire.Leaf{Format: leaf.Format, Seq: leaf.Seq, RawTimeNS: leaf.RawTime, Kind: uint16(leaf.Kind),
			PayloadSHA256: hex.EncodeToString(leaf.PayloadSHA256[:])},
		LeafHash: hex.EncodeToString(hash[:]),
		Payload:  it.Event.Payload,
	}
	var err error
	if a.Summary, err = summary(it.Event); err != nil {
		return nil, err
	}
	if id, ok := a.Summary["key_id"].(string); ok && it.Kind == event.Submission {
		if k, _ := v.state.Control().Key(id, v.state.Cursor().Seq); k.SecretRetired != 0 {
			a.Summary["signature_facts"] = "ledger-attested" // nodes may not be able to check them any more
		}
	}
	return a, nil
}

// summary returns the decoded payload for reading.
func summary(ev event.Event) (map[string]any, error) {
	_, m, err := ev.Message()
	if err != nil {
		return nil, err
	}
	if sub, ok := m.(*event.SubmissionV1); ok {
		return map[string]any{
			"body":        string(sub.GetBody()),
			"received_at": wire.TimeNS(sub.GetReceivedAt()),
			"node":        sub.GetNode(),
			"remote":      sub.GetRemote(),
			"request_id":  sub.GetRequestId(),
			"key_id":      sub.GetFacts().GetKeyId(),
			"algorithm":   verify.Alg(sub.GetFacts().GetAlg()).String(),
			"profile":     pcs.Profile(sub.GetFacts().GetProfile()).String(),
			"mode":        verify.Mode(sub.GetFacts().GetMode()).String(),
		}, nil
	}
	return event.Members(m)
}
