package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/term"
	"github.com/recount-ledger/recount/internal/trial"
	"github.com/recount-ledger/recount/wire"
)

// tryLedger runs a trial over at most limit submissions that q selects. Progress is shown unless the trial lists.
func tryLedger(ctx context.Context, a *app, t *trial.Trial, q client.AuditQuery, limit int) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	if t.Changed == nil {
		progress := newTrialProgress(a, limit)
		t.Judged = progress.add
		defer progress.end()
	}
	q.PageTimeout = a.timeout
	return t.Ledger(ctx, c, q, limit)
}

// tryNewest runs a trial over the newest submissions.
func tryNewest(ctx context.Context, a *app, t *trial.Trial, count int) error {
	return tryLedger(ctx, a, t, client.AuditQuery{Newest: true}, count)
}

// mayNotRead reports that the caller's credential does not open the lists that a trial reads.
func mayNotRead(err error) bool {
	var p *wire.Problem
	return errors.As(err, &p) && (p.Code == wire.CodeForbidden || p.Code == wire.CodeUnauthorized)
}

// trialProgress shows the progress of a trial: a bar on a terminal, now and then a line elsewhere, both on stderr.
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
	if p.done += n; p.bar != nil {
		p.bar.IncrBy(n)
		return
	}
	if now := time.Now(); now.Sub(p.said) >= sayEvery {
		p.said = now
		p.a.notef("%s", p.text(now.Sub(p.began)))
	}
}

// text returns the progress after some time, and how long the rest takes at that rate.
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
