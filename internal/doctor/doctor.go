// Package doctor looks for what is wrong, or will be, in a running cluster, and says which command comes next.
//
// Examine asks every endpoint for what it already tells: its view of the members (GET /v1/cluster), its build
// (/version), its checks (/readyz?verbose), its metrics (/metrics), and the lists of keys, tokens and freezes. Then
// it compares the digests of all nodes at one event. It changes nothing and sends no submission.
//
//	report := doctor.Examine(ctx, c, doctor.Options{})
//	for _, f := range report.Findings { ... }
//
// A finding names its kind, a closed word of Checks, and has one of three severities:
//
//	critical   something does not work, or will not within days, and a person has to act
//	warning    everything works, and the next fault or a date will change that
//	note       worth knowing, and no reason to act
//
// What a node does not tell, such as metrics that the token may not read, is a note of its own: a report without
// findings means that everything was looked at. Limits: at most one request of each sort to an endpoint at a time,
// Options.Timeout for each endpoint. Memory is that of the largest list, which a node bounds.
//
// Package stopped examines the directory of a node that does not run.
package doctor

import (
	"cmp"
	"slices"
	"time"
)

// Severities, the worst first.
const (
	Critical = "critical"
	Warning  = "warning"
	Note     = "note"
)

// Severities returns all severities, the worst first.
func Severities() []string { return []string{Critical, Warning, Note} }

// Finding is one thing that a person should know.
type Finding struct {
	Check    string `json:"check"`          // a word of Checks
	Severity string `json:"severity"`       // a word of Severities
	Node     string `json:"node,omitempty"` // id or endpoint; "" for the cluster
	Text     string `json:"text"`           // one or two sentences
	Next     string `json:"next"`           // the command to give next
	On       string `json:"on,omitempty"`   // the node on whose machine to give it; "" for this machine
	Page     string `json:"page"`           // of the manual, below docs/
}

// Report is the result of an examination.
type Report struct {
	At       string    `json:"at"`    // RFC 3339, UTC
	Nodes    int       `json:"nodes"` // endpoints that were asked, or 1 for a directory
	OK       bool      `json:"ok"`    // no finding is critical or a warning
	Findings []Finding `json:"findings"`
}

// Checks are the words of Finding.Check, with the sentence that docs/doctor.md has of each.
func Checks() map[string]string {
	return map[string]string{
		checkAnswer:      "an endpoint gives no answer, or refuses the credentials",
		checkLeader:      "no node leads, so nothing is accepted",
		checkVoters:      "the cluster cannot lose a node, or could lose one more with another voter",
		checkCluster:     "the endpoints belong to different clusters",
		checkDigests:     "nodes have different digests at the same event",
		checkVersions:    "the nodes run different builds",
		checkUpgrade:     "the cluster version is below what every member knows",
		checkReady:       "a node is not ready for a reason without a row of its own",
		checkQuarantine:  "a node answers no client because it contradicts the others",
		checkAgreement:   "two nodes contradict each other and no majority decides",
		checkDisk:        "the disk of a node is full, or will be",
		checkBallast:     "a node has given its reserve of disk space back",
		checkClock:       "the clock of a node, or of this machine, is wrong",
		checkMember:      "the other members refuse a node",
		checkLearner:     "a learner does not catch up, or could vote and does not",
		checkRemoved:     "a node runs that was removed from the cluster",
		checkLag:         "a node is behind in folding what is committed",
		checkSecrets:     "a node lacks the secret of an active key, or cannot read its key files",
		checkCertificate: "a certificate ends soon, or new files of one were not taken",
		checkToken:       "a token ends soon",
		checkKey:         "a signing key ends soon, or is old",
		checkFreeze:      "submissions are frozen",
		checkStore:       "a node could not write its log, or could not read a store",
		checkScrub:       "the log of a node has not been read in full for a long time",
		checkLines:       "a node loses lines of its log or of its audit stream",
		checkFacts:       "a node handed over records that are not signed as it says",
		checkYield:       "a node does not lead because it cannot take submissions",
		checkUnread:      "the credentials may not read something, so that it was not looked at",
		checkSettings:    "the settings of a stopped node, or the files that they name, have a fault",
		checkDirectory:   "the directory of a stopped node is not one that a node can start with",
		checkRunning:     "a process runs on the directory, so that its log was not opened",
	}
}

const (
	checkAnswer      = "answer"
	checkLeader      = "leader"
	checkVoters      = "voters"
	checkCluster     = "cluster"
	checkDigests     = "digests"
	checkVersions    = "versions"
	checkUpgrade     = "upgrade"
	checkReady       = "ready"
	checkQuarantine  = "quarantine"
	checkAgreement   = "agreement"
	checkDisk        = "disk"
	checkBallast     = "ballast"
	checkClock       = "clock"
	checkMember      = "member"
	checkLearner     = "learner"
	checkRemoved     = "removed"
	checkLag         = "lag"
	checkSecrets     = "secrets"
	checkCertificate = "certificate"
	checkToken       = "token"
	checkKey         = "key"
	checkFreeze      = "freeze"
	checkStore       = "store"
	checkScrub       = "scrub"
	checkLines       = "lines"
	checkFacts       = "facts"
	checkYield       = "yield"
	checkUnread      = "unread"
	checkSettings    = "settings"
	checkDirectory   = "directory"
	checkRunning     = "running"
)

// NewReport sorts the findings, the worst first.
func NewReport(at time.Time, nodes int, findings []Finding) *Report {
	r := &Report{At: at.UTC().Format(time.RFC3339), Nodes: nodes, OK: true, Findings: []Finding{}}
	r.Findings = append(r.Findings, findings...)
	all := Severities()
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(slices.Index(all, a.Severity), slices.Index(all, b.Severity)),
			cmp.Compare(a.Check, b.Check), cmp.Compare(a.Node, b.Node))
	})
	for _, f := range r.Findings {
		r.OK = r.OK && f.Severity == Note
	}
	return r
}

// Count returns the number of findings of a severity.
func (r *Report) Count(severity string) (n int) {
	for _, f := range r.Findings {
		if f.Severity == severity {
			n++
		}
	}
	return n
}
