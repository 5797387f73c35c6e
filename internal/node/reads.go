package node

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// reader answers the reads of clients from the folded state.
type reader struct {
	cfg     *Config
	log     *slog.Logger
	derived *fsm.Derived
	gens    *recount.Manager
	keys    *heldKeys
	clock   *ledgerClock
	tokens  *tokensFile
}

// Position gives the live generation's position.
func (n ledger) Position() api.Position {
	live := n.gens.Serving()
	return api.Position{AppliedSeq: live.Cursor().Seq, Generation: live.Number()}
}

// WaitRead returns once reads here are as fresh as asked.
func (n ledger) WaitRead(ctx context.Context, r api.Read) (api.Position, error) {
	if p := n.withheld(); p != nil {
		return api.Position{}, p
	}
	if n.gens.Switching() {
		return api.Position{},
			wire.NewProblem(wire.CodeNotReady,
				"this node is switching to another generation; ask another one").WithRetry(retryAfter)
	}
	if r.Consistency == wire.ConsistencyLinearizable {
		if err := n.confirm(ctx); err != nil {
			if ctx.Err() != nil {
				return api.Position{}, ctx.Err()
			}
			return api.Position{},
				wire.NewProblem(wire.CodeNoLeader, "the read could not be confirmed by a quorum").WithRetry(retryAfter)
		}
	}
	if err := n.gens.WaitSeq(ctx, r.MinSeq); err != nil {
		return api.Position{}, err
	}
	return n.Position(), nil
}

// pinned returns the generation that a read has waited for.
func (rd *reader) pinned(ctx context.Context) *recount.Running {
	if r, _ := rd.gens.Get(api.PinnedGeneration(ctx)); r != nil {
		return r
	}
	return rd.gens.Serving()
}

// Lookup returns the current answer for a pcs_id, with its earlier ones. An id that nothing occupies any more
// is shown with the last submission that did.
func (n ledger) Lookup(ctx context.Context, pcsID string) (*wire.PCSAnswer, error) {
	r := n.reader.pinned(ctx)
	view := r.View()
	defer view.Close()
	found, err := projections.Lookup(view, pcsID)
	if errors.Is(err, projections.ErrNotFound) {
		found, err = n.reader.lookupFormer(view, pcsID)
	}
	if errors.Is(err, projections.ErrNotFound) {
		return nil, api.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	found.Current.Generation = r.Number()
	a := &wire.PCSAnswer{SubmitAnswer: n.intake.submitAnswer(found.Current), Events: found.Seqs}
	a.History, err = n.reader.historyOf(pcsID, &found.Current)
	return a, err
}

// lookupFormer finds an id that only an earlier generation knew.
func (rd *reader) lookupFormer(view *fsm.View, pcsID string) (projections.Found, error) {
	recorded, err := rd.gens.Recorded(pcsID, historyLimit)
	if err != nil {
		return projections.Found{}, err
	}
	if len(recorded) == 0 {
		return projections.Found{}, projections.ErrNotFound
	}
	var f projections.Found
	for _, x := range recorded {
		if !slices.Contains(f.Seqs, x.Flip.Seq) {
			f.Seqs = append(f.Seqs, x.Flip.Seq)
		}
	}
	slices.Sort(f.Seqs)
	f.Current, err = projections.Row(view, f.Seqs[len(f.Seqs)-1])
	return f, err
}

// Complete lists the pcs_ids that begin with prefix, including those that only an earlier generation knew.
func (n ledger) Complete(ctx context.Context, prefix string, limit int) ([]string, error) {
	view := n.reader.pinned(ctx).View()
	defer view.Close()
	ids, err := projections.Complete(view, prefix, limit)
	if err != nil {
		return nil, err
	}
	former, err := n.gens.Complete(prefix, limit)
	if err != nil {
		return nil, err
	}
	ids = append(ids, former...)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return ids[:min(len(ids), limit)], nil
}

// Event shows one event with its leaf.
func (n ledger) Event(_ context.Context, seq uint64) (*wire.EventAnswer, error) {
	it, err := n.derived.Item(seq)
	if errors.Is(err, fsm.ErrNoEvent) {
		return nil, api.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return n.reader.eventAnswer(&it)
}

// stretchBytes bounds the payloads of one stretch of events.
const stretchBytes = 1 << 20

// Events lists events with their leaves: all of them, or the submissions that name a shard.
func (n ledger) Events(ctx context.Context, q api.EventsQuery) (out api.EventsResult, err error) {
	r, err := n.recounts.listed(q.Generation)
	if err != nil {
		return out, err
	}
	seqs, next, err := eventsOf(r, q)
	if errors.Is(err, fsm.ErrDropped) {
		err = n.recounts.gone(q.Generation)
	}
	if err != nil {
		return out, err
	}
	read, size := n.derived.Items(), 0
	for _, seq := range seqs {
		if size >= stretchBytes {
			return api.EventsResult{Items: out.Items, Next: seq}, nil
		}
		if err := ctx.Err(); err != nil {
			return out, err
		}
		it, err := read(seq)
		if err != nil {
			return out, err
		}
		a, err := n.reader.eventAnswer(&it)
		if err != nil {
			return out, err
		}
		size += len(a.Payload)
		out.Items = append(out.Items, *a)
	}
	out.Next = next
	return out, nil
}

// eventsOf returns the numbers of the events that one stretch has, and the number at which the next one begins.
func eventsOf(r *recount.Running, q api.EventsQuery) (seqs []uint64, next uint64, err error) {
	view := r.View()
	defer view.Close()
	if q.Shard == "" {
		p, err := projections.ReadPosition(view)
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
	page, err := projections.Audit(view, projections.Query{Shard: q.Shard, FromSeq: q.From, UpTo: q.To, Limit: q.Limit})
	for i := range page.Rows {
		seqs = append(seqs, page.Rows[i].Seq)
	}
	return seqs, page.Next, err
}

func (rd *reader) eventAnswer(it *projections.Item) (*wire.EventAnswer, error) {
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
		if k, _ := rd.derived.Control().Key(id, rd.derived.Cursor().Seq); k.SecretRetired != 0 {
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

// Shards lists shards by id.
func (n ledger) Shards(_ context.Context, q api.ShardsQuery) (api.ShardsResult, error) {
	r, err := n.recounts.listed(q.Generation)
	if err != nil {
		return api.ShardsResult{}, err
	}
	view := r.View()
	defer view.Close()
	rows, next, err := projections.Shards(view, q.After, q.Limit)
	if errors.Is(err, fsm.ErrDropped) {
		return api.ShardsResult{}, n.recounts.gone(q.Generation)
	}
	if err != nil {
		return api.ShardsResult{}, err
	}
	out := api.ShardsResult{More: next != ""}
	for _, r := range rows {
		out.Items = append(out.Items, shardAnswer(r))
	}
	return out, nil
}

// Shard shows one shard.
func (n ledger) Shard(ctx context.Context, id string) (*wire.ShardAnswer, error) {
	view := n.reader.pinned(ctx).View()
	defer view.Close()
	r, err := projections.Shard(view, id)
	if errors.Is(err, projections.ErrNotFound) {
		return namedShard(view, id)
	}
	if err != nil {
		return nil, err
	}
	a := shardAnswer(r)
	return &a, nil
}

// namedShard shows a shard that the generation knows from refused submissions only, as after a recount that
// ignores a stolen key.
func namedShard(view *fsm.View, id string) (*wire.ShardAnswer, error) {
	r, more, err := projections.Named(view, id)
	if errors.Is(err, projections.ErrNotFound) {
		return nil, api.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	a := shardAnswer(r)
	a.RefusedOnly, a.AtLeast = true, more
	return &a, nil
}

func shardAnswer(r projections.ShardRow) wire.ShardAnswer {
	a := wire.ShardAnswer{
		ShardID:     r.Shard,
		Submissions: r.Accepted + r.Escalated + r.Refused + r.Conflicts + r.Replays,
		Accepted:    r.Accepted,
		Escalated:   r.Escalated,
		Refused:     r.Refused,
		Conflicts:   r.Conflicts,
		EpochSeq:    r.EpochSeq,
		FirstSeq:    r.FirstSeq,
		LastSeq:     r.LastSeq,
		LastAt:      wire.TimeNS(r.LastLogTime),
	}
	if r.HasEpoch {
		epoch := r.Epoch
		a.Epoch = &epoch
	}
	return a
}
