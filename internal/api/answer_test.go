package api

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

// TestAppendAnswer: the text of an answer is that of encoding/json, byte for byte, whatever its fields hold.
func TestAppendAnswer(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		sameAnswer(t, randomOf[wire.SubmitAnswer](t, rng))
	}
	sameAnswer(t, wire.SubmitAnswer{})
}

// TestAppendAnswerKnowsEveryField: each field by itself changes the text, or the comparison above could miss it.
func TestAppendAnswerKnowsEveryField(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	empty := string(appendAnswer(nil, &wire.SubmitAnswer{}))
	for field := range reflect.TypeFor[wire.SubmitAnswer]().Fields() {
		var a wire.SubmitAnswer
		member := reflect.ValueOf(&a).Elem().FieldByIndex(field.Index)
		for member.IsZero() {
			randomMember(t, rng, field.Name, member)
		}
		if string(appendAnswer(nil, &a)) == empty {
			t.Errorf("%s is not in the text", field.Name)
		}
		sameAnswer(t, a)
	}
}

// FuzzAppendText: the text of a string is that of encoding/json.
func FuzzAppendText(f *testing.F) {
	for _, s := range texts {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if got := appendText(nil, s); err != nil || string(got) != string(want) {
			t.Errorf("%q: %s, encoding/json has %s %v", s, got, want, err)
		}
	})
}

// sameAnswer compares appendAnswer with what writeJSON does.
func sameAnswer(t *testing.T, a wire.SubmitAnswer) {
	t.Helper()
	sameText(t, appendAnswer([]byte("before "), &a), &a)
}

// sameText compares a text, behind the word before, with what writeJSON gives for a value.
func sameText(t *testing.T, got []byte, v any) {
	t.Helper()
	fillEmpty(v)
	want, err := json.Marshal(v)
	if err != nil || string(got) != "before "+string(want) {
		t.Fatalf("%+v %v:\n%s\nencoding/json has\n%s", v, err, got, want)
	}
}

// randomOf fills every field. A field of a kind that it does not know fails the test.
func randomOf[T any](t *testing.T, rng *rand.Rand) (a T) {
	t.Helper()
	v := reflect.ValueOf(&a).Elem()
	for i := range v.NumField() {
		randomMember(t, rng, v.Type().Field(i).Name, v.Field(i))
	}
	return a
}

func randomMember(t *testing.T, rng *rand.Rand, name string, v reflect.Value) {
	t.Helper()
	switch p := v.Addr().Interface().(type) {
	case *bool:
		*p = rng.IntN(2) == 0
	case *string:
		*p = randomText(rng)
	case *[]string:
		*p = nil
		for range rng.IntN(4) {
			*p = append(*p, randomText(rng))
		}
	case *int:
		*p = int(randomInt(rng))
	case *wire.AuditAnswer:
		*p = randomOf[wire.AuditAnswer](t, rng)
	case **wire.AuditAnswer:
		*p = nil
		if rng.IntN(3) > 0 {
			a := randomOf[wire.AuditAnswer](t, rng)
			*p = &a
		}
	case *[]wire.AuditItem:
		*p = nil
		for range rng.IntN(4) {
			*p = append(*p, randomOf[wire.AuditItem](t, rng))
		}
	case *uint64:
		*p = rng.Uint64() >> rng.IntN(65)
	case *uint32:
		*p = rng.Uint32() >> rng.IntN(33)
	case *int64:
		*p = randomInt(rng)
	case *nano.Nano:
		*p = nano.Nano(randomInt(rng))
	case **nano.Nano:
		*p = nil
		if rng.IntN(3) > 0 {
			*p = nano.Ptr(nano.Nano(randomInt(rng)))
		}
	default:
		t.Fatalf("no values for %s, a %s", name, v.Type())
	}
}

func randomInt(rng *rand.Rand) int64 {
	edges := []int64{0, 1, -1, math.MaxInt64, math.MinInt64, int64(nano.One), -int64(nano.One) / 2}
	if i := rng.IntN(2 * len(edges)); i < len(edges) {
		return edges[i]
	}
	return int64(rng.Uint64()) >> rng.IntN(64)
}

// texts are pieces that encoding/json treats differently.
var texts = []string{
	"", "every check passed", wire.TimeNS(1), wire.TimeNS(math.MaxInt64), "<b>&amp;</b>", `"quoted"`, `back\slash`,
	"\n\r\t\b\f", "\x00\x1f", " ~\x7f", "ß", "\u2028\u2029", "\ufffd", "\xff", "a\xc3", "\xed\xa0\x80", "\U0001f600",
}

func randomText(rng *rand.Rand) string {
	var b strings.Builder
	for range rng.IntN(4) {
		if rng.IntN(4) == 0 {
			b.WriteByte(byte(rng.Uint32()))
		}
		b.WriteString(texts[rng.IntN(len(texts))])
	}
	return b.String()
}
