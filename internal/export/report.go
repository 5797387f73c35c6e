package export

import (
	"fmt"
	"slices"
)

// The results of a check.
const (
	ResultOK     = "ok"
	ResultFailed = "failed"
	ResultNot    = "not checked"
)

// The checks, in the order in which they are reported.
const (
	CheckManifest    = "manifest"
	CheckFiles       = "files"
	CheckPolicies    = "policies"
	CheckKeys        = "keys"
	CheckGenerations = "generations"
	CheckEvents      = "events"
	CheckTime        = "log time"
	CheckDigest      = "log digest"
	CheckRecorded    = "recorded digests"
	CheckOperations  = "operations"
	CheckAnswers     = "answers"
	CheckEd25519     = "ed25519 signatures"
	CheckHMAC        = "hmac signatures"
	CheckJudged      = "verdicts"
	CheckHistory     = "verdicts by history"
	CheckTable       = "records.csv"
	CheckPage        = "index.html"
	CheckCounts      = "counts"
)

// mostFaults bounds the faults of a check that a report lists.
const mostFaults = 10

var checkOrder = []string{CheckManifest, CheckFiles, CheckPolicies, CheckKeys, CheckGenerations, CheckEvents,
	CheckTime, CheckDigest, CheckRecorded, CheckOperations, CheckAnswers, CheckEd25519, CheckHMAC, CheckJudged,
	CheckHistory, CheckTable, CheckCounts, CheckPage}

// Line is the result of one check.
type Line struct {
	Check  string   `json:"check"`
	Result string   `json:"result"` // ok, failed or not checked
	Count  uint64   `json:"count"`  // items that were checked
	Says   string   `json:"says"`   // the property that holds, or why it was not checked
	Faults []string `json:"faults,omitempty"`
	More   uint64   `json:"more_faults,omitempty"` // beyond those that are listed
}

// Report is the result of Check.
type Report struct {
	Dir       string `json:"dir"`
	ClusterID string `json:"cluster_id"`
	FromSeq   uint64 `json:"from_seq"`
	ToSeq     uint64 `json:"to_seq"`
	Shard     string `json:"shard,omitempty"`
	LogDigest string `json:"log_digest"` // of the manifest, after ToSeq
	Sum       string `json:"manifest_sum"`
	Checks    []Line `json:"checks"`
	OK        bool   `json:"ok"` // no check failed
}

// board collects the results.
type board struct{ lines map[string]*Line }

func newBoard() *board {
	b := &board{lines: map[string]*Line{}}
	for _, name := range checkOrder {
		b.lines[name] = &Line{Check: name, Result: ResultNot}
	}
	return b
}

// begin sets the text for a check that passes. The check is ok until there is a fault.
func (b *board) begin(check, says string) {
	l := b.lines[check]
	l.Result, l.Says = ResultOK, says
}

// not records why something is not checked.
func (b *board) not(check, why string) {
	l := b.lines[check]
	l.Result, l.Says = ResultNot, why
}

// looked counts one item that was checked.
func (b *board) looked(check string) { b.lines[check].Count++ }

// lookedAll sets the number of items that were checked.
func (b *board) lookedAll(check string, n uint64) { b.lines[check].Count = n }
func (b *board) looks(check string) uint64        { return b.lines[check].Count }

// fault makes a check fail.
func (b *board) fault(check, format string, args ...any) {
	l := b.lines[check]
	l.Result = ResultFailed
	if len(l.Faults) == mostFaults {
		l.More++
		return
	}
	l.Faults = append(l.Faults, fmt.Sprintf(format, args...))
}

// failed reports whether a check has a fault.
func (b *board) failed(check string) bool { return b.lines[check].Result == ResultFailed }

// into fills a report.
func (b *board) into(r *Report) *Report {
	r.OK = true
	for _, name := range checkOrder {
		l := *b.lines[name]
		if l.Result == ResultNot && l.Says == "" {
			l.Says = "an earlier check failed"
		}
		r.Checks = append(r.Checks, l)
	}
	r.OK = !slices.ContainsFunc(r.Checks, func(l Line) bool { return l.Result == ResultFailed })
	return r
}
