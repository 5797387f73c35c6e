package publish

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/nano"
)

// Bounds of the text of one expression, before CEL's parser sees it.
const (
	maxExpression = 8 << 10 // bytes
	maxRecursion  = 64      // levels of recursion allowed to the parser
)

// language is the rule language over some fields.
type language struct {
	env   func() (*cel.Env, error)
	check func(*verify.Expr) (verify.Type, error)
}

// ruleLanguage is the language of the rules of a policy.
var ruleLanguage = language{env: sync.OnceValues(func() (*cel.Env, error) { return environment(verify.Fields) }),
	check: (*verify.Expr).Check}

// environment is CEL with our fields and without macros.
func environment(fields func(fn func(name string, t verify.Type))) (*cel.Env, error) {
	options := []cel.EnvOption{cel.ClearMacros(), cel.ParserRecursionLimit(maxRecursion),
		cel.ParserExpressionSizeLimit(maxExpression)}
	fields(func(name string, t verify.Type) {
		options = append(options, cel.Variable(name, celTypes[t]))
	})
	options = append(options, constantOf("nano", parseNano), constantOf("time", parseTime))
	return cel.NewEnv(options...)
}

// constantOf declares a function that turns a text into an integer. The translator admits constants only.
func constantOf(name string, read func(string) (int64, error)) cel.EnvOption {
	return cel.Function(name, cel.Overload(name+"_string", []*cel.Type{cel.StringType}, cel.IntType,
		cel.UnaryBinding(func(text ref.Val) ref.Val {
			s, ok := text.(types.String)
			if !ok {
				return types.MaybeNoSuchOverloadErr(text)
			}
			n, err := read(string(s))
			if err != nil {
				return types.WrapErr(err)
			}
			return types.Int(n)
		})))
}

var celTypes = map[verify.Type]*cel.Type{
	verify.TypeBool:    cel.BoolType,
	verify.TypeInt:     cel.IntType,
	verify.TypeString:  cel.StringType,
	verify.TypeStrings: cel.ListType(cel.StringType),
}

// operators maps CEL's names to the operators that the rule language has.
var operators = map[string]string{
	"_&&_":       "and",
	"_||_":       "or",
	"!_":         "not",
	"_==_":       "eq",
	"_!=_":       "ne",
	"_<_":        "lt",
	"_<=_":       "le",
	"_>_":        "gt",
	"_>=_":       "ge",
	"@in":        "in",
	"startsWith": "starts",
	"endsWith":   "ends",
}

// spot is a problem at a position in an expression, counted from 1.
type spot struct {
	line, column int
	reason       string
}

// compile parses a condition of a rule.
func compile(text string) (verify.Expr, []spot) {
	e, _, spots := ruleLanguage.compile(text)
	return e, spots
}

// compile parses a condition, translates it and also has CEL check its types. The positions of problems are
// within the text.
func (l language) compile(text string) (verify.Expr, *cel.Ast, []spot) {
	if len(text) > maxExpression {
		return verify.Expr{}, nil, []spot{{1, 1, fmt.Sprintf("longer than %d bytes", maxExpression)}}
	}
	env, err := l.env()
	if err != nil {
		return verify.Expr{}, nil, []spot{{1, 1, err.Error()}}
	}
	parsed, issues := env.Parse(text)
	if issues.Err() != nil {
		return verify.Expr{}, nil, spotsOf(issues.Errors())
	}
	t := &translator{ast: parsed.NativeRep(), check: l.check}
	e := t.translate(t.ast.Expr(), 1)
	typ, err := l.check(&e)
	switch {
	case len(t.spots) > 0:
	case err != nil:
		t.refuse(t.ast.Expr(), "%s", trimmed(err))
	case typ != verify.TypeBool:
		t.refuse(t.ast.Expr(), "this is not a condition but a value of type %s", typ)
	case len(e.String()) > maxExpression:
		t.refuse(t.ast.Expr(), "longer than %d bytes with all its brackets", maxExpression)
	}
	if len(t.spots) > 0 {
		return verify.Expr{}, nil, t.spots
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		return verify.Expr{}, nil, spotsOf(issues.Errors())
	}
	return e, checked, nil
}

func spotsOf(errs []*common.Error) []spot {
	var out []spot
	for _, e := range errs {
		reason, _, _ := strings.Cut(e.Message, "\n")
		out = append(out, spot{max(e.Location.Line(), 1), max(e.Location.Column(), 0) + 1, reason})
	}
	return out
}

// translator translates CEL's tree into ours and rejects what the rule language does not have.
type translator struct {
	ast   *ast.AST
	check func(*verify.Expr) (verify.Type, error)
	spots []spot
}

func (t *translator) refuse(e ast.Expr, format string, args ...any) verify.Expr {
	at := t.ast.SourceInfo().GetStartLocation(e.ID())
	t.spots = append(t.spots, spot{max(at.Line(), 1), max(at.Column(), 0) + 1, fmt.Sprintf(format, args...)})
	return verify.Expr{Op: "bool"}
}

func (t *translator) translate(e ast.Expr, depth int) verify.Expr {
	if depth > verify.MaxRuleDepth {
		return t.refuse(e, "nested deeper than %d levels", verify.MaxRuleDepth)
	}
	switch e.Kind() {
	case ast.IdentKind:
		return t.checked(e, verify.Expr{Op: "field", Name: e.AsIdent()})
	case ast.LiteralKind:
		return t.literal(e)
	case ast.CallKind:
		return t.call(e, depth)
	case ast.ListKind:
		return t.refuse(e, "a list can only stand to the right of in")
	case ast.SelectKind:
		return t.refuse(e,
			"members of fields cannot be selected: a rule reads the fields of a record by their own names")
	case ast.ComprehensionKind:
		return t.refuse(e, "macros and loops are not part of the rule language")
	}
	return t.refuse(e, "maps and messages are not part of the rule language")
}

// checked reports errors of the rule language at their position.
func (t *translator) checked(e ast.Expr, x verify.Expr) verify.Expr {
	if _, err := t.check(&x); err != nil {
		return t.refuse(e, "%s", trimmed(err))
	}
	return x
}

func (t *translator) literal(e ast.Expr) verify.Expr {
	switch v := e.AsLiteral().(type) {
	case types.Int:
		return verify.Expr{Op: "int", Int: int64(v)}
	case types.String:
		return t.checked(e, verify.Expr{Op: "str", Name: string(v)})
	case types.Bool:
		if v {
			return verify.Expr{Op: "bool", Int: 1}
		}
		return verify.Expr{Op: "bool"}
	case types.Double:
		return t.refuse(e, "doubles are not part of the rule language: write nano(\"...\")")
	}
	return t.refuse(e, "a constant of type %s is not part of the rule language", e.AsLiteral().Type().TypeName())
}

func (t *translator) call(e ast.Expr, depth int) verify.Expr {
	c := e.AsCall()
	name, args := c.FunctionName(), c.Args()
	if c.IsMemberFunction() {
		args = append([]ast.Expr{c.Target()}, args...)
	}
	if isConstant(name) {
		return t.constant(e, name, args)
	}
	op, known := operators[name]
	if !known {
		return t.refuse(e, "%s is not part of the rule language", strings.Trim(name, "_@"))
	}
	before := len(t.spots)
	out := verify.Expr{Op: op}
	for i, a := range args {
		if op == "in" && i == 1 && a.Kind() == ast.ListKind {
			out.Args = append(out.Args, t.list(a))
			continue
		}
		out.Args = append(out.Args, t.translate(a, depth+1))
	}
	if len(t.spots) > before {
		return out
	}
	return t.checked(e, out)
}

// list translates a list of constants of one type.
func (t *translator) list(e ast.Expr) verify.Expr {
	var out verify.Expr
	start := len(t.spots)
	for _, x := range e.AsList().Elements() {
		before := len(t.spots)
		c := t.element(x)
		switch {
		case len(t.spots) > before:
		case c.Op == "int" && out.Op != "strs":
			out.Op, out.Ints = "ints", append(out.Ints, c.Int)
		case c.Op == "str" && out.Op != "ints":
			out.Op, out.Strings = "strs", append(out.Strings, c.Name)
		default:
			t.refuse(x, "a list holds integer constants, or string constants, and not both")
		}
	}
	if len(t.spots) > start {
		return out
	}
	if out.Op == "" {
		return t.refuse(e, "an empty list matches nothing")
	}
	return t.checked(e, out)
}

// element translates an element of a list.
func (t *translator) element(e ast.Expr) verify.Expr {
	if e.Kind() == ast.LiteralKind {
		return t.literal(e)
	}
	if e.Kind() == ast.CallKind && isConstant(e.AsCall().FunctionName()) {
		return t.call(e, verify.MaxRuleDepth)
	}
	return t.refuse(e, "a list holds constants only")
}

// isConstant reports whether a function returns a constant.
func isConstant(name string) bool { return name == "nano" || name == "time" }

var (
	errConstant = errors.New("the argument must be one string constant")
	errNano     = errors.New("the argument must be a plain decimal with at most nine decimals")
	errTime     = errors.New("the argument must be an RFC 3339 date-time such as 2026-11-01T00:00:00Z, from " +
		"1970 to 2261, with at most nine decimals")
)

// constant evaluates nano("0.15") and time("2026-11-01T00:00:00Z").
func (t *translator) constant(e ast.Expr, name string, args []ast.Expr) verify.Expr {
	var text types.String
	ok := len(args) == 1 && args[0].Kind() == ast.LiteralKind
	if ok {
		text, ok = args[0].AsLiteral().(types.String)
	}
	if !ok {
		return t.refuse(e, "%s: %s", name, errConstant)
	}
	read := parseNano
	if name == "time" {
		read = parseTime
	}
	n, err := read(string(text))
	if err != nil {
		return t.refuse(e, "%s: %s", name, err)
	}
	return verify.Expr{Op: "int", Int: n}
}

func parseNano(text string) (int64, error) {
	v, err := nano.Parse(text)
	if err != nil {
		return 0, errNano
	}
	return int64(v), nil
}

// parseTime parses an RFC 3339 date-time to Unix nanoseconds. Package time accepts more than that: hours of one
// digit, a comma before the fraction, minutes of an offset above 59, and decimals that it then drops.
func parseTime(text string) (int64, error) {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || at.Year() < 1970 || at.Year() > 2261 {
		return 0, errTime
	}
	seconds := at.Format("2006-01-02T15:04:05")
	rest, ok := strings.CutPrefix(text, seconds)
	fraction, hasFraction := strings.CutPrefix(rest, ".")
	zone := strings.TrimLeft(fraction, "0123456789")
	if !ok || len(fraction)-len(zone) > 9 || !hasFraction && zone != rest ||
		zone != at.Format("Z07:00") && zone != "+00:00" ||
		len(zone) == 6 && zone[1:3] > "23" {
		return 0, errTime
	}
	return at.UnixNano(), nil
}
