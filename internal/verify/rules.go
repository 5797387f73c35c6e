package verify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/recount-ledger/recount/internal/pcs"
)

// Actions of a rule on a record that it matches.
const (
	RuleEscalate = "escalate" // 202, accepted as the checks decide
	RuleRefuse   = "refuse"   // 403, leaves no trace in identity or order
)

// Rule is one rule of a policy. The first rule that matches is applied.
type Rule struct {
	Reason string `json:"reason"` // a to z, 0 to 9 and _, beginning with a letter; not the code of a check
	Then   string `json:"then"`
	When   Expr   `json:"when"`
}

// field is a fact that a rule can read.
type field uint8

const (
	fieldPCSID field = iota + 1
	fieldMerkleRoot
	fieldShardID
	fieldRegime
	fieldSchema
	fieldVersion
	fieldKeyID
	fieldAlgorithm
	fieldEpoch
	fieldSeed
	fieldDHat
	fieldCohStar
	fieldR
	fieldBudget
	fieldRecomputedDHat
	fieldRecomputedDHatLower
	fieldRecomputedBudget
	fieldRecomputedRegime
	fieldLogTime
	fieldScales
	fieldVStar
	fieldDegraded
	fieldHasDHat
	fieldEscalated
	fieldAccepted
	fieldReasons
)

// errUnchecked is the panic value for an expression that did not pass Check. It gives kernel_fault, never the
// value of another field.
var errUnchecked = fmt.Errorf("%w: not checked", ErrExpr)

type fieldInfo struct {
	name  string
	field field
	typ   Type
}

// fields lists all facts that a rule can read. Signed and recomputed numbers are in 1e-9. A repetition may
// change attempt, sent_at, the text of the signature and most of ft, so these are not in the list.
var fields = []fieldInfo{
	{"pcs_id", fieldPCSID, TypeString}, {"merkle_root", fieldMerkleRoot, TypeString},
	{"shard_id", fieldShardID, TypeString},
	{"regime", fieldRegime, TypeString}, {"schema", fieldSchema, TypeString}, {"version", fieldVersion, TypeString},
	{"key_id", fieldKeyID, TypeString}, {"algorithm", fieldAlgorithm, TypeString}, {"epoch", fieldEpoch, TypeInt},
	{"seed", fieldSeed, TypeInt}, {"d_hat", fieldDHat, TypeInt}, {"coh_star", fieldCohStar, TypeInt},
	{"r", fieldR, TypeInt},
	{"budget", fieldBudget, TypeInt}, {"recomputed_d_hat", fieldRecomputedDHat, TypeInt},
	{"recomputed_d_hat_lower", fieldRecomputedDHatLower, TypeInt},
	{"recomputed_budget", fieldRecomputedBudget, TypeInt},
	{"recomputed_regime", fieldRecomputedRegime, TypeString}, {"log_time", fieldLogTime, TypeInt},
	{"scales", fieldScales, TypeInt},
	{"v_star", fieldVStar, TypeInt}, {"degraded", fieldDegraded, TypeBool}, {"has_d_hat", fieldHasDHat, TypeBool},
	{"escalated", fieldEscalated, TypeBool}, {"accepted", fieldAccepted, TypeBool},
	{"reasons", fieldReasons, TypeStrings},
}

// Fields calls fn with the name and type of every fact that a rule can read.
func Fields(fn func(name string, t Type)) {
	for _, f := range fields {
		fn(f.name, f.typ)
	}
}

// scope holds the facts of one judgement that rules read.
type scope struct {
	rec     *pcs.Record
	facts   Facts
	t       pcs.Tuple
	v       Verdict // a value, because a pointer here would move every verdict to the heap
	logTime int64
}

// validRules checks the rules and resolves their fields.
func validRules(rules []Rule) error {
	if len(rules) > MaxRules {
		return fmt.Errorf("%w: rules: more than %d", ErrPolicy, MaxRules)
	}
	nodes := 0
	for i := range rules {
		r := &rules[i]
		if !ReasonWord(r.Reason) {
			return fmt.Errorf("%w: rules[%d].reason: %q must be 1 to %d of a-z, 0-9 and _, begin with a letter "+
				"and be no reason of a check",
				ErrPolicy, i, r.Reason, MaxRuleReason)
		}
		if r.Then != RuleEscalate && r.Then != RuleRefuse {
			return fmt.Errorf("%w: rules[%d].then: %q is neither escalate nor refuse", ErrPolicy, i, r.Then)
		}
		t, err := r.When.check(1, &nodes)
		if err != nil {
			return fmt.Errorf("rules[%d].when: %w", i, err)
		}
		if t != TypeBool {
			return fmt.Errorf("%w: rules[%d].when: it is a %s, not a condition", ErrPolicy, i, t)
		}
	}
	return nil
}

// ReasonWord reports whether a rule may have this reason: 1 to MaxRuleReason bytes of a-z, 0-9 and _, beginning
// with a letter, and not the code of a check.
func ReasonWord(s string) bool {
	if s == "" || len(s) > MaxRuleReason || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	_, err := ParseReason(s)
	return err != nil
}

// applyRules applies the first rule that matches to a settled verdict.
func applyRules(rules []Rule, s *scope) {
	for i := range rules {
		if r := &rules[i]; s.holds(&r.When) {
			s.decide(i, r)
			return
		}
	}
}

func (s *scope) decide(i int, r *Rule) {
	v := &s.v
	evidence := fmt.Sprintf("rule %d of the policy: %s", i+1, r.Reason)
	if r.Then == RuleRefuse {
		*v = refuse(ReasonRule, evidence)
		v.RuleReason = r.Reason
		return
	}
	if len(v.Reasons) == 0 {
		v.Reason, v.Evidence = ReasonRule, evidence
	}
	v.Outcome, v.RuleReason = Escalated, r.Reason
	v.Reasons = append(v.Reasons, ReasonRule)
}

// holds evaluates a condition.
func (s *scope) holds(e *Expr) bool {
	switch e.Op {
	case "and":
		return s.holds(&e.Args[0]) && s.holds(&e.Args[1])
	case "or":
		return s.holds(&e.Args[0]) || s.holds(&e.Args[1])
	case "not":
		return !s.holds(&e.Args[0])
	case "bool":
		return e.Int != 0
	case "field":
		return s.flag(e.field)
	case "starts":
		return strings.HasPrefix(s.text(&e.Args[0]), s.text(&e.Args[1]))
	case "ends":
		return strings.HasSuffix(s.text(&e.Args[0]), s.text(&e.Args[1]))
	case "in":
		return s.in(&e.Args[0], &e.Args[1])
	}
	return s.compare(e)
}

func (s *scope) compare(e *Expr) bool {
	a, b := &e.Args[0], &e.Args[1]
	var order int
	switch a.kind() {
	case TypeBool:
		if s.holds(a) != s.holds(b) {
			order = 1
		}
	case TypeString:
		order = strings.Compare(s.text(a), s.text(b))
	default:
		x, y := s.number(a), s.number(b)
		switch {
		case x < y:
			order = -1
		case x > y:
			order = 1
		}
	}
	switch e.Op {
	case "eq":
		return order == 0
	case "ne":
		return order != 0
	case "lt":
		return order < 0
	case "le":
		return order <= 0
	case "gt":
		return order > 0
	case "ge":
		return order >= 0
	}
	panic(errUnchecked)
}

// kind returns the type of a checked expression.
func (e *Expr) kind() Type {
	switch e.Op {
	case "int":
		return TypeInt
	case "str":
		return TypeString
	case "ints":
		return TypeInts
	case "strs":
		return TypeStrings
	case "field":
		return fields[e.field-1].typ
	}
	return TypeBool
}

func (s *scope) in(x, list *Expr) bool {
	if list.Op == "ints" {
		return slices.Contains(list.Ints, s.number(x))
	}
	text := s.text(x)
	if list.Op == "strs" {
		return slices.Contains(list.Strings, text)
	}
	return slices.ContainsFunc(s.v.Reasons, func(r Reason) bool { return r.String() == text })
}

func (s *scope) flag(f field) bool {
	switch f {
	case fieldDegraded:
		return s.rec.Degraded
	case fieldHasDHat:
		return s.v.HasDHat
	case fieldEscalated:
		return s.v.Outcome == Escalated
	case fieldAccepted:
		return s.v.Accepted
	}
	panic(errUnchecked)
}

func (s *scope) text(e *Expr) string {
	if e.Op == "str" {
		return e.Name
	}
	switch e.field {
	case fieldPCSID:
		return s.rec.PCSID
	case fieldMerkleRoot:
		return s.rec.MerkleRoot
	case fieldShardID:
		return s.rec.ShardID
	case fieldRegime:
		return s.rec.Regime
	case fieldSchema:
		return s.rec.Schema
	case fieldVersion:
		return s.rec.Version
	case fieldKeyID:
		return s.facts.KeyID
	case fieldRecomputedRegime:
		return s.v.Regime
	case fieldAlgorithm:
		if !s.facts.Valid() {
			return ""
		}
		return s.facts.Alg.String()
	}
	panic(errUnchecked)
}

func (s *scope) number(e *Expr) int64 {
	if e.Op == "int" {
		return e.Int
	}
	switch e.field {
	case fieldEpoch:
		return s.rec.Epoch
	case fieldSeed:
		return s.rec.Seed
	case fieldDHat:
		return int64(s.t.DHat)
	case fieldCohStar:
		return int64(s.t.CohStar)
	case fieldR:
		return int64(s.t.R)
	case fieldBudget:
		return int64(s.t.Budget)
	case fieldRecomputedDHat:
		return int64(s.v.DHatUpper)
	case fieldRecomputedDHatLower:
		return int64(s.v.DHatLower)
	case fieldRecomputedBudget:
		return int64(s.v.Budget)
	case fieldScales:
		return int64(len(s.rec.Scales))
	case fieldVStar:
		return int64(len(s.rec.VStar))
	case fieldLogTime:
		return s.logTime
	}
	panic(errUnchecked)
}
