package verify

import (
	"errors"
	"fmt"

	"slices"
	"strings"

	"github.com/recount-ledger/recount/nano"
)

// ErrUnknownName is wrapped by the Parse functions of this package if a word is not in their closed set.
var ErrUnknownName = errors.New("unknown name")

// Outcome is the ledger's decision on one submission. Values are persisted and must never be renumbered.
type Outcome uint8

// The outcomes. Only the fold gives Conflict, never Evaluate.
const (
	Accepted  Outcome = 1
	Escalated Outcome = 2
	Refused   Outcome = 3
	Conflict  Outcome = 4
)

var outcomeNames = [...]string{Accepted: "accepted", Escalated: "escalated", Refused: "refused", Conflict: "conflict"}

// String returns the lower-case word of the outcome, or "unknown" for other values.
func (o Outcome) String() string { return nameOf(outcomeNames[:], int(o)) }

// ParseOutcome is the inverse of Outcome.String.
func ParseOutcome(s string) (Outcome, error) {
	i, err := indexOf(outcomeNames[:], s)
	return Outcome(i), err
}

// Reason names the check that decided. The set is closed. Values are persisted and must never be renumbered.
// Their order is the order of precedence among the content checks.
type Reason uint8

// The reasons. Evaluate gives those of structure, signature, content, rules and kernel_fault. The fold gives the
// others.
const (
	ReasonOK                Reason = 1
	ReasonMalformed         Reason = 2
	ReasonSchema            Reason = 3
	ReasonIDMismatch        Reason = 4
	ReasonBadSignature      Reason = 5
	ReasonKeyNotAllowed     Reason = 6
	ReasonFrozen            Reason = 7
	ReasonConflict          Reason = 8
	ReasonEpochEquivocation Reason = 9
	ReasonEpochRegression   Reason = 10
	ReasonDHatUnverifiable  Reason = 11
	ReasonDHatMismatch      Reason = 12
	ReasonDHatRange         Reason = 13
	ReasonCohBounds         Reason = 14
	ReasonRBounds           Reason = 15
	ReasonBudgetBounds      Reason = 16
	ReasonRegimeMismatch    Reason = 17
	ReasonBudgetMismatch    Reason = 18
	ReasonDegraded          Reason = 19
	ReasonKernelFault       Reason = 20
	ReasonKeyRevoked        Reason = 21
	ReasonRule              Reason = 22 // clients see the code of the rule instead
	ReasonLateEpoch         Reason = 23 // not a fault: the policy accepts the late epoch
)

// LastReason is the reason with the highest number.
const LastReason = ReasonLateEpoch

var reasonNames = [...]string{
	ReasonOK: "ok", ReasonMalformed: "malformed", ReasonSchema: "schema", ReasonIDMismatch: "id_mismatch",
	ReasonBadSignature: "bad_signature", ReasonKeyNotAllowed: "key_not_allowed", ReasonFrozen: "frozen",
	ReasonConflict:          "conflict",
	ReasonEpochEquivocation: "epoch_equivocation",
	ReasonEpochRegression:   "epoch_regression",
	ReasonDHatUnverifiable:  "d_hat_unverifiable", ReasonDHatMismatch: "d_hat_mismatch", ReasonDHatRange: "d_hat_range",
	ReasonCohBounds: "coh_bounds", ReasonRBounds: "r_bounds", ReasonBudgetBounds: "budget_bounds",
	ReasonRegimeMismatch: "regime_mismatch", ReasonBudgetMismatch: "budget_mismatch", ReasonDegraded: "degraded",
	ReasonKernelFault: "kernel_fault", ReasonKeyRevoked: "key_revoked",
	ReasonRule: "rule", ReasonLateEpoch: "late_epoch",
}

// String returns the reason code as clients see it, or "unknown" for other values.
func (r Reason) String() string { return nameOf(reasonNames[:], int(r)) }

// ParseReason is the inverse of Reason.String. Its error wraps ErrUnknownName.
func ParseReason(s string) (Reason, error) {
	i, err := indexOf(reasonNames[:], s)
	return Reason(i), err
}

// clearsAccepted reports whether a content reason makes accepted false. The other content reasons escalate a
// record that stays accepted.
func (r Reason) clearsAccepted() bool {
	return r == ReasonDHatUnverifiable || r == ReasonDHatMismatch || r == ReasonCohBounds
}

// Verdict is the judgement of a policy on one record, without history.
type Verdict struct {
	// Outcome is Accepted, Escalated or Refused. Accepted is the flag of the response:
	// an escalated record may still be accepted.
	Outcome  Outcome
	Accepted bool
	// Reason is the first failing check, or ReasonOK if none failed. Reasons lists all in order and is empty if
	// none failed.
	Reason  Reason
	Reasons []Reason
	// HasDHat reports whether a slope could be computed. DHatLower and DHatUpper are the two middle slopes.
	// They are equal for an odd number of slopes, and under kernel 2 both are the mean. The recomputed D_hat is
	// DHatUpper.
	HasDHat              bool
	DHatLower, DHatUpper nano.Nano
	// Budget and Regime follow from the signed values by formula and thresholds. They
	// are zero for a refused record.
	Budget nano.Nano
	Regime string
	// RuleReason is the code of the rule that matched, or "".
	RuleReason string
	// Evidence is one English sentence about Reason, the same on every node.
	Evidence string
}

func nameOf(names []string, i int) string {
	if i <= 0 || i >= len(names) {
		return "unknown"
	}
	return names[i]
}

func indexOf(names []string, s string) (int, error) {
	for i := 1; i < len(names); i++ {
		if names[i] == s {
			return i, nil
		}
	}
	known := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "" })
	return 0, fmt.Errorf("%w %q; must be one of %s", ErrUnknownName, s, strings.Join(known, ", "))
}
