package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

// expectation is the member expect of a corpus line.
type expectation struct {
	Status     []int       `json:"status"`
	Class      string      `json:"class"`
	Accepted   *bool       `json:"accepted"`
	PCSID      string      `json:"pcs_id"`
	DHat       []nano.Nano `json:"d_hat"`
	Budget     []nano.Nano `json:"budget"`
	SameAs     string      `json:"same_as"`
	MaxSeconds float64     `json:"max_seconds"`
}

// slack is the difference that the expectation's own rounding may make.
const slack nano.Nano = 2

// checker compares answers with expectations. It remembers answers by case id for same_as.
type checker struct {
	anyStatus bool // every acceptable status is fine, not only the preferred one
	mu        sync.Mutex
	seen      map[string]*wire.SubmitAnswer
}

// check returns what differs, in words; nothing when all is as expected.
func (k *checker) check(j job, r *client.Response, answer *wire.SubmitAnswer, problem *wire.Problem) (diffs []string) {
	differ := func(format string, args ...any) { diffs = append(diffs, fmt.Sprintf(format, args...)) }
	x := j.expect
	earlier := k.remember(j.id, x.SameAs, answer)
	if !slices.Contains(x.Status, r.Status) || !k.anyStatus && len(x.Status) > 0 && x.Status[0] != r.Status {
		differ("status %d, expected %v", r.Status, x.Status)
		return diffs
	}
	if x.MaxSeconds > 0 && r.Elapsed > time.Duration(x.MaxSeconds*float64(time.Second)) {
		differ("took %v, at most %gs expected", r.Elapsed.Round(time.Millisecond), x.MaxSeconds)
	}
	if j.request.Path != client.SubmitPath {
		return diffs
	}
	if problem != nil {
		if problem.Text == "" {
			differ("a refusal without the member error")
		}
		if r.Status == x.Status[0] && x.Class != "replay" && problem.ReasonCode != x.Class {
			differ("reason_code %q, expected %q", problem.ReasonCode, x.Class)
		}
		if x.SameAs != "" && problem.First != nil {
			diffs = append(diffs, compareAnswers(unclaimed(earlier), problem.First, x.SameAs)...)
		}
		return diffs
	}
	if answer == nil {
		return append(diffs, "the answer is not a submit answer")
	}
	diffs = append(diffs, x.checkValues(answer, r.Status)...)
	if x.SameAs != "" && x.Class == "replay" {
		if !answer.Replayed {
			differ("not marked replayed")
		}
		diffs = append(diffs, compareAnswers(earlier, answer, x.SameAs)...)
	}
	return diffs
}

// remember stores the answer under id and returns the one stored under same.
func (k *checker) remember(id, same string, answer *wire.SubmitAnswer) *wire.SubmitAnswer {
	k.mu.Lock()
	defer k.mu.Unlock()
	if answer != nil {
		k.seen[id] = answer
	}
	return k.seen[same]
}

func (x *expectation) checkValues(a *wire.SubmitAnswer, status int) (diffs []string) {
	differ := func(format string, args ...any) { diffs = append(diffs, fmt.Sprintf(format, args...)) }
	if x.Accepted != nil && a.Accepted != *x.Accepted {
		differ("accepted %v, expected %v", a.Accepted, *x.Accepted)
	}
	if a.Escalated != (status == http.StatusAccepted) {
		differ("escalated %v with status %d", a.Escalated, status)
	}
	if x.PCSID != "" && a.PCSID != x.PCSID {
		differ("pcs_id %s, expected %s", a.PCSID, x.PCSID)
	}
	if x.Class != "replay" && status == x.Status[0] && a.ReasonCode != x.Class {
		differ("reason_code %q, expected %q", a.ReasonCode, x.Class)
	}
	if n := len(x.DHat); n > 0 && (a.RecomputedDHat == nil || *a.RecomputedDHat < x.DHat[0]-slack || *a.RecomputedDHat > x.DHat[n-1]+slack) {
		differ("recomputed_D_hat %s, expected within [%v, %v]", decimal(a.RecomputedDHat), x.DHat[0], x.DHat[n-1])
	}
	near := func(b nano.Nano) bool { return max(a.RecomputedBudget-b, b-a.RecomputedBudget) <= slack }
	if len(x.Budget) > 0 && !slices.ContainsFunc(x.Budget, near) {
		differ("recomputed_budget %v, expected one of %v", a.RecomputedBudget, x.Budget)
	}
	return diffs
}

// compareAnswers says in which members the first answer did not come again; the marks of a repetition may differ.
func compareAnswers(earlier, now *wire.SubmitAnswer, id string) []string {
	if earlier == nil {
		return []string{"no answer of " + id + " to compare with"}
	}
	a, b := *earlier, *now
	a.Replayed, a.Reverified, a.Generation = b.Replayed, b.Reverified, b.Generation
	if len(a.Reasons)+len(b.Reasons) == 0 {
		a.Reasons = b.Reasons
	}
	if reflect.DeepEqual(a, b) {
		return nil
	}
	return []string{fmt.Sprintf("answer differs from that of %s: %s, then %s", id, compact(a), compact(b))}
}

// unclaimed leaves out the claim. A conflict names the outcome that stands, and that row does not hold what its client claimed.
func unclaimed(a *wire.SubmitAnswer) *wire.SubmitAnswer {
	if a == nil {
		return nil
	}
	b := *a
	b.DHat = nil
	return &b
}

func compact(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}
