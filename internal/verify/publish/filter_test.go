package publish

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/verify"
)

// someRow is a row in which every field has another value.
func someRow(name string) any {
	switch rowType(name) {
	case verify.TypeBool:
		return name == "accepted"
	case verify.TypeString:
		return name + "-value"
	case verify.TypeStrings:
		return []string{"d_hat_mismatch", "degraded"}
	}
	for i, f := range RowFields {
		if f.Name == name {
			return int64(i + 1)
		}
	}
	return nil
}

// TestFilters: a condition sees every field of a row, by the operators that rules have.
func TestFilters(t *testing.T) {
	for text, want := range map[string]bool{
		`true`:                                    true,
		`seq == 1 && first_seq == 21`:             true,
		`epoch > 5 && epoch <= 6`:                 true,
		`shard_id.startsWith("shard_")`:           true,
		`shard_id.endsWith("value") && !accepted`: false,
		`outcome in ["refused", "outcome-value"]`: true,
		`"degraded" in reasons`:                   true,
		`"schema" in reasons || replayed`:         false,
		`log_time < time("1970-01-01T00:00:01Z")`: true,
		`recomputed_d_hat == nano("0.000000013")`: true,
		`status in [1, 8] && key_id != policy`:    true,
	} {
		f, err := CompileFilter(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := f.Holds(someRow); err != nil || got != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	for _, field := range RowFields {
		text := map[verify.Type]string{
			verify.TypeBool:    field.Name + " == " + fmt.Sprint(field.Name == "accepted"),
			verify.TypeInt:     field.Name + fmt.Sprintf(" == %v", someRow(field.Name)),
			verify.TypeString:  field.Name + ` == "` + field.Name + `-value"`,
			verify.TypeStrings: `"degraded" in ` + field.Name,
		}[field.Type]
		f, err := CompileFilter(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if ok, err := f.Holds(someRow); !ok || err != nil {
			t.Errorf("%s: %v %v", text, ok, err)
		}
	}
}

// TestFiltersRefused: what the rule language does not have, or what costs too much, is refused with its place.
func TestFiltersRefused(t *testing.T) {
	list := strings.TrimSuffix(strings.Repeat("7,", MostFilterCost), ",")
	for text, says := range map[string]string{
		``:                             "line 1, column",
		`seq`:                          "not a condition but a value of type int",
		`seq ==`:                       "line 1, column 7",
		`sq == 1`:                      `there is no field "sq"`,
		`d_hat == 1`:                   `there is no field "d_hat"`,
		`seq == "1"`:                   "== does not take int and string",
		`seq + 1 == 2`:                 "+ is not part of the rule language",
		`reasons.exists(r, r == "x")`:  "not part of the rule language",
		`shard_id.matches("a*")`:       "matches is not part of the rule language",
		`epoch == 1.5`:                 "doubles are not part",
		`log_time > time("yesterday")`: "RFC 3339",
		"seq > 1 &&\n  epoch = 2":      "line 2",
		"epoch in [" + list + "]":      "it costs 259 for a row, and may cost 256",
		strings.Repeat("!(", 40) + "accepted" + strings.Repeat(")", 40): "nested deeper than 32 levels",
		"shard_id == \"" + strings.Repeat("a", 300) + `"`:               "at most 256 bytes",
		strings.Repeat(" ", 9000) + "accepted":                          "longer than 8192 bytes",
	} {
		_, err := CompileFilter(text)
		if !errors.Is(err, ErrFilter) || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60q: %v, want %q", text, err, says)
		}
	}
}

// FuzzFilter: no text makes the compiler panic, and what compiles has an answer for a row.
func FuzzFilter(f *testing.F) {
	f.Add(`outcome == "refused" && epoch in [1, 2] || !accepted`)
	f.Add(`log_time >= time("2026-01-02T15:04:05Z")`)
	f.Add(`"x" in reasons == (shard_id < key_id)`)
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := CompileFilter(text)
		if err != nil {
			return
		}
		if _, err := filter.Holds(someRow); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}
