package publish

import (
	"errors"
	"fmt"
	"sync"

	"cel.dev/cel-go/cel"

	"github.com/recount-ledger/recount/internal/verify"
)

// MostFilterCost bounds what a filter may cost for one row: its operators, fields and constants, and the elements of
// its lists.
const MostFilterCost = 256

// ErrFilter is wrapped by every error about a filter.
var ErrFilter = errors.New("filter")

// RowFields are the fields that a filter can read, with their types. They have the names of an item of the audit
// list. Times are in Unix nanoseconds, to be compared with time("2026-01-02T15:04:05Z"), and the numbers of a record
// in 1e-9, to be compared with nano("0.25").
var RowFields = []RowField{
	{"seq", verify.TypeInt}, {"log_time", verify.TypeInt}, {"received_at", verify.TypeInt},
	{"pcs_id", verify.TypeString}, {"shard_id", verify.TypeString}, {"epoch", verify.TypeInt},
	{"key_id", verify.TypeString}, {"status", verify.TypeInt}, {"outcome", verify.TypeString},
	{"accepted", verify.TypeBool}, {"reason_code", verify.TypeString}, {"reasons", verify.TypeStrings},
	{"recomputed_d_hat", verify.TypeInt}, {"recomputed_budget", verify.TypeInt}, {"policy", verify.TypeString},
	{"generation", verify.TypeInt}, {"replayed", verify.TypeBool}, {"reverified", verify.TypeBool},
	{"evidence", verify.TypeBool}, {"inputs_signed", verify.TypeBool}, {"first_seq", verify.TypeInt},
}

// RowField is a field of a row.
type RowField struct {
	Name string
	Type verify.Type
}

// rowType returns the type of a field, 0 if there is none.
func rowType(name string) verify.Type {
	for _, f := range RowFields {
		if f.Name == name {
			return f.Type
		}
	}
	return 0
}

// rowLanguage is the rule language over the fields of a row.
var rowLanguage = language{
	env: sync.OnceValues(func() (*cel.Env, error) {
		return environment(func(fn func(name string, t verify.Type)) {
			for _, f := range RowFields {
				fn(f.Name, f.Type)
			}
		})
	}),
	check: func(e *verify.Expr) (verify.Type, error) { return e.CheckIn(rowType) },
}

// Filter is a condition on rows. It is safe for concurrent use.
type Filter struct{ program cel.Program }

// CompileFilter compiles a condition in the rule language over RowFields. Errors wrap ErrFilter and name the first
// problem with its place.
func CompileFilter(text string) (*Filter, error) {
	e, checked, spots := rowLanguage.compile(text)
	if len(spots) > 0 {
		return nil, fmt.Errorf("%w: line %d, column %d: %s", ErrFilter, spots[0].line, spots[0].column, spots[0].reason)
	}
	if cost := costOf(&e); cost > MostFilterCost {
		return nil, fmt.Errorf("%w: it costs %d for a row, and may cost %d: use fewer operators, or shorter lists",
			ErrFilter, cost, MostFilterCost)
	}
	env, err := rowLanguage.env()
	if err != nil {
		return nil, err
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFilter, err)
	}
	return &Filter{program}, nil
}

// costOf counts what an evaluation looks at, at most.
func costOf(e *verify.Expr) int {
	cost := 1 + len(e.Ints) + len(e.Strings)
	for i := range e.Args {
		cost += costOf(&e.Args[i])
	}
	return cost
}

// row implements cel.Activation.
type row func(name string) any

func (r row) ResolveName(name string) (any, bool) { return r(name), true }

func (r row) Parent() cel.Activation { return nil }

// Holds reports whether the condition holds for a row. field returns its fields: an int64, a string, a bool or a
// []string, by the type of the field.
func (f *Filter) Holds(field func(name string) any) (bool, error) {
	v, _, err := f.program.Eval(row(field))
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrFilter, err)
	}
	holds, ok := v.Value().(bool)
	if !ok {
		return false, fmt.Errorf("%w: the value is %v", ErrFilter, v)
	}
	return holds, nil
}
