package auditor

import (
	"cmp"
	"fmt"
	"slices"
)

// Report is the result of an audit.
type Report struct {
	From        string   `json:"from"`
	ClusterID   string   `json:"cluster_id"`
	Formerly    []string `json:"formerly,omitempty"` // ids of the ledger before it was restored, oldest first
	Events      uint64   `json:"events"`
	Submissions uint64   `json:"submissions"`
	LogTime     string   `json:"log_time"` // of the last event
	Log         string   `json:"log_digest"`
	State       string   `json:"state_digest"`
	Control     string   `json:"control_digest"`
	Generation  uint32   `json:"generation"` // active at the end

	Generations []uint32     `json:"generations"` // that were ever active, each folded from the first event on
	Checkpoints []Checkpoint `json:"checkpoints"` // those that were compared
	Digests     uint64       `json:"logged_digests"`
	Activations int          `json:"activations"`
	Differences []Difference `json:"differences"` // by the first event that may differ
	NotChecked  []string     `json:"not_checked"`
	Unchecked   []string     `json:"unchecked_checkpoints,omitempty"` // with why they could not be compared

	Contradictions []Contradiction `json:"contradictions,omitempty"`

	Seconds float64 `json:"seconds"`
}

// Checkpoint is a signed checkpoint that was compared.
type Checkpoint struct {
	From string   `json:"from"` // file, or the node
	Size uint64   `json:"size"`
	By   []string `json:"signed_by"`
}

// Difference is a place where the ledger is not as it was said to be. From and To are the first and the last event in
// which the difference can be.
type Difference struct {
	From uint64 `json:"from_seq"`
	To   uint64 `json:"to_seq"`
	What string `json:"what"`
}

// String is the difference in one line.
func (d Difference) String() string {
	if d.From >= d.To {
		return fmt.Sprintf("event %d: %s", d.From, d.What)
	}
	return fmt.Sprintf("events %d to %d: %s", d.From, d.To, d.What)
}

func newReport(from string) *Report {
	return &Report{From: from, Generations: []uint32{}, Checkpoints: []Checkpoint{}, Differences: []Difference{},
		NotChecked: []string{}}
}

// differ adds a difference. They stay in the order of the log.
func (r *Report) differ(from, to uint64, format string, args ...any) {
	r.Differences = append(r.Differences, Difference{From: from, To: to, What: fmt.Sprintf(format, args...)})
	slices.SortStableFunc(r.Differences, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.To, b.To), cmp.Compare(a.From, b.From))
	})
}

// not adds something that was not checked.
func (r *Report) not(format string, args ...any) {
	r.NotChecked = append(r.NotChecked, fmt.Sprintf(format, args...))
}

// unchecked adds a checkpoint that cannot be compared, which is no success.
func (r *Report) unchecked(format string, args ...any) {
	r.Unchecked = append(r.Unchecked, fmt.Sprintf(format, args...))
}

// Summary says the result in one line.
func (r *Report) Summary() string {
	if len(r.Differences) > 0 {
		return r.Differences[0].String()
	}
	if len(r.Unchecked) > 0 {
		return "not verified: " + r.Unchecked[0]
	}
	return fmt.Sprintf("%s, %s, all answers reproduced", counted(r.Events, "event"),
		counted(uint64(len(r.Generations)), "generation"))
}

// counted writes a number with commas and a noun.
func counted(n uint64, noun string) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits + " " + plural(n, noun)
}

func plural(n uint64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return noun
}
