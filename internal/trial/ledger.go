package trial

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// MaxRecords bounds the submissions of one trial.
const MaxRecords = 10_000_000

// Source serves the answers, events and policies of a ledger. *client.Client implements it.
type Source interface {
	AuditPages(context.Context, client.AuditQuery) iter.Seq2[*wire.AuditPage, error]
	EventsPage(context.Context, client.EventsQuery) ([]wire.EventAnswer, uint64, error)
	Policy(ctx context.Context, id string) (*wire.PolicyAnswer, error)
}

// Ledger judges at most limit submissions of the list that q selects, with the signature facts recorded in their
// events. It reads the answers (the audit list) and the records (the events) in bulk. While it judges one page the next
// one is requested, so at most two are in memory. q.PageTimeout bounds each request, also those for events.
func (t *Trial) Ledger(ctx context.Context, from Source, q client.AuditQuery, limit int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t.Signatures = SignaturesRecorded
	l := &ledger{Trial: t, from: from, query: q, policies: map[string]verify.Policy{}}
	q.Limit = limit
	for next := range fetchAhead(ctx, from.AuditPages(ctx, q)) {
		if next.err != nil {
			return next.err
		}
		items := next.page.Items[:min(len(next.page.Items), limit)]
		limit -= len(items)
		if err := l.judge(ctx, items); err != nil {
			return err
		}
		if t.Judged != nil {
			t.Judged(len(items))
		}
	}
	return ctx.Err()
}

// fetched is a page of the audit list, or the error in its place.
type fetched struct {
	page *wire.AuditPage
	err  error
}

// fetchAhead requests the next page while the caller works on one. It ends with the pages, or with ctx.
func fetchAhead(ctx context.Context, pages iter.Seq2[*wire.AuditPage, error]) <-chan fetched {
	out := make(chan fetched)
	go func() {
		defer close(out)
		for page, err := range pages {
			select {
			case out <- fetched{page, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// ledger is a trial over the submissions of a ledger.
type ledger struct {
	*Trial
	from     Source
	query    client.AuditQuery
	policies map[string]verify.Policy // that judged, by id
}

// decidedByKeys are reasons of refusals that no policy decides.
var decidedByKeys = []string{verify.ReasonKeyRevoked.String(), verify.ReasonKeyNotAllowed.String(),
	verify.ReasonFrozen.String()}

// decidedByOthers are reasons that lie in other records.
var decidedByOthers = []string{verify.ReasonConflict.String(), verify.ReasonEpochRegression.String(),
	verify.ReasonEpochEquivocation.String()}

// judge tries the submissions of one page. It reads their events together.
func (l *ledger) judge(ctx context.Context, items []wire.AuditItem) error {
	wanted := map[uint64]*wire.AuditItem{}
	q := client.EventsQuery{From: 1<<64 - 1}
	for i := range items {
		item := &items[i]
		if slices.Contains(decidedByKeys, item.ReasonCode) {
			l.Changes[LeftOut]++
			continue
		}
		wanted[item.Seq] = item
		q.From, q.To = min(q.From, item.Seq), max(q.To, item.Seq)
	}
	for q.MinSeq = q.To; len(wanted) > 0; {
		events, next, err := l.events(ctx, q)
		if err != nil {
			return err
		}
		for i := range events {
			if item := wanted[events[i].Seq]; item != nil {
				delete(wanted, item.Seq)
				if err := l.one(ctx, &events[i], item); err != nil {
					return fmt.Errorf("event %d: %w", item.Seq, err)
				}
			}
		}
		if q.From = next; next == 0 && len(wanted) > 0 {
			return fmt.Errorf("the node lists submissions up to event %d and has not given %d of their events", q.To,
				len(wanted))
		}
	}
	return nil
}

// one compares the answer to a submission with the verdict of the policy.
func (l *ledger) one(ctx context.Context, e *wire.EventAnswer, item *wire.AuditItem) error {
	sub, err := event.DecodeSubmission(e.Payload)
	if err != nil {
		return err
	}
	at, err := wire.ParseTime(e.LogTime)
	if err != nil {
		return err
	}
	f := verify.Facts{
		KeyID:   sub.Facts.KeyID,
		Alg:     verify.Alg(sub.Facts.Alg),
		Profile: pcs.Profile(sub.Facts.Profile),
		Mode:    verify.Mode(sub.Facts.Mode),
	}
	rec, before := pcs.Decode(sub.Body), standing{item.Outcome, item.Accepted}
	if slices.Contains(decidedByOthers, item.ReasonCode) {
		judged, err := l.policyOf(ctx, item.Policy)
		if err != nil {
			return err
		}
		before = standingOf(verify.Evaluate(judged, rec, f, at.UnixNano()))
	}
	return l.add(item.Seq, rec, f, before, verify.Evaluate(l.policy, rec, f, at.UnixNano()))
}

func (l *ledger) events(ctx context.Context, q client.EventsQuery) ([]wire.EventAnswer, uint64, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	return l.from.EventsPage(ctx, q)
}

// policyOf reads a policy once.
func (l *ledger) policyOf(ctx context.Context, id string) (verify.Policy, error) {
	if p, ok := l.policies[id]; ok {
		return p, nil
	}
	ctx, cancel := l.bound(ctx)
	defer cancel()
	answer, err := l.from.Policy(ctx, id)
	if err != nil {
		return verify.Policy{}, err
	}
	p, err := PolicyOf(answer)
	if err == nil {
		l.policies[id] = p
	}
	return p, err
}

// bound applies PageTimeout to one request.
func (l *ledger) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if l.query.PageTimeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, l.query.PageTimeout)
}
