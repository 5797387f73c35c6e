package canary

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/recount-ledger/recount/wire"
)

// The verdicts about one canary at one node.
const (
	Refused    = "refused"     // by the verifier, as it must be
	LetThrough = "let_through" // accepted: an incident
	Frozen     = "frozen"      // stopped by a freeze alone: an incident, too
	NoAnswer   = "no_answer"   // nothing is known about the verifier
)

// What a round can find, from the worst on. Err wraps one of them.
var (
	ErrLetThrough = errors.New("were let through")
	ErrFrozen     = errors.New("were stopped only by a freeze")
	ErrTurnedAway = errors.New("were turned away before any verifier saw them")
	ErrNoAnswer   = errors.New("got no answer")
)

// Line holds the response of one node to one canary.
type Line struct {
	Node    string `json:"node"` // endpoint
	Canary  string `json:"canary"`
	Logged  bool   `json:"logged"` // it was submitted, and may be an event
	Status  int    `json:"status"` // of HTTP, 0 without a response
	Code    string `json:"code"`   // of the problem, or the reason of an accepted record
	Verdict string `json:"verdict"`
}

// Report holds one round.
type Report struct {
	At         string `json:"at"` // when it began, RFC 3339
	Sent       int    `json:"sent"`
	Refused    int    `json:"refused"`
	LetThrough int    `json:"let_through"`
	Frozen     int    `json:"frozen"`
	NoAnswer   int    `json:"no_answer"`
	Lines      []Line `json:"lines"`
}

func (r *Report) add(line Line) {
	r.Sent++
	switch line.Verdict {
	case Refused:
		r.Refused++
	case LetThrough:
		r.LetThrough++
	case Frozen:
		r.Frozen++
	default:
		r.NoAnswer++
	}
	r.Lines = append(r.Lines, line)
}

// Err returns nil when every node refused every canary, and otherwise the worst finding with its count.
func (r *Report) Err() error {
	for _, finding := range []struct {
		count int
		err   error
	}{
		{r.LetThrough, ErrLetThrough},
		{r.Frozen, ErrFrozen},
		{r.turnedAway(), ErrTurnedAway},
		{r.NoAnswer, ErrNoAnswer},
	} {
		if finding.count > 0 {
			return fmt.Errorf("%d of %d canaries %w", finding.count, r.Sent, finding.err)
		}
	}
	return nil
}

// awayCodes are the responses to a caller without permission, and of a node without the route.
var awayCodes = []wire.Code{wire.CodeUnauthorized, wire.CodeForbidden, wire.CodeNotFound, wire.CodeMethod}

// turnedAway counts the canaries that a node did not judge for want of a credential or of a route.
func (r *Report) turnedAway() (n int) {
	for _, l := range r.Lines {
		if l.Verdict == NoAnswer && slices.Contains(awayCodes, wire.Code(l.Code)) {
			n++
		}
	}
	return n
}

// WriteTextfile writes the counts for the text collector of node_exporter. It replaces path as a whole, by renaming
// path.tmp, and makes its directory. path must not end in .tmp.
func (r *Report) WriteTextfile(path string) error {
	text, err := r.metrics()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", text, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// metrics returns the counts in the text exposition format.
func (r *Report) metrics() ([]byte, error) {
	at, err := wire.ParseTime(r.At)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, m := range []struct {
		name, help string
		value      int64
	}{
		{"recount_canary_sent", "Known-bad submissions sent in the last round.", int64(r.Sent)},
		{"recount_canary_let_through",
			"Known-bad submissions that were accepted in the last round. More than 0 is an incident.",
			int64(r.LetThrough)},
		{"recount_canary_frozen", "Known-bad submissions that only a freeze stopped in the last round.",
			int64(r.Frozen)},
		{"recount_canary_no_answer", "Known-bad submissions without an answer in the last round.", int64(r.NoAnswer)},
		{"recount_canary_last_run_timestamp_seconds", "When the last round began.", at.Unix()},
	} {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n%s %d\n", m.name, m.help, m.name, m.name, m.value)
	}
	return []byte(b.String()), nil
}
