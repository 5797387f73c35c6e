package publish

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/nano"
)

// reader collects the policy and the problems.
type reader struct {
	policy   verify.Policy
	lines    []string // of the document
	problems []error
}

func (r *reader) fail(n *yaml.Node, field, format string, args ...any) {
	r.failAt(n.Line, n.Column, field, format, args...)
}

func (r *reader) failAt(line, column int, field, format string, args ...any) {
	switch {
	case len(r.problems) < maxProblems:
		r.problems = append(r.problems, &Error{line, column, field, fmt.Sprintf(format, args...)})
	case len(r.problems) == maxProblems:
		r.problems = append(r.problems, &Error{Reason: "there are more problems"})
	}
}

// plain rejects features that give one text several meanings.
func (r *reader) plain(n *yaml.Node, depth int) {
	switch {
	case depth > maxNesting:
		r.fail(n, "", "nested deeper than %d levels", maxNesting)
		return
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.fail(n, "", "anchors and aliases are not allowed")
	case n.Style&yaml.TaggedStyle != 0:
		r.fail(n, "", "tags are not allowed")
	}
	for _, c := range n.Content {
		r.plain(c, depth+1)
	}
}

// whole checks what no single member shows.
func (r *reader) whole(root *yaml.Node) {
	if err := r.policy.Validate(); err != nil {
		r.fail(root, "", "%s", trimmed(err))
		return
	}
	if len(r.policy.Canonical()) > verify.MaxPolicyBytes {
		r.fail(root, "", "the canonical form has more than %d bytes", verify.MaxPolicyBytes)
	}
	if len(Document(r.policy)) > verify.MaxPolicyBytes {
		r.fail(root, "", "printed again the document has more than %d bytes", verify.MaxPolicyBytes)
	}
}

// trimmed returns the text of an error of package verify without the words that all of them share.
func trimmed(err error) string {
	return strings.NewReplacer(verify.ErrExpr.Error()+": ", "", verify.ErrPolicy.Error()+": ", "").Replace(err.Error())
}

// mapping calls the function of every member and rejects unknown and repeated ones.
func (r *reader) mapping(n *yaml.Node, path string, members map[string]func(*yaml.Node, string)) {
	if n.Kind != yaml.MappingNode {
		r.fail(n, path, "must be a mapping")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		field := strings.TrimPrefix(path+"."+name, ".")
		read, known := members[name]
		switch {
		case !known:
			r.fail(n.Content[i], field, "unknown member")
		case seen[name]:
			r.fail(n.Content[i], field, "repeated member")
		default:
			read(n.Content[i+1], field)
		}
		seen[name] = true
	}
}

// scalar returns the text of a plain value as written.
func (r *reader) scalar(n *yaml.Node, field string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		r.fail(n, field, "must be a single value")
		return "", false
	}
	return n.Value, true
}

// word reads one of the given words.
func (r *reader) word(n *yaml.Node, field string, words ...string) string {
	text, ok := r.scalar(n, field)
	if ok && !slices.Contains(words, text) {
		r.fail(n, field, "must be one of %s, not %q", strings.Join(words, ", "), text)
	}
	return text
}

func (r *reader) kernel(n *yaml.Node, field string) {
	text, ok := r.scalar(n, field)
	if !ok {
		return
	}
	k, err := strconv.Atoi(text)
	if err != nil || !slices.Contains(verify.Kernels(), k) {
		r.fail(n, field, "this release has the kernels %v, not %q", verify.Kernels(), text)
		return
	}
	r.policy.Kernel = k
}

func (r *reader) params(n *yaml.Node, path string) {
	members := map[string]func(*yaml.Node, string){"dedup_ttl": r.ttl}
	for name := range nanoParams(&r.policy.Params) {
		members[name] = func(n *yaml.Node, field string) { r.nano(n, field, name) }
	}
	r.mapping(n, path, members)
}

func nanoParams(p *verify.Params) map[string]*nano.Nano {
	return map[string]*nano.Nano{
		"tol_d":        &p.TolD,
		"tol_coh":      &p.TolCoh,
		"tol_budget":   &p.TolBudget,
		"alpha":        &p.Alpha,
		"beta":         &p.Beta,
		"gamma":        &p.Gamma,
		"base":         &p.Base,
		"d0":           &p.D0,
		"sticky_coh":   &p.StickyCoh,
		"sticky_d":     &p.StickyD,
		"non_sticky_d": &p.NonStickyD,
	}
}

func (r *reader) nano(n *yaml.Node, field, name string) {
	text, ok := r.scalar(n, field)
	if !ok {
		return
	}
	v, err := nano.Parse(text)
	alone := verify.DefaultPolicy()
	*nanoParams(&alone.Params)[name] = v
	switch {
	case err != nil:
		r.fail(n, field, "must be a plain decimal with at most nine decimals, not %q", text)
	case alone.Validate() != nil:
		r.fail(n, field, "must be between -1000000 and 1000000, a tolerance not below 0, not %q", text)
	default:
		*nanoParams(&r.policy.Params)[name] = v
	}
}

func (r *reader) ttl(n *yaml.Node, field string) {
	text, ok := r.scalar(n, field)
	if !ok {
		return
	}
	d, err := time.ParseDuration(text)
	alone := verify.DefaultPolicy()
	alone.Params.DedupTTL = int64(d)
	if err != nil || alone.Validate() != nil {
		r.fail(n, field, "must be a span such as 336h, above 0 and at most 876000h, not %q", text)
		return
	}
	r.policy.Params.DedupTTL = int64(d)
}

func (r *reader) signature(n *yaml.Node, path string) {
	s := &r.policy.Signature
	r.mapping(n, path, map[string]func(*yaml.Node, string){
		"required": func(n *yaml.Node, field string) { s.Required = r.word(n, field, "true", "false") == "true" },
		"algorithms": func(n *yaml.Node, field string) {
			s.Algorithms = nil
			r.words(n, field, func(w string) error {
				a, err := verify.ParseAlg(w)
				s.Algorithms = append(s.Algorithms, a)
				return err
			})
			slices.Sort(s.Algorithms)
		},
		"profiles": func(n *yaml.Node, field string) {
			var all []pcs.Profile
			r.words(n, field, func(w string) error {
				p, err := pcs.ParseProfile(w)
				all = append(all, p)
				return err
			})
			s.Profiles = pcs.ProfilesOf(all...)
		},
		"schemes": func(n *yaml.Node, field string) {
			var all []pcs.Scheme
			r.words(n, field, func(w string) error {
				v, err := pcs.ParseScheme(w)
				all = append(all, v)
				return err
			})
			s.Schemes = pcs.SchemesOf(all...)
		},
	})
}

// words reads a list of different known words.
func (r *reader) words(n *yaml.Node, field string, add func(string) error) {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		r.fail(n, field, "must be a list of at least one word")
		return
	}
	seen := map[string]bool{}
	for _, c := range n.Content {
		text, ok := r.scalar(c, field)
		switch {
		case !ok:
		case seen[text]:
			r.fail(c, field, "%q is there twice", text)
		case add(text) != nil:
			r.fail(c, field, "unknown word %q", text)
		}
		seen[text] = true
	}
}

func (r *reader) epochs(n *yaml.Node, path string) {
	r.mapping(n, path, map[string]func(*yaml.Node, string){
		"on_regression": func(n *yaml.Node, field string) {
			r.policy.Epochs.OnRegression = r.word(n, field, verify.RegressionEscalate, verify.RegressionReject,
				verify.RegressionAllow)
		},
		"late_window": r.lateWindow,
	})
}

func (r *reader) versions(n *yaml.Node, field string) {
	r.policy.Versions = nil
	r.words(n, field, func(w string) error {
		r.policy.Versions = append(r.policy.Versions, w)
		if !verify.VersionWord(w) {
			return verify.ErrPolicy
		}
		return nil
	})
	slices.Sort(r.policy.Versions)
}

func (r *reader) lateWindow(n *yaml.Node, field string) {
	text, ok := r.scalar(n, field)
	if !ok {
		return
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < 0 || v > verify.MaxLateWindow || text != strconv.FormatInt(v, 10) {
		r.fail(n, field, "must be a number of epochs from 0 to %d, not %q", verify.MaxLateWindow, text)
		return
	}
	r.policy.Epochs.LateWindow = v
}

func (r *reader) rules(n *yaml.Node, path string) {
	if n.Kind != yaml.SequenceNode {
		r.fail(n, path, "must be a list")
		return
	}
	if len(n.Content) > verify.MaxRules {
		r.fail(n, path, "more than %d rules", verify.MaxRules)
		return
	}
	for i, c := range n.Content {
		r.rule(c, fmt.Sprintf("%s[%d]", path, i))
	}
}

func (r *reader) rule(n *yaml.Node, path string) {
	var rule verify.Rule
	have := 0
	r.mapping(n, path, map[string]func(*yaml.Node, string){
		"then": func(n *yaml.Node, field string) {
			have++
			rule.Then = r.word(n, field, verify.RuleEscalate, verify.RuleRefuse)
		},
		"reason": func(n *yaml.Node, field string) { have++; rule.Reason = r.reason(n, field) },
		"when":   func(n *yaml.Node, field string) { have++; rule.When = r.when(n, field) },
	})
	if have != 3 {
		r.fail(n, path, "a rule has when, then and reason")
	}
	r.policy.Rules = append(r.policy.Rules, rule)
}

func (r *reader) reason(n *yaml.Node, field string) string {
	text, ok := r.scalar(n, field)
	if ok && !verify.ReasonWord(text) {
		r.fail(n, field,
			"must be 1 to %d of a-z, 0-9 and _, begin with a letter and be no reason of a check, not %q",
			verify.MaxRuleReason, text)
	}
	return text
}

func (r *reader) when(n *yaml.Node, field string) verify.Expr {
	text, ok := r.scalar(n, field)
	if !ok {
		return verify.Expr{}
	}
	e, spots := compile(text)
	for _, s := range spots {
		line, column, exact := place(r.lines, n, s.line, s.column)
		if exact {
			r.failAt(line, column, field, "%s", s.reason)
		} else {
			r.failAt(line, column, field, "line %d, column %d of the expression: %s", s.line, s.column, s.reason)
		}
	}
	return e
}
