package corpus

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

// slack is the difference that the expectation's own rounding may make.
const slack nano.Nano = 2

// Checker compares responses with expectations. It keeps the responses by line id for same_as. The zero value is ready,
// and it is safe for concurrent use.
type Checker struct {
	AnyStatus bool // every acceptable status will do, not only the preferred one

	mu   sync.Mutex
	seen map[string]*wire.SubmitAnswer
}

// Response is a node's response to a line.
type Response struct {
	ID         string // of the line
	Submission bool   // the request was a submission, which has a body that can be checked
	Status     int
	Elapsed    time.Duration
	Answer     *wire.SubmitAnswer // nil for a problem
	Problem    *wire.Problem      // nil for an answer
}

// Check returns each difference in words, and nothing if the response is as expected.
func (k *Checker) Check(x *Expect, r Response) (diffs []string) {
	differ := func(format string, args ...any) { diffs = append(diffs, fmt.Sprintf(format, args...)) }
	earlier := k.remember(r.ID, x.SameAs, r.Answer)
	if !slices.Contains(x.Status, r.Status) || !k.AnyStatus && len(x.Status) > 0 && x.Status[0] != r.Status {
		differ("status %d, expected %v", r.Status, x.Status)
		return diffs
	}
	if x.MaxSeconds > 0 && r.Elapsed > time.Duration(x.MaxSeconds*float64(time.Second)) {
		differ("took %v, at most %gs expected", r.Elapsed.Round(time.Millisecond), x.MaxSeconds)
	}
	if !r.Submission {
		return diffs
	}
	if problem := r.Problem; problem != nil {
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
	answer := r.Answer
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
func (k *Checker) remember(id, same string, answer *wire.SubmitAnswer) *wire.SubmitAnswer {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.seen == nil {
		k.seen = map[string]*wire.SubmitAnswer{}
	}
	if answer != nil {
		k.seen[id] = answer
	}
	return k.seen[same]
}

func (x *Expect) checkValues(a *wire.SubmitAnswer, status int) (diffs []string) {
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
	if n := len(x.DHat); n > 0 {
		least, greatest := x.DHat[0], x.DHat[n-1]
		if v := a.RecomputedDHat; v == nil || *v < least-slack || *v > greatest+slack {
			differ("recomputed_D_hat %s, expected within [%v, %v]", text(v), least, greatest)
		}
	}
	near := func(b nano.Nano) bool { return max(a.RecomputedBudget-b, b-a.RecomputedBudget) <= slack }
	if len(x.Budget) > 0 && !slices.ContainsFunc(x.Budget, near) {
		differ("recomputed_budget %v, expected one of %v", a.RecomputedBudget, x.Budget)
	}
	return diffs
}

// compareAnswers lists the members in which the repeated answer differs from the first. The marks of a repetition
// may differ.
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

// unclaimed leaves out the claim. A conflict names the outcome that stands, and that row does not hold what its client
// claimed.
func unclaimed(a *wire.SubmitAnswer) *wire.SubmitAnswer {
	if a == nil {
		return nil
	}
	b := *a
	b.DHat = nil
	return &b
}

// text is a value that may be missing.
func text(n *nano.Nano) string {
	if n == nil {
		return "-"
	}
	return n.String()
}

func compact(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}
