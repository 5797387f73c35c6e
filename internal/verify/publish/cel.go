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

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// Bounds of the text of one expression, before CEL's parser sees it.
const (
	maxExpression = 8 << 10 // bytes
	maxRecursion  = 64      // levels that the parser may go down
)

// environment is CEL with our fields, without macros.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	options := []cel.EnvOption{cel.ClearMacros(), cel.ParserRecursionLimit(maxRecursion), cel.ParserExpressionSizeLimit(maxExpression)}
	verify.Fields(func(name string, t verify.Type) {
		options = append(options, cel.Variable(name, celTypes[t]))
	})
	options = append(options,
		cel.Function("nano", cel.Overload("nano_string", []*cel.Type{cel.StringType}, cel.IntType)),
		cel.Function("time", cel.Overload("time_string", []*cel.Type{cel.StringType}, cel.IntType)))
	return cel.NewEnv(options...)
})

var celTypes = map[verify.Type]*cel.Type{verify.TypeBool: cel.BoolType, verify.TypeInt: cel.IntType, verify.TypeString: cel.StringType,
	verify.TypeStrings: cel.ListType(cel.StringType)}

// operators of CEL that the language has, by CEL's names.
var operators = map[string]string{"_&&_": "and", "_||_": "or", "!_": "not", "_==_": "eq", "_!=_": "ne", "_<_": "lt", "_<=_": "le",
	"_>_": "gt", "_>=_": "ge", "@in": "in", "startsWith": "starts", "endsWith": "ends"}

// spot is a place in an expression, counted from 1, with what is wrong there.
type spot struct {
	line, column int
	reason       string
}

// compile parses and type-checks a condition and translates it. Problems are places within the text.
func compile(text string) (verify.Expr, []spot) {
	if len(text) > maxExpression {
		return verify.Expr{}, []spot{{1, 1, fmt.Sprintf("longer than %d bytes", maxExpression)}}
	}
	env, err := environment()
	if err != nil {
		return verify.Expr{}, []spot{{1, 1, err.Error()}}
	}
	checked, issues := env.Compile(text)
	if issues != nil && issues.Err() != nil {
		return verify.Expr{}, spotsOf(issues.Errors())
	}
	t := &translator{ast: checked.NativeRep()}
	e := t.translate(t.ast.Expr(), 1)
	if len(t.spots) > 0 {
		return verify.Expr{}, t.spots
	}
	typ, err := e.Check()
	switch {
	case err != nil:
		return verify.Expr{}, []spot{{1, 1, strings.TrimPrefix(err.Error(), verify.ErrExpr.Error()+": ")}}
	case typ != verify.TypeBool:
		return verify.Expr{}, []spot{{1, 1, fmt.Sprintf("this is a %s, not a condition", typ)}}
	}
	return e, nil
}

func spotsOf(errs []*common.Error) []spot {
	var out []spot
	for _, e := range errs {
		reason, _, _ := strings.Cut(e.Message, "\n")
		out = append(out, spot{max(e.Location.Line(), 1), e.Location.Column() + 1, reason})
	}
	return out
}

// translator turns CEL's tree into ours and refuses whatever the language does not have.
type translator struct {
	ast   *ast.AST
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
		return verify.Expr{Op: "field", Name: e.AsIdent()}
	case ast.LiteralKind:
		return t.literal(e)
	case ast.CallKind:
		return t.call(e, depth)
	case ast.ListKind:
		return t.refuse(e, "a list can only stand to the right of in")
	case ast.SelectKind:
		return t.refuse(e, "members of fields cannot be selected: a rule reads the fields of a record by their own names")
	case ast.ComprehensionKind:
		return t.refuse(e, "macros and loops are not part of the rule language")
	}
	return t.refuse(e, "maps and messages are not part of the rule language")
}

func (t *translator) literal(e ast.Expr) verify.Expr {
	switch v := e.AsLiteral().(type) {
	case types.Int:
		return verify.Expr{Op: "int", Int: int64(v)}
	case types.String:
		return verify.Expr{Op: "str", Name: string(v)}
	case types.Bool:
		if v {
			return verify.Expr{Op: "bool", Int: 1}
		}
		return verify.Expr{Op: "bool"}
	case types.Double:
		return t.refuse(e, "doubles are not part of the rule language: write nano(\"%v\")", float64(v))
	}
	return t.refuse(e, "a constant of type %s is not part of the rule language", e.AsLiteral().Type().TypeName())
}

func (t *translator) call(e ast.Expr, depth int) verify.Expr {
	c := e.AsCall()
	name, args := c.FunctionName(), c.Args()
	if c.IsMemberFunction() {
		args = append([]ast.Expr{c.Target()}, args...)
	}
	if name == "nano" || name == "time" {
		return t.constant(e, name, args)
	}
	op, known := operators[name]
	if !known {
		return t.refuse(e, "%s is not part of the rule language", strings.Trim(name, "_@"))
	}
	out := verify.Expr{Op: op}
	for i, a := range args {
		if op == "in" && i == 1 && a.Kind() == ast.ListKind {
			out.Args = append(out.Args, t.list(a))
			continue
		}
		out.Args = append(out.Args, t.translate(a, depth+1))
	}
	return out
}

// list translates a list of constants of one type.
func (t *translator) list(e ast.Expr) verify.Expr {
	var out verify.Expr
	for _, x := range e.AsList().Elements() {
		if x.Kind() == ast.CallKind {
			out = t.listed(x, out, t.call(x, verify.MaxRuleDepth))
			continue
		}
		if x.Kind() != ast.LiteralKind {
			return t.refuse(x, "a list holds constants only")
		}
		out = t.listed(x, out, t.literal(x))
	}
	if out.Op == "" {
		return t.refuse(e, "an empty list matches nothing")
	}
	return out
}

func (t *translator) listed(at ast.Expr, list, x verify.Expr) verify.Expr {
	switch {
	case x.Op == "int" && list.Op != "strs":
		list.Op, list.Ints = "ints", append(list.Ints, x.Int)
	case x.Op == "str" && list.Op != "ints":
		list.Op, list.Strings = "strs", append(list.Strings, x.Name)
	default:
		return t.refuse(at, "a list holds integer constants, or string constants, and not both")
	}
	return list
}

var errConstant = errors.New("the argument must be a string constant")

// constant computes nano("0.15") and time("2026-11-01T00:00:00Z").
func (t *translator) constant(e ast.Expr, name string, args []ast.Expr) verify.Expr {
	text, err := "", errConstant
	if len(args) == 1 && args[0].Kind() == ast.LiteralKind {
		if s, ok := args[0].AsLiteral().(types.String); ok {
			text, err = string(s), nil
		}
	}
	var n int64
	if err == nil && name == "nano" {
		var v pcs.Nano
		v, err = pcs.ParseNano(text)
		n = int64(v)
	} else if err == nil {
		n, err = parseTime(text)
	}
	if err != nil {
		return t.refuse(e, "%s: %s", name, err)
	}
	return verify.Expr{Op: "int", Int: n}
}

// parseTime reads an RFC 3339 date-time as Unix nanoseconds.
func parseTime(text string) (int64, error) {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || at.Year() < 1970 || at.Year() > 2261 {
		return 0, errors.New("must be an RFC 3339 date-time such as 2026-11-01T00:00:00Z, from 1970 to 2261")
	}
	return at.UnixNano(), nil
}
