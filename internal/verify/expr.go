package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of the rules of a policy. They are part of the kernels and never change for them.
const (
	MaxRules      = 256
	MaxRuleDepth  = 32   // levels of an expression
	MaxRuleNodes  = 4096 // nodes of all expressions of a policy
	MaxRuleText   = 256  // bytes of a string constant
	MaxRuleList   = 1024 // elements of a list
	MaxRuleReason = 48   // bytes of a reason word
)

// ErrExpr is wrapped by every error about an expression. It wraps ErrPolicy.
var ErrExpr = fmt.Errorf("%w: expression", ErrPolicy)

// Type is the type of an expression.
type Type uint8

// The types. Int is a signed 64-bit integer. Numbers of a record are in 1e-9, times in Unix nanoseconds.
const (
	TypeBool Type = iota + 1
	TypeInt
	TypeString
	TypeStrings // list of strings
	TypeInts    // list of integers
)

// String returns the name of the type in English.
func (t Type) String() string {
	return [...]string{"nothing", "bool", "int", "string", "list of strings", "list of ints"}[min(int(t), 5)]
}

// Expr is an expression over one record: a field, a constant, or an operator with arguments. It can be
// evaluated only after Check, which Policy.Validate calls for every rule.
type Expr struct {
	Op      string // "field", "int", "str", "bool", "ints", "strs", or an operator of operators
	Name    string // of a field; text of a string constant
	Int     int64  // of an integer constant; 1 for true
	Args    []Expr
	Ints    []int64
	Strings []string

	field field // resolved by Check
}

// operators maps each operator to its CEL symbol.
var operators = map[string]string{
	"and":    "&&",
	"or":     "||",
	"not":    "!",
	"eq":     "==",
	"ne":     "!=",
	"lt":     "<",
	"le":     "<=",
	"gt":     ">",
	"ge":     ">=",
	"in":     "in",
	"starts": "startsWith",
	"ends":   "endsWith",
}

// IsOperator reports whether op names an operator.
func IsOperator(op string) bool { return operators[op] != "" }

// Check resolves the fields and returns the type of the expression. Errors wrap ErrExpr.
func (e *Expr) Check() (Type, error) {
	nodes := 0
	return e.check(1, &nodes)
}

// CheckIn is Check for an expression over other fields than those of a record. typeOf returns the type of a field, 0
// if there is none of this name. No kernel can evaluate such an expression.
func (e *Expr) CheckIn(typeOf func(name string) Type) (Type, error) {
	nodes := 0
	return e.checkIn(1, &nodes, func(e *Expr) (Type, error) {
		if t := typeOf(e.Name); t != 0 {
			return t, nil
		}
		return 0, fmt.Errorf("%w: there is no field %q", ErrExpr, e.Name)
	})
}

func (e *Expr) check(depth int, nodes *int) (Type, error) {
	return e.checkIn(depth, nodes, (*Expr).resolve)
}

func (e *Expr) checkIn(depth int, nodes *int, field func(*Expr) (Type, error)) (Type, error) {
	if *nodes++; depth > MaxRuleDepth || *nodes > MaxRuleNodes {
		return 0, fmt.Errorf("%w: more than %d levels or %d nodes", ErrExpr, MaxRuleDepth, MaxRuleNodes)
	}
	if e.Op == "field" {
		return field(e)
	}
	if !IsOperator(e.Op) {
		return e.checkConstant()
	}
	types := make([]Type, len(e.Args))
	for i := range e.Args {
		var err error
		if types[i], err = e.Args[i].checkIn(depth+1, nodes, field); err != nil {
			return 0, err
		}
	}
	if !fits(e.Op, types) {
		return 0, fmt.Errorf("%w: %s does not take %s", ErrExpr, operators[e.Op], typeNames(types))
	}
	return TypeBool, nil
}

func typeNames(types []Type) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.String()
	}
	return strings.Join(names, " and ")
}

// fits reports whether an operator takes arguments of these types.
func fits(op string, t []Type) bool {
	if op == "not" {
		return len(t) == 1 && t[0] == TypeBool
	}
	if len(t) != 2 {
		return false
	}
	switch op {
	case "and", "or":
		return t[0] == TypeBool && t[1] == TypeBool
	case "eq", "ne":
		return t[0] == t[1] && t[0] <= TypeString
	case "in":
		return t[0] == TypeString && t[1] == TypeStrings || t[0] == TypeInt && t[1] == TypeInts
	case "starts", "ends":
		return t[0] == TypeString && t[1] == TypeString
	}
	return t[0] == t[1] && (t[0] == TypeInt || t[0] == TypeString)
}

// resolve finds the field of a record that the expression names.
func (e *Expr) resolve() (Type, error) {
	i := slices.IndexFunc(fields, func(f fieldInfo) bool { return f.name == e.Name })
	if i < 0 {
		return 0, fmt.Errorf("%w: there is no field %q", ErrExpr, e.Name)
	}
	// write only if it differs: another goroutine may be evaluating a resolved policy
	if e.field != fields[i].field {
		e.field = fields[i].field
	}
	return fields[i].typ, nil
}

func (e *Expr) checkConstant() (Type, error) {
	switch e.Op {
	case "int":
		return TypeInt, nil
	case "bool":
		return TypeBool, nil
	case "str":
		return TypeString, checkText(e.Name)
	case "ints":
		return TypeInts, checkList(len(e.Ints))
	case "strs":
		for _, s := range e.Strings {
			if err := checkText(s); err != nil {
				return 0, err
			}
		}
		return TypeStrings, checkList(len(e.Strings))
	}
	return 0, fmt.Errorf("%w: unknown operator %q", ErrExpr, e.Op)
}

func checkText(s string) error {
	if len(s) > MaxRuleText || !utf8.ValidString(s) {
		return fmt.Errorf("%w: a string constant must be UTF-8 of at most %d bytes", ErrExpr, MaxRuleText)
	}
	return nil
}

func checkList(n int) error {
	if n == 0 || n > MaxRuleList {
		return fmt.Errorf("%w: a list must have 1 to %d elements", ErrExpr, MaxRuleList)
	}
	return nil
}

// MarshalJSON writes the canonical form: an array of the operator and its arguments. Integers are decimal strings.
func (e Expr) MarshalJSON() ([]byte, error) {
	b, err := e.append(nil)
	return b, err
}

func (e *Expr) append(b []byte) ([]byte, error) {
	b = append(b, '[')
	b = appendJSONText(b, e.Op)
	switch e.Op {
	case "field", "str":
		b = appendJSONText(append(b, ','), e.Name)
	case "int", "bool":
		b = appendJSONText(append(b, ','), strconv.FormatInt(e.Int, 10))
	}
	for _, n := range e.Ints {
		b = appendJSONText(append(b, ','), strconv.FormatInt(n, 10))
	}
	for _, s := range e.Strings {
		b = appendJSONText(append(b, ','), s)
	}
	for i := range e.Args {
		var err error
		if b, err = e.Args[i].append(append(b, ',')); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// appendJSONText appends a JSON string with the fewest escapes: the two that JSON requires, and \u00xx for
// control characters.
func appendJSONText(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, fmt.Sprintf("\\u%04x", c)...)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

var errShape = errors.New("not an expression")

// UnmarshalJSON reads what MarshalJSON writes. It bounds the depth and leaves types to Check.
func (e *Expr) UnmarshalJSON(b []byte) error { return e.parse(b, 1) }

func (e *Expr) parse(b []byte, depth int) error {
	var parts []json.RawMessage
	if depth > MaxRuleDepth {
		return fmt.Errorf("%w: more than %d levels", ErrExpr, MaxRuleDepth)
	}
	if err := json.Unmarshal(b, &parts); err != nil || len(parts) < 2 || json.Unmarshal(parts[0], &e.Op) != nil {
		return fmt.Errorf("%w: %w", ErrExpr, errShape)
	}
	if IsOperator(e.Op) {
		e.Args = make([]Expr, len(parts)-1)
		for i := range e.Args {
			if err := e.Args[i].parse(parts[i+1], depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	texts := make([]string, len(parts)-1)
	for i := range texts {
		if json.Unmarshal(parts[i+1], &texts[i]) != nil {
			return fmt.Errorf("%w: %w", ErrExpr, errShape)
		}
	}
	return e.constant(texts)
}

func (e *Expr) constant(texts []string) (err error) {
	switch {
	case e.Op == "strs":
		e.Strings = texts
	case e.Op == "ints":
		e.Ints = make([]int64, len(texts))
		for i, t := range texts {
			if e.Ints[i], err = strconv.ParseInt(t, 10, 64); err != nil {
				return fmt.Errorf("%w: %q", ErrExpr, t)
			}
		}
	case len(texts) != 1:
		return fmt.Errorf("%w: %w", ErrExpr, errShape)
	case e.Op == "field" || e.Op == "str":
		e.Name = texts[0]
	case e.Op == "int" || e.Op == "bool":
		if e.Int, err = strconv.ParseInt(texts[0], 10, 64); err != nil || e.Op == "bool" && e.Int&^1 != 0 {
			return fmt.Errorf("%w: %q", ErrExpr, texts[0])
		}
	default:
		return fmt.Errorf("%w: unknown operator %q", ErrExpr, e.Op)
	}
	return nil
}

// String prints a checked expression in CEL syntax. Every nested operator is in parentheses, so that the text
// shows the tree whatever the precedence.
func (e Expr) String() string {
	switch e.Op {
	case "field":
		return e.Name
	case "int":
		return strconv.FormatInt(e.Int, 10)
	case "bool":
		return strconv.FormatBool(e.Int != 0)
	case "str":
		return celText(e.Name)
	case "ints":
		parts := make([]string, len(e.Ints))
		for i, n := range e.Ints {
			parts[i] = strconv.FormatInt(n, 10)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case "strs":
		parts := make([]string, len(e.Strings))
		for i, s := range e.Strings {
			parts[i] = celText(s)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case "not":
		return "!(" + e.Args[0].String() + ")"
	case "starts", "ends":
		return e.Args[0].operand() + "." + operators[e.Op] + "(" + e.Args[1].String() + ")"
	}
	return e.Args[0].operand() + " " + operators[e.Op] + " " + e.Args[1].operand()
}

func (e *Expr) operand() string {
	if IsOperator(e.Op) && e.Op != "not" && e.Op != "starts" && e.Op != "ends" {
		return "(" + e.String() + ")"
	}
	return e.String()
}

// celText returns a CEL string constant in double quotes. It escapes quotes, backslashes and everything that
// does not print, so that the text fits in one line of YAML and hides nothing from its reader.
func celText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case strconv.IsPrint(r):
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			fmt.Fprintf(&b, "\\U%08x", r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
