package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/term"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// A trial over a ledger reads what was said (the audit list) and what was sent (the events), both in bulk, a
// page at a time. While one page is judged the next one is on its way, so that at most two are in memory.

// maxTried bounds the newest submissions that are tried.
const maxTried = 10_000_000

// between judges the submissions among the events from one to another.
func (t *trial) between(ctx context.Context, from, to uint64) error {
	return t.ledger(ctx, client.AuditQuery{FromSeq: from, ToSeq: to}, int(min(to-from, maxTried))+1)
}

// newest judges so many submissions, the newest first.
func (t *trial) newest(ctx context.Context, count int) error {
	return t.ledger(ctx, client.AuditQuery{Newest: true}, count)
}

// ledger judges at most so many submissions of the list that q asks for, with the facts recorded in them.
func (t *trial) ledger(ctx context.Context, q client.AuditQuery, most int) error {
	c, err := t.a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t.how = sigsRecorded
	if t.list == nil {
		t.seen = newTrialProgress(t.a, most)
		defer t.seen.end()
	}
	l := &ledgerTrial{trial: t, c: c, policies: map[string]verify.Policy{}}
	q.Limit, q.PageTimeout = most, t.a.timeout
	for p := range fetchAhead(ctx, c.AuditPages(ctx, q)) {
		if p.err != nil {
			return p.err
		}
		items := p.page.Items[:min(len(p.page.Items), most)]
		most -= len(items)
		if err := l.judge(ctx, items); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// ledgerTrial is a trial over the submissions of a ledger.
type ledgerTrial struct {
	*trial
	c        *client.Client
	policies map[string]verify.Policy // that judged, by id
}

// fetched is a page of the audit list, or why there is none.
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

// notOfPolicies are refusals that no policy has decided and none can take back.
var notOfPolicies = []string{verify.ReasonKeyRevoked.String(), verify.ReasonKeyNotAllowed.String(),
	verify.ReasonFrozen.String()}

// leftOut counts them.
const leftOut = "(left out: decided by keys or freezes)"

// ofOthers are reasons that lie in other records, which no record says by itself.
var ofOthers = []string{verify.ReasonConflict.String(), verify.ReasonEpochRegression.String(),
	verify.ReasonEpochEquivocation.String()}

// judge tries the submissions of one page. Their events are read together.
func (l *ledgerTrial) judge(ctx context.Context, items []wire.AuditItem) error {
	wanted := map[uint64]*wire.AuditItem{}
	q := client.EventsQuery{From: 1<<64 - 1}
	for i := range items {
		x := &items[i]
		if slices.Contains(notOfPolicies, x.ReasonCode) {
			l.counts[leftOut]++
			continue
		}
		wanted[x.Seq] = x
		q.From, q.To = min(q.From, x.Seq), max(q.To, x.Seq)
	}
	for q.MinSeq = q.To; len(wanted) > 0; {
		events, next, err := l.events(ctx, q)
		if err != nil {
			return err
		}
		for i := range events {
			if x := wanted[events[i].Seq]; x != nil {
				delete(wanted, x.Seq)
				if err := l.one(ctx, &events[i], x); err != nil {
					return fmt.Errorf("event %d: %w", x.Seq, err)
				}
			}
		}
		if q.From = next; next == 0 && len(wanted) > 0 {
			return fmt.Errorf("the node lists submissions up to event %d and has not given %s of them", q.To,
				plural(len(wanted), "event"))
		}
	}
	l.seen.add(len(items))
	return nil
}

func (l *ledgerTrial) events(ctx context.Context, q client.EventsQuery) ([]wire.EventAnswer, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, l.a.timeout)
	defer cancel()
	return l.c.EventsPage(ctx, q)
}

func (l *ledgerTrial) one(ctx context.Context, e *wire.EventAnswer, x *wire.AuditItem) error {
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
	rec, before := pcs.Decode(sub.Body), standing{x.Outcome, x.Accepted}
	if slices.Contains(ofOthers, x.ReasonCode) {
		judged, err := l.policy(ctx, x.Policy)
		if err != nil {
			return err
		}
		before = standingOf(verify.Judge(judged, rec, f, at.UnixNano()))
	}
	return l.add(x.Seq, rec, f, before, verify.Judge(l.trial.policy, rec, f, at.UnixNano()))
}

// policy reads a policy once.
func (l *ledgerTrial) policy(ctx context.Context, id string) (verify.Policy, error) {
	if p, ok := l.policies[id]; ok {
		return p, nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.a.timeout)
	defer cancel()
	whole, err := l.c.Policy(ctx, id)
	if err != nil {
		return verify.Policy{}, err
	}
	p, err := parseCanonical(whole)
	if err == nil {
		l.policies[id] = p
	}
	return p, err
}

// mayNotRead reports that the caller's credential does not open the lists that a trial reads.
func mayNotRead(err error) bool {
	var p *wire.Problem
	return errors.As(err, &p) && (p.Code == wire.CodeForbidden || p.Code == wire.CodeUnauthorized)
}

// trialProgress shows how far a trial is: a bar on a terminal, now and then a line elsewhere, both on stderr.
type trialProgress struct {
	a           *app
	all         *mpb.Progress // nil without a terminal
	bar         *mpb.Bar
	began, said time.Time
	done, total int
}

func newTrialProgress(a *app, total int) *trialProgress {
	now := time.Now()
	p := &trialProgress{a: a, began: now, said: now, total: total}
	if !a.quiet && term.IsTerminal(a.err) {
		p.all = mpb.New(mpb.WithOutput(a.err), mpb.WithWidth(48))
		p.bar = p.all.AddBar(int64(total), mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.CountersNoUnit("judged %d / %d ")),
			mpb.AppendDecorators(decor.AverageSpeed(0, " %.0f/s "), decor.AverageETA(decor.ET_STYLE_GO)))
	}
	return p
}

// add counts submissions that are done.
func (p *trialProgress) add(n int) {
	if p == nil {
		return
	}
	if p.done += n; p.bar != nil {
		p.bar.IncrBy(n)
		return
	}
	if now := time.Now(); now.Sub(p.said) >= sayEvery {
		p.said = now
		p.a.talk("%s", p.text(now.Sub(p.began)))
	}
}

// text says how far a trial is after some time, and how long the rest takes at that rate.
func (p *trialProgress) text(took time.Duration) string {
	rest := time.Duration(float64(took) * float64(p.total-p.done) / float64(max(p.done, 1)))
	return fmt.Sprintf("judged %d of %d, about %s to go", p.done, p.total, rest.Round(time.Second))
}

// end takes the bar away: a ledger may hold fewer submissions than were asked for.
func (p *trialProgress) end() {
	if p.bar != nil {
		p.bar.SetTotal(-1, true)
		p.all.Wait()
	}
}
