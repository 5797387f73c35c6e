// Package publish reads policy documents as people write them, YAML with rules in CEL syntax, and prints them again. It is
// used when a policy is checked or published, never when a record is judged: what the log keeps is the canonical form of
// package verify.
//
// It refuses everything that the document does not say plainly: unknown and repeated members, aliases, tags, several
// documents, doubles, and every part of CEL that the rule language does not have. It reports all problems at once, each with
// its line and column.
package publish

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// Error is one problem of a document. It wraps verify.ErrPolicy.
type Error struct {
	Line, Column int    // from 1; 0 when the place is not known
	Field        string // such as "rules[0].when"
	Reason       string
}

// Error is one line: "line 7, column 12: rules[0].when: ...".
func (e *Error) Error() string {
	s := e.Reason
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Line > 0 {
		s = fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, s)
	}
	return s
}

// Unwrap is verify.ErrPolicy.
func (e *Error) Unwrap() error { return verify.ErrPolicy }

// maxProblems bounds the problems that are reported.
const maxProblems = 50

// Parse reads a document. Members that it leaves out have the values of verify.DefaultPolicy. The error joins every problem.
func Parse(document []byte) (verify.Policy, error) {
	r := &reader{policy: verify.DefaultPolicy()}
	root, err := parseYAML(document)
	if err != nil {
		return verify.Policy{}, err
	}
	r.mapping(root, "", map[string]func(*yaml.Node, string){
		"kernel": r.kernel, "params": r.params, "signature": r.signature, "epochs": r.epochs, "rules": r.rules,
	})
	if len(r.problems) == 0 {
		if err := r.policy.Validate(); err != nil {
			r.problems = append(r.problems, &Error{Reason: err.Error()})
		} else if len(r.policy.Canonical()) > verify.MaxPolicyBytes {
			r.problems = append(r.problems, &Error{Reason: fmt.Sprintf("the canonical form has more than %d bytes", verify.MaxPolicyBytes)})
		}
	}
	if len(r.problems) > 0 {
		return verify.Policy{}, errors.Join(r.problems...)
	}
	return r.policy, nil
}

// parseYAML reads one plain document.
func parseYAML(document []byte) (*yaml.Node, error) {
	if len(document) > verify.MaxPolicyBytes {
		return nil, &Error{Reason: fmt.Sprintf("the document has more than %d bytes", verify.MaxPolicyBytes)}
	}
	if !utf8.Valid(document) {
		return nil, &Error{Reason: "the document is not UTF-8"}
	}
	dec := yaml.NewDecoder(strings.NewReader(string(document)))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		return nil, &Error{Reason: "not YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	if dec.Decode(&more) == nil {
		return nil, &Error{Line: more.Line, Column: more.Column, Reason: "a second document"}
	}
	root := doc.Content[0]
	if err := plain(root, 0); err != nil {
		return nil, err
	}
	return root, nil
}

// plain refuses what makes one text mean several things.
func plain(n *yaml.Node, depth int) error {
	at := func(reason string) error { return &Error{Line: n.Line, Column: n.Column, Reason: reason} }
	switch {
	case depth > 8:
		return at("nested too deeply")
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return at("anchors and aliases are not allowed")
	case n.Style&yaml.TaggedStyle != 0:
		return at("tags are not allowed")
	}
	for _, c := range n.Content {
		if err := plain(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// reader collects the policy and the problems.
type reader struct {
	policy   verify.Policy
	problems []error
}

func (r *reader) fail(n *yaml.Node, field, format string, args ...any) {
	r.failAt(n.Line, n.Column, field, format, args...)
}

func (r *reader) failAt(line, column int, field, format string, args ...any) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, &Error{line, column, field, fmt.Sprintf(format, args...)})
	}
}

// mapping calls the function of every member and refuses unknown and repeated ones.
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

// scalar gives the text of a plain value as it is written.
func (r *reader) scalar(n *yaml.Node, field string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		r.fail(n, field, "must be a single value")
		return "", false
	}
	return n.Value, true
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
	p := &r.policy.Params
	members := map[string]func(*yaml.Node, string){"dedup_ttl": r.ttl}
	for name, v := range nanoParams(p) {
		members[name] = func(n *yaml.Node, field string) {
			text, ok := r.scalar(n, field)
			if !ok {
				return
			}
			x, err := pcs.ParseNano(text)
			if err != nil {
				r.fail(n, field, "must be a plain decimal with at most nine decimals, not %q", text)
				return
			}
			*v = x
		}
	}
	r.mapping(n, path, members)
}

func nanoParams(p *verify.Params) map[string]*pcs.Nano {
	return map[string]*pcs.Nano{"tol_d": &p.TolD, "tol_coh": &p.TolCoh, "tol_budget": &p.TolBudget, "alpha": &p.Alpha, "beta": &p.Beta,
		"gamma": &p.Gamma, "base": &p.Base, "d0": &p.D0, "sticky_coh": &p.StickyCoh, "sticky_d": &p.StickyD, "non_sticky_d": &p.NonStickyD}
}

func (r *reader) ttl(n *yaml.Node, field string) {
	text, ok := r.scalar(n, field)
	if !ok {
		return
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		r.fail(n, field, "must be a span such as 336h, not %q", text)
		return
	}
	r.policy.Params.DedupTTL = int64(d)
}

func (r *reader) signature(n *yaml.Node, path string) {
	s := &r.policy.Signature
	r.mapping(n, path, map[string]func(*yaml.Node, string){
		"required": func(n *yaml.Node, field string) {
			switch text, _ := r.scalar(n, field); text {
			case "true":
				s.Required = true
			case "false":
				s.Required = false
			default:
				r.fail(n, field, "must be true or false")
			}
		},
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
	r.mapping(n, path, map[string]func(*yaml.Node, string){"on_regression": func(n *yaml.Node, field string) {
		text, _ := r.scalar(n, field)
		switch text {
		case verify.RegressionEscalate, verify.RegressionReject, verify.RegressionAllow:
			r.policy.Epochs.OnRegression = text
		default:
			r.fail(n, field, "must be escalate, reject or allow")
		}
	}})
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
		"then":   func(n *yaml.Node, field string) { rule.Then, _ = r.scalar(n, field); have++ },
		"reason": func(n *yaml.Node, field string) { rule.Reason, _ = r.scalar(n, field); have++ },
		"when":   func(n *yaml.Node, field string) { rule.When = r.when(n, field); have++ },
	})
	if have != 3 {
		r.fail(n, path, "a rule has when, then and reason")
	}
	r.policy.Rules = append(r.policy.Rules, rule)
}

func (r *reader) when(n *yaml.Node, field string) verify.Expr {
	text, ok := r.scalar(n, field)
	if !ok {
		return verify.Expr{}
	}
	e, spots := compile(text)
	for _, s := range spots {
		line, column := n.Line+s.line-1, s.column
		switch {
		case n.Style == yaml.LiteralStyle || n.Style == yaml.FoldedStyle:
			line++ // the text begins on the line after the mark; its indentation is not known
		case s.line == 1 && n.Style == yaml.SingleQuotedStyle || s.line == 1 && n.Style == yaml.DoubleQuotedStyle:
			column += n.Column
		case s.line == 1:
			column += n.Column - 1
		}
		r.failAt(line, column, field, "%s", s.reason)
	}
	return e
}

// Document prints a policy in the form that Parse reads.
func Document(p verify.Policy) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "kernel: %d\nparams:\n", p.Kernel)
	params := nanoParams(&p.Params)
	for _, name := range []string{"tol_d", "tol_coh", "tol_budget", "alpha", "beta", "gamma", "base", "d0", "sticky_coh", "sticky_d", "non_sticky_d"} {
		fmt.Fprintf(&b, "  %s: %q\n", name, params[name])
	}
	fmt.Fprintf(&b, "  dedup_ttl: %q\n", time.Duration(p.Params.DedupTTL))
	fmt.Fprintf(&b, "signature:\n  required: %v\n  algorithms: [", p.Signature.Required)
	for i, a := range p.Signature.Algorithms {
		b.WriteString(comma(i) + a.String())
	}
	b.WriteString("]\n  profiles: [")
	for i, f := range p.Signature.Profiles.Slice() {
		b.WriteString(comma(i) + f.String())
	}
	fmt.Fprintf(&b, "]\nepochs:\n  on_regression: %s\n", p.Epochs.OnRegression)
	if len(p.Rules) == 0 {
		b.WriteString("rules: []\n")
		return []byte(b.String())
	}
	b.WriteString("rules:\n")
	for _, r := range p.Rules {
		fmt.Fprintf(&b, "  - when: '%s'\n    then: %s\n    reason: %s\n", strings.ReplaceAll(r.When.String(), "'", "''"), r.Then, r.Reason)
	}
	return []byte(b.String())
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ", "
}
