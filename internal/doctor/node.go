package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// saysRemoved begins what readyz of a removed node says about its membership (cluster.ErrRemoved).
const saysRemoved = "this node was removed from the cluster"

// Bounds of what is worth a finding. docs/limits.md lists them.
const (
	// CertificateSoon and CertificateSooner are the times before its end when a certificate is a warning and
	// critical. The alerts have the same ones.
	CertificateSoon   = 21 * 24 * time.Hour
	CertificateSooner = 7 * 24 * time.Hour
	// LagEntries is the number of committed entries that a node may have to fold without a warning.
	LagEntries = 1000
	// LearnerStalled is the time for which a learner that lacks entries may take none.
	LearnerStalled = 30 * time.Second
	// ScrubWithin is the time after its start within which a node should have read its whole log.
	ScrubWithin = 30 * 24 * time.Hour
	// ClockApart bounds the distance of the clock of this machine from that of a node.
	ClockApart = 5 * time.Second
)

// remedy has the severity of a failing check of readiness and the next step.
type remedy struct {
	check, severity, next, page string
	there                       bool // next is for the machine of the node
}

// remedies are by the names of the checks that /readyz?verbose lists.
var remedies = map[string]remedy{
	"stopping": {checkReady, Warning, "systemctl status recount-node", "runbooks/lost-node.md", true},
	"quarantine": {checkQuarantine, Critical, "recount digest", "runbooks/damage.md",
		false},
	"disk": {checkDisk, Critical, "df -h", "runbooks/full-disk.md", true},
	"agreement": {checkAgreement, Critical, "recount digest", "runbooks/damage.md",
		false},
	"clock":   {checkClock, Critical, "timedatectl", "runbooks/wrong-clock.md", true},
	"member":  {checkMember, Critical, "recount cluster status", "runbooks/lost-node.md", false},
	"leader":  {checkLeader, Critical, "recount cluster status", "runbooks/lost-majority.md", false},
	"keys":    {checkSecrets, Warning, "recount key list", "secrets.md", false},
	"secrets": {checkSecrets, Critical, "recount key list", "secrets.md#rotate-a-key-without-a-restart", false},
	"applied": {checkLag, Warning, "recount cluster status", "runbooks/lost-node.md", false},
}

// judgeNode judges what one endpoint says of itself.
func judgeNode(f *facts, now time.Time) (out []Finding) {
	if f.removed() {
		return []Finding{{checkRemoved, Warning, f.node(),
			"it runs and was removed from the cluster. It takes no part any more and keeps its log",
			"systemctl disable --now recount-node", f.node(), "members.md#remove-a-node-that-runs"}}
	}
	switch {
	case f.err != nil && refused(f.err):
		out = append(out, Finding{checkAnswer, Critical, f.node(),
			"it refuses the credentials: " + f.err.Error(), "recount whoami", "", "roles.md"})
	case f.err != nil && len(f.failing) == 0:
		out = append(out, Finding{checkAnswer, Warning, f.node(), "no answer: " + f.err.Error(),
			"systemctl status recount-node", f.node(), "runbooks/lost-node.md"})
	}
	for _, c := range f.failing {
		r, ok := remedies[c.name]
		if !ok {
			r = remedy{checkReady, Warning, "recount cluster status", "architecture.md#looking-at-a-node", false}
		}
		found := Finding{r.check, r.severity, f.node(), "not ready: " + c.why, r.next, "", r.page}
		if r.there {
			found.On = f.node()
		}
		out = append(out, found)
	}
	if f.timed && f.skew.Abs() > ClockApart {
		out = append(out, Finding{checkClock, Warning, f.node(),
			fmt.Sprintf("its clock is %s from the clock of this machine", f.skew.Round(time.Second)),
			"timedatectl", "", "runbooks/wrong-clock.md"})
	}
	if f.asked && f.samples == nil {
		out = append(out, Finding{checkUnread, Note, f.node(),
			"/metrics cannot be read with these credentials: disk, certificates and stores were not looked at",
			"recount whoami", "", "roles.md"})
	}
	return append(out, f.judgeSamples(now)...)
}

// judgeSamples judges the metrics of a node. What a check of readiness already tells is left out.
func (f *facts) judgeSamples(now time.Time) (out []Finding) {
	if f.samples == nil {
		return nil
	}
	told := map[string]bool{}
	for _, c := range f.failing {
		told[remedies[c.name].check] = true
	}
	for _, r := range rules {
		if told[r.check] {
			continue
		}
		if severity, text := r.judge(f.samples, now); text != "" {
			found := Finding{r.check, severity, f.node(), text, r.next, "", r.page}
			if r.there {
				found.On = f.node()
			}
			out = append(out, found)
		}
	}
	return out
}

// removed reports whether a node says that the cluster has removed it.
func (f *facts) removed() bool {
	return slices.ContainsFunc(f.failing, func(c failed) bool {
		return c.name == "member" && strings.Contains(c.why, saysRemoved)
	})
}
