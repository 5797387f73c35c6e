package pcs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

type canonicalCase struct {
	Name, Record, Canonical, Message string
	SameAs                           string `json:"same_as"`
}

func canonicalVectors(t testing.TB) (cases, unsignable []canonicalCase) {
	var golden struct{ Cases, Unsignable []canonicalCase }
	readJSON(t, "golden/signing_v2.json", &golden)
	if len(golden.Cases) < 14 || len(golden.Unsignable) < 3 {
		t.Fatalf("%d and %d vectors", len(golden.Cases), len(golden.Unsignable))
	}
	return golden.Cases, golden.Unsignable
}

func TestGoldenWhole(t *testing.T) {
	cases, unsignable := canonicalVectors(t)
	seen := map[string]string{}
	for _, c := range cases {
		got, err := AppendCanonical(nil, []byte(c.Record))
		if err != nil || string(got) != c.Canonical {
			t.Errorf("%s: %v\n got %s\nwant %s", c.Name, err, got, c.Canonical)
		}
		if same, other := seen[c.Canonical], c.SameAs; same != other {
			t.Errorf("%s has the form of %q, want that of %q", c.Name, same, other)
		}
		if seen[c.Canonical] == "" {
			seen[c.Canonical] = c.Name
		}
		r := Decode([]byte(c.Record))
		if msg, ok := r.PCS2Message([]byte("x")); r.Fault != nil || r.Scheme != PCS2 || !ok || string(msg) != "x"+c.Message {
			t.Errorf("%s: %v %s %v %q, want %q", c.Name, r.Fault, r.Scheme, ok, msg, c.Message)
		}
	}
	for _, c := range unsignable {
		if _, err := AppendCanonical(nil, []byte(c.Record)); !errors.Is(err, ErrNoCanonical) {
			t.Errorf("%s: %v", c.Name, err)
		}
		r := Decode([]byte(c.Record))
		if msg, ok := r.PCS2Message(nil); r.Fault != nil || r.Scheme != PCS2 || ok || len(msg) != 0 {
			t.Errorf("%s: %v %s %v %q", c.Name, r.Fault, r.Scheme, ok, msg)
		}
	}
}

// TestPCS2MessageIsNoOther: no profile gives what begins like a message of pcs/2, and it has another length than a hash.
func TestPCS2MessageIsNoOther(t *testing.T) {
	cases, _ := canonicalVectors(t)
	for _, c := range cases {
		r := Decode([]byte(c.Record))
		msg, _ := r.PCS2Message(nil)
		if len(msg) != 14+64 || !bytes.HasPrefix(msg, []byte(pcs2Label)) {
			t.Errorf("%s: %q", c.Name, msg)
		}
		for p := F9; p <= LastProfile; p++ {
			if payload, err := r.AppendPayload(nil, p); err == nil && (len(payload) == len(msg) || payload[0] == msg[0]) {
				t.Errorf("%s %s: %q", c.Name, p, payload)
			}
		}
	}
}

func TestSchemeMember(t *testing.T) {
	for member, want := range map[string]struct {
		scheme Scheme
		field  string
	}{
		``: {PCS1, ""}, `"sig_scheme":"pcs/1",`: {PCS1, ""}, `"sig_scheme":"pcs/2",`: {PCS2, ""},
		`"sig_scheme":"pcs/3",`: {UnknownScheme, "sig_scheme"}, `"sig_scheme":"PCS/2",`: {UnknownScheme, "sig_scheme"},
		`"sig_scheme":"unknown",`: {UnknownScheme, "sig_scheme"}, `"sig_scheme":"",`: {UnknownScheme, "sig_scheme"},
		`"sig_scheme":null,`: {UnknownScheme, "sig_scheme"}, `"sig_scheme":2,`: {UnknownScheme, "sig_scheme"},
		`"sig_scheme":["pcs/2"],`: {UnknownScheme, "sig_scheme"}, `"Sig_Scheme":"pcs/2",`: {PCS1, "Sig_Scheme"},
		`"x":{"sig_scheme":"pcs/2"},`: {PCS1, ""}, `"sig_scheme":"pcs\/\u0032",`: {PCS2, ""},
	} {
		r := Decode(edit(t, `{`, `{`+member))
		if r.Scheme != want.scheme || (r.Fault == nil) != (want.field == "") || r.Fault != nil && (r.Fault.Class != ClassSchema || r.Fault.Field != want.field) || !r.Signable {
			t.Errorf("%s: %s %v, want %s", member, r.Scheme, r.Fault, want.scheme)
		}
	}
	if r := Decode(edit(t, `{`, `{"sig_scheme":"pcs/2","sig_scheme":"pcs/1",`)); r.Fault == nil || r.Fault.Class != ClassMalformed {
		t.Errorf("twice: %v", r.Fault)
	}
	for _, v := range []Scheme{PCS1, PCS2} {
		if got, err := ParseScheme(v.String()); err != nil || got != v {
			t.Errorf("%s: %v %v", v, got, err)
		}
	}
	if _, err := ParseScheme("unknown"); !errors.Is(err, ErrUnknownScheme) {
		t.Error(err)
	}
	if AllSchemes.Has(UnknownScheme) || !slices.Equal(AllSchemes.Slice(), []Scheme{PCS1, PCS2}) || SchemesOf(UnknownScheme) != 0 || SchemesOf(PCS2).Has(PCS1) {
		t.Error("sets of schemes")
	}
}

// FuzzCanonical: another spelling of a record has the same canonical form, another value has another one, and the form is JSON
// of the same value.
func FuzzCanonical(f *testing.F) {
	cases, unsignable := canonicalVectors(f)
	for i, c := range append(cases, unsignable...) {
		f.Add([]byte(c.Record), uint64(i))
	}
	f.Add(goodBody(f), uint64(99))
	f.Fuzz(func(t *testing.T, body []byte, seed uint64) {
		want, err := AppendCanonical([]byte("x"), body)
		if err != nil {
			if !errors.Is(err, ErrNoCanonical) || string(want) != "x" {
				t.Fatalf("%q %v", want, err)
			}
			return
		}
		want = want[1:]
		d := speller{rand.New(rand.NewPCG(seed, 1))}
		tree := parse(t, body).(map[string]any)
		if got, err := AppendCanonical(nil, []byte(d.text(tree))); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("another spelling: %v\n got %s\nwant %s", err, got, want)
		}
		if again, err := AppendCanonical(nil, want); err != nil || !bytes.Equal(again, want) {
			t.Fatalf("not its own canonical form: %v\n got %s\nwant %s", err, again, want)
		}
		delete(tree, "sig")
		if !same(parse(t, want), tree) {
			t.Fatalf("%s is not the value of %s", want, body)
		}
		changed := d.change(tree)
		if got, err := AppendCanonical(nil, []byte(d.text(changed))); err == nil && bytes.Equal(got, want) {
			t.Fatalf("changed to %s, and still %s", d.text(changed), want)
		}
	})
}

func parse(t *testing.T, text []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// same compares numbers by their value where that fits into memory.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		m, ok := b.(map[string]any)
		if !ok || len(a) != len(m) {
			return false
		}
		for k := range a {
			if other, ok := m[k]; !ok || !same(a[k], other) {
				return false
			}
		}
		return true
	case []any:
		l, ok := b.([]any)
		return ok && slices.EqualFunc(a, l, same)
	case json.Number:
		n, ok := b.(json.Number)
		if _, exp, _ := strings.Cut(strings.ToLower(string(a)), "e"); len(exp) > 4 {
			return ok
		}
		if _, exp, _ := strings.Cut(strings.ToLower(string(n)), "e"); len(exp) > 4 {
			return ok
		}
		x, ok1 := new(big.Rat).SetString(string(a))
		y, ok2 := new(big.Rat).SetString(string(n))
		return ok && ok1 && ok2 && x.Cmp(y) == 0
	}
	return a == b
}

// speller writes JSON in one of its many spellings, and changes values.
type speller struct{ *rand.Rand }

func (d speller) space() string { return []string{"", "", " ", "\n\t"}[d.IntN(4)] }

func (d speller) text(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for k := range v {
			parts = append(parts, d.quoted(k)+d.space()+":"+d.text(v[k]))
		}
		slices.Sort(parts)
		d.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		return d.space() + "{" + d.space() + strings.Join(parts, ",") + "}" + d.space()
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = d.text(v[i])
		}
		return d.space() + "[" + strings.Join(parts, ",") + d.space() + "]"
	case string:
		return d.quoted(v)
	case json.Number:
		return d.space() + d.number(string(v))
	}
	return fmt.Sprint(map[any]string{true: "true", false: "false", nil: "null"}[v]) + d.space()
}

func (d speller) quoted(s string) string {
	b := []byte{'"'}
	for _, c := range s {
		switch {
		case c > 0xffff:
			b = append(b, string(c)...)
		case c < 0x20 || c == '"' || c == '\\' || d.IntN(4) == 0:
			b = fmt.Appendf(b, []string{"\\u%04x", "\\u%04X"}[d.IntN(2)], c)
		default:
			b = append(b, string(c)...)
		}
	}
	return string(append(b, '"'))
}

// number keeps the value of a literal without exponent, and the text of any other.
func (d speller) number(s string) string {
	if strings.ContainsAny(s, "eE") {
		return strings.Replace(s, "e", "E", d.IntN(2))
	}
	whole, fraction, point := strings.Cut(s, ".")
	switch how := d.IntN(4); {
	case how == 0:
		return whole + "." + fraction + "0"
	case how == 1:
		return s + "e+00"
	case how == 2 && !point && strings.Trim(whole, "-0") != "":
		return whole + "0E-1"
	}
	return s
}

// change gives a copy of the object with one value or name in it changed.
func (d speller) change(m map[string]any) map[string]any {
	out := map[string]any{}
	names := []string{}
	for k := range m {
		out[k] = m[k]
		names = append(names, k)
	}
	slices.Sort(names)
	if len(names) == 0 || d.IntN(8) == 0 {
		name := "more"
		for _, there := out[name]; there; _, there = out[name] {
			name += "!"
		}
		out[name] = nil
		return out
	}
	name := names[d.IntN(len(names))]
	if d.IntN(8) == 0 {
		delete(out, name)
		return out
	}
	out[name] = d.other(out[name])
	return out
}

func (d speller) other(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return d.change(v)
	case []any:
		if len(v) == 0 || d.IntN(4) == 0 {
			return append(slices.Clone(v), nil)
		}
		l := slices.Clone(v)
		i := d.IntN(len(l))
		l[i] = d.other(l[i])
		return l
	case json.Number:
		s := string(v)
		if rest, negative := strings.CutPrefix(s, "-"); negative {
			return json.Number(rest)
		} else if d.IntN(2) == 0 {
			return json.Number("-" + s)
		}
		if strings.ContainsAny(s, "123456789") {
			return json.Number("1" + s)
		}
		return json.Number("1")
	case string:
		return v + "x"
	case bool:
		return !v
	}
	return false
}

// TestCanonicalRefuses: what has no canonical form, next to what just has one.
func TestCanonicalRefuses(t *testing.T) {
	nest := func(n int) string { return `{"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	for body, ok := range map[string]bool{
		`{}`: true, ` {"sig":1} `: true, nest(MaxCanonicalDepth - 1): true, nest(MaxCanonicalDepth): false, `{"a":1e999999999}`: true, `{"a":0e-0000000000999999999}`: true,
		`{"a":1e1000000000}`: false, `{"a":0E+1000000000}`: false, `{"a":1e-1000000000}`: false,
		``: false, `[]`: false, `1`: false, `{`: false, `{}{}`: false, `{"a":1}x`: false, `{"a":01}`: false, `{1:2}`: false, `{"a"}`: false,
		`{"a":1,"a":1}`: false, `{"a":1,"b":2,"\u0061":1}`: false, `{"x":{"b":1,"a":1,"b":2}}`: false, `{"sig":1,"a":1,"sig":2}`: false, `{"x":{"sig":1,"sig":2}}`: false,
		"{\"a\":\"\xff\"}": false, `{"a":"\ud800"}`: false, `{"\udc00":1}`: false, `{"a":"` + "\n" + `"}`: false,
	} {
		out, err := AppendCanonical(nil, []byte(body))
		if (err == nil) != ok || err != nil && (!errors.Is(err, ErrNoCanonical) || out != nil) {
			t.Errorf("%s: %q %v", body, out, err)
		}
	}
}
