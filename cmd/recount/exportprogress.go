package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/recount-ledger/recount/internal/term"
)

// work shows how far long work is: a bar for each stage on a terminal, a line now and then elsewhere, both on stderr.
type work struct {
	a     *app
	all   *mpb.Progress // nil without a terminal
	stage string
	bar   *mpb.Bar

	mu    sync.Mutex // the bar is drawn on a goroutine of its own
	pace  pace
	began time.Time
	said  time.Time
}

func newWork(a *app) *work {
	w := &work{a: a}
	if term.IsTerminal(a.err) && !a.quiet {
		w.all = mpb.New(mpb.WithOutput(a.err), mpb.WithWidth(40))
	}
	return w
}

// tell is the progress of a stage. Stages follow each other.
func (w *work) update(stage string, done, total uint64) {
	now := time.Now()
	if stage != w.stage {
		w.finish()
		w.stage, w.bar = stage, nil
		w.began, w.said = now, now
		if w.all != nil {
			w.bar = w.all.AddBar(int64(max(total, 1)),
				mpb.PrependDecorators(decor.Name(stage+" "), decor.CountersNoUnit("%d / %d ")),
				mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + w.text() })))
		}
	}
	w.mu.Lock()
	w.pace = pace{done, total, now.Sub(w.began)}
	w.mu.Unlock()
	switch {
	case w.bar != nil:
		w.bar.SetTotal(int64(max(total, done, 1)), false)
		w.bar.SetCurrent(int64(done))
	case now.Sub(w.said) >= sayEvery:
		w.said = now
		w.a.notef("%s: %d of %d, %s", stage, done, total, w.text())
	}
}

func (w *work) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pace.String()
}

func (w *work) finish() {
	if w.bar != nil {
		w.bar.SetTotal(-1, true)
	}
}

// end takes the last state as it is.
func (w *work) end() {
	if w.all == nil {
		return
	}
	if w.bar != nil {
		w.bar.Abort(false)
	}
	w.all.Wait()
}

// pace is the progress of a stage and the time that it took.
type pace struct {
	done, total uint64
	took        time.Duration
}

// String is the rate and the time to go.
func (p pace) String() string {
	if p.took < time.Millisecond || p.done == 0 {
		return "-/s, - to go"
	}
	rate := float64(p.done) / p.took.Seconds()
	if p.total < p.done {
		return fmt.Sprintf("%.0f/s", rate)
	}
	left := time.Duration(float64(p.total-p.done) / rate * float64(time.Second))
	return fmt.Sprintf("%.0f/s, %s to go", rate, left.Round(time.Second))
}
