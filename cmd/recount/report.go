package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/corpus"
	"github.com/recount-ledger/recount/internal/term"
	"github.com/recount-ledger/recount/wire"
)

// result is the outcome of one request.
type result struct {
	request  request
	response *client.Response
	answer   *wire.SubmitAnswer
	problem  *wire.Problem
	err      error // no final answer
}

func newResult(j request, resp *client.Response, err error) result {
	r := result{request: j, response: resp, err: err}
	switch {
	case err != nil:
		errors.As(err, &r.problem)
	case resp.Status >= 400:
		r.problem = resp.Problem()
		if resp.Status >= 500 && j.http.Method == http.MethodPost {
			r.err = &client.Error{
				Endpoint: resp.Endpoint,
				Attempts: resp.Attempts,
				Status:   resp.Status,
				Problem:  r.problem,
				MaySent:  true,
			}
		}
	case j.http.Path == client.SubmitPath, j.http.Path == client.CheckPath:
		answer := &wire.SubmitAnswer{}
		if jsonErr := json.Unmarshal(resp.Body, answer); jsonErr != nil || answer.Outcome == "" {
			r.err = &client.Error{
				Endpoint: resp.Endpoint,
				Attempts: resp.Attempts,
				Status:   resp.Status,
				Cause:    client.ErrProtocol,
			}
		} else {
			r.answer = answer
		}
	}
	r.nothingSent()
	return r
}

// nothingSent takes back that the outcome of a check may be unknown: a check commits nothing.
func (r *result) nothingSent() {
	var failure *client.Error
	if r.request.http.Path == client.CheckPath && errors.As(r.err, &failure) {
		failure.MaySent = false
	}
}

// toCheck is the response in the form that the corpora are compared with.
func (r *result) toCheck() corpus.Response {
	return corpus.Response{
		ID: r.request.id, Submission: r.request.http.Path == client.SubmitPath,
		Status: r.response.Status, Elapsed: r.response.Elapsed, Answer: r.answer, Problem: r.problem,
	}
}

// resultLine is a result as -o ndjson prints it.
type resultLine struct {
	Line        int                `json:"line"`
	ID          string             `json:"id,omitempty"`
	Status      int                `json:"status"` // 0 without any answer
	Answer      *wire.SubmitAnswer `json:"answer,omitempty"`
	Problem     *wire.Problem      `json:"problem,omitempty"`
	Error       string             `json:"error,omitempty"` // when there is no final answer
	Unknown     bool               `json:"outcome_unknown,omitempty"`
	Differences []string           `json:"differences,omitempty"` // with --check
}

// summary sums up a run. -o json prints it.
type summary struct {
	Records     int            `json:"records"`
	Outcomes    map[string]int `json:"outcomes"`
	Statuses    map[string]int `json:"statuses"`
	Reasons     map[string]int `json:"reasons"`
	Replayed    int            `json:"replayed"`
	Rejected    int            `json:"rejected"`
	Unavailable int            `json:"unavailable"`
	Unknown     int            `json:"outcome_unknown"`
	Failed      int            `json:"failed"`
	Checked     int            `json:"checked"`
	Different   int            `json:"different"`
	Seconds     float64        `json:"seconds"`
	PerSecond   float64        `json:"records_per_second"`
}

// What became of records without a final answer.
const (
	outcomeUnknown = "outcome unknown"
	unavailable    = "unavailable"
	failed         = "failed"
)

// report gathers results from many goroutines.
type report struct {
	a        *app
	flags    submitFlags
	checker  *corpus.Checker
	stop     context.CancelCauseFunc
	progress *mpb.Progress
	bar      *mpb.Bar
	began    time.Time

	mu  sync.Mutex
	sum summary
	// of the first record that ended so without a final answer: outcomeUnknown, unavailable or failed
	firstOf  map[string]error
	last     result
	writeErr error
}

func newReport(a *app, f submitFlags, total int64, stop context.CancelCauseFunc) *report {
	r := &report{a: a, flags: f, stop: stop, began: time.Now()}
	r.firstOf = map[string]error{}
	r.sum = summary{Outcomes: map[string]int{}, Statuses: map[string]int{}, Reasons: map[string]int{}}
	if f.check != "" {
		r.checker = &corpus.Checker{AnyStatus: f.check == "any"}
	}
	if !a.quiet && term.IsTerminal(a.err) {
		r.progress = mpb.New(mpb.WithOutput(a.err), mpb.WithWidth(48))
		r.bar = r.progress.AddBar(total,
			mpb.PrependDecorators(decor.CountersNoUnit("%d / %d ")),
			mpb.AppendDecorators(decor.AverageSpeed(0, " %.0f/s "), decor.AverageETA(decor.ET_STYLE_GO)))
	}
	return r
}

func (r *report) record(x result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := r.count(x)
	r.last = x
	if r.bar != nil {
		r.bar.Increment()
	}
	if r.a.format == formatNDJSON && r.writeErr == nil {
		if r.writeErr = r.a.printJSON(line); r.writeErr != nil {
			r.stop(errStopped)
		}
	}
	if x.err != nil && !r.flags.keepGoing {
		r.stop(errStopped)
	}
	if len(line.Differences) > 0 && r.bar == nil && r.a.format != formatNDJSON && r.sum.Different <= 20 {
		r.a.notef("line %d %s: %s", line.Line, line.ID, line.Differences[0])
	}
}

// count adds x to the summary and makes its line.
func (r *report) count(x result) resultLine {
	s := &r.sum
	line := resultLine{Line: x.request.line, ID: x.request.id, Answer: x.answer, Problem: x.problem}
	s.Records++
	if x.response != nil {
		line.Status = x.response.Status
	} else if x.problem != nil {
		line.Status = x.problem.Status
	}
	s.Statuses[statusText(line.Status)]++
	switch {
	case x.err != nil:
		r.countError(&line, x)
	case x.problem != nil:
		s.Rejected++
		s.Outcomes[cmp.Or(x.problem.Outcome, "rejected")]++
		s.Reasons[cmp.Or(x.problem.ReasonCode, string(x.problem.Code), "-")]++
	case x.answer != nil:
		s.Outcomes[x.answer.Outcome]++
		s.Reasons[x.answer.ReasonCode]++
		if x.answer.Replayed {
			s.Replayed++
		}
	}
	if r.checker != nil && x.request.expect != nil && x.response != nil {
		s.Checked++
		if line.Differences = r.checker.Check(x.request.expect, x.toCheck()); len(line.Differences) > 0 {
			s.Different++
		}
	}
	return line
}

func (r *report) countError(line *resultLine, x result) {
	line.Error = x.err.Error()
	outcome := failed
	switch {
	case errors.Is(x.err, client.ErrOutcomeUnknown):
		r.sum.Unknown++
		outcome, line.Unknown = outcomeUnknown, true
	case errors.Is(x.err, client.ErrUnavailable):
		r.sum.Unavailable++
		outcome = unavailable
	default:
		r.sum.Failed++
	}
	r.sum.Outcomes[outcome]++
	if r.firstOf[outcome] == nil {
		r.firstOf[outcome] = fmt.Errorf("%s: %w",
			strings.TrimSpace(fmt.Sprintf("line %d %s", x.request.line, x.request.id)), x.err)
	}
}

func statusText(status int) string {
	if status == 0 {
		return "none"
	}
	return fmt.Sprint(status)
}

// close ends the progress bar and the clock.
func (r *report) close() {
	if r.bar != nil {
		r.bar.SetTotal(-1, true)
		r.progress.Wait()
	}
	elapsed := time.Since(r.began).Seconds()
	r.sum.Seconds = elapsed
	r.sum.PerSecond = float64(r.sum.Records) / max(elapsed, 1e-9)
}

func (r *report) print() error {
	s := &r.sum
	if r.writeErr != nil {
		return r.writeErr
	}
	switch {
	case r.flags.dry && s.Records == 1 && r.a.format != formatNDJSON:
		return r.printOne()
	case r.a.format == formatJSON:
		return r.a.printJSON(s)
	case r.a.format == formatNDJSON:
		r.a.notef("%d records in %.1f s (%.0f/s)", s.Records, s.Seconds, s.PerSecond)
		return nil
	}
	if s.Records == 1 && r.checker == nil {
		return r.printOne()
	}
	if s.Records == 0 {
		r.a.notef("0 records: the input holds none")
		return nil
	}
	t := r.a.table(text("WHAT", 1, 10), text("VALUE", 2, 16), count("RECORDS", 3))
	for _, part := range []struct {
		what   string
		counts map[string]int
	}{{"outcome", s.Outcomes}, {"status", s.Statuses}, {"reason", s.Reasons}} {
		for _, name := range slices.Sorted(maps.Keys(part.counts)) {
			t.row(part.what, name, part.counts[name])
		}
	}
	t.row("replayed", "", s.Replayed)
	if r.checker != nil {
		t.row("checked", "as expected", s.Checked-s.Different)
		t.row("checked", "different", s.Different)
	}
	t.row("all", "", s.Records)
	if err := t.flush(); err != nil {
		return err
	}
	if !r.flags.dry { // a check keeps nothing
		r.explainOutcomes()
	}
	r.a.notef("%d records in %.1f s (%.0f/s)", s.Records, s.Seconds, s.PerSecond)
	return nil
}

// explainOutcomes explains the outcomes of records that do not count, when the summary has them.
func (r *report) explainOutcomes() {
	for _, x := range []struct{ outcome, means string }{
		{"refused", "the ledger keeps the record and the reason; it does not count"},
		{"conflict", "another record has this pcs_id; the ledger keeps both, the first one stands"},
		{"rejected", "turned away before the log: the ledger keeps nothing of it"},
	} {
		if r.sum.Outcomes[x.outcome] > 0 {
			r.a.notef("%s: %s", x.outcome, x.means)
		}
	}
}

// printOne prints the answer to the only record.
func (r *report) printOne() error {
	switch a, p := r.last.answer, r.last.problem; {
	case a != nil && r.flags.dry:
		return r.a.printFields(wire.CheckAnswer{SubmitAnswer: *a, Seq: a.Seq, DryRun: true}, "outcome", a.Outcome,
			"status", r.last.response.Status, "accepted", a.Accepted, "reason", cmp.Or(a.Reason, a.ReasonCode),
			"pcs_id", a.PCSID, "shard", a.ShardID, "epoch", a.Epoch, "D_hat", decimal(a.DHat), "recomputed D_hat",
			decimal(a.RecomputedDHat), "replayed", a.Replayed, "policy", a.Policy, "logged", "no")
	case a != nil:
		return r.a.printFields(a, "outcome", a.Outcome, "accepted", a.Accepted, "reason", cmp.Or(a.Reason,
			a.ReasonCode),
			"seq", a.Seq, "pcs_id", a.PCSID, "shard", a.ShardID, "epoch", a.Epoch, "D_hat", decimal(a.DHat),
			"recomputed D_hat", decimal(a.RecomputedDHat), "replayed", a.Replayed, "policy", a.Policy)
	case p != nil:
		return r.a.printFields(p, "outcome", cmp.Or(p.Outcome, "rejected"), "status", p.Status, "reason",
			cmp.Or(p.ReasonCode, string(p.Code)), "detail", cmp.Or(p.Text, p.Title), "field", dash(p.Field),
			"request_id", dash(p.RequestID))
	}
	return nil // verdict has the error
}

// verdict turns the summary into the error that the exit code comes from.
func (r *report) verdict() error {
	s := &r.sum
	if r.flags.dry {
		return r.dryVerdict()
	}
	switch {
	case s.Different > 0:
		return &codedError{exitVerify,
			fmt.Errorf("%d of %d checked records differ from what the corpus expects", s.Different, s.Checked),
			"See the members \"differences\" with -o ndjson."}
	case r.checker != nil && s.Checked == 0 && len(r.firstOf) == 0:
		return usagef("--check: no line has expectations; give a corpus file")
	case s.Unknown > 0:
		return &codedError{exitUnknown,
			fmt.Errorf("the outcome of %d records is unknown; first %w", s.Unknown, r.firstOf[outcomeUnknown]),
			"Submit the same file again: every record is answered once."}
	case s.Unavailable > 0:
		return &codedError{exitUnavailable,
			fmt.Errorf("%d records could not be submitted; first %w", s.Unavailable, r.firstOf[unavailable]),
			nextStep(r.firstOf[unavailable]) + "\nThen submit the same file again: every record is answered once."}
	case r.firstOf[failed] != nil:
		return r.firstOf[failed]
	case r.checker == nil && s.Rejected > 0:
		return &codedError{exitRejected, fmt.Errorf("%d of %d records were rejected", s.Rejected, s.Records),
			"See why with -o ndjson; the same bytes will be rejected again."}
	}
	return nil
}
