package nano

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// TestAgainstRationals: both texts of a number are exactly that number, for numbers of every size.
func TestAgainstRationals(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	numbers := []Nano{0, 1, -1, One, -One, math.MaxInt64, math.MinInt64, One - 1, One + 1, 10, 100 * One}
	for range 2000 {
		numbers = append(numbers, Nano(rng.Int64()>>rng.IntN(63)), -Nano(rng.Int64()>>rng.IntN(63)))
	}
	for _, n := range numbers {
		want := big.NewRat(int64(n), int64(One))
		for _, text := range []string{n.String(), n.Fixed()} {
			if got, ok := new(big.Rat).SetString(text); !ok || got.Cmp(want) != 0 {
				t.Errorf("%d is written %s", int64(n), text)
			}
		}
		if len(n.String()) > len(n.Fixed()) {
			t.Errorf("%s is no shorter than %s", n.String(), n.Fixed())
		}
	}
}

// TestBounds: Parse stops at nine thousand million, JSON at what a Nano can hold.
func TestBounds(t *testing.T) {
	for text, c := range map[string]struct{ parses, decodes bool }{
		"9000000000":            {true, true},
		"-9000000000":           {true, true},
		"9000000000.000000000":  {true, true},
		"9000000000.000000001":  {false, true},
		"-9000000000.000000001": {false, true},
		"9223372036.854775807":  {false, true},
		"9223372036.854775808":  {false, false},
		"-9223372036.854775808": {false, true},
		"-9223372036.854775809": {false, false},
		"10000000000":           {false, false},
		"1e0":                   {false, false},
		"0.0000000000":          {false, false},
		"-0":                    {true, true},
		"true":                  {false, false},
		`"1"`:                   {false, false},
	} {
		n, err := Parse(text)
		if (err == nil) != c.parses || err != nil && (n != 0 || !errors.Is(err, ErrSyntax)) {
			t.Errorf("Parse %s: %s %v", text, n, err)
		}
		kept := Nano(7)
		err = json.Unmarshal([]byte(text), &kept)
		if (err == nil) != c.decodes || err != nil && (kept != 7 || !errors.Is(err, ErrSyntax)) {
			t.Errorf("JSON %s: %s %v", text, kept, err)
		}
	}
}

// TestInJSON: a number travels as a JSON number in a struct, and an optional one that is missing stays away.
func TestInJSON(t *testing.T) {
	type message struct {
		Value    Nano  `json:"value"`
		Optional *Nano `json:"optional,omitempty"`
	}
	for want, m := range map[string]message{
		`{"value":0}`:                    {},
		`{"value":1.5,"optional":0}`:     {One + One/2, Ptr(0)},
		`{"value":-0.000000001}`:         {-1, nil},
		`{"value":3,"optional":0.1}`:     {3 * One, Ptr(One / 10)},
		`{"value":9223372036.854775807}`: {math.MaxInt64, nil},

		`{"value":-9223372036.854775808}`: {math.MinInt64, nil},
	} {
		text, err := json.Marshal(m)
		if err != nil || string(text) != want {
			t.Errorf("%s %v, want %s", text, err, want)
		}
		var back message
		if err := json.Unmarshal(text, &back); err != nil || back.Value != m.Value || (back.Optional == nil) != (m.Optional == nil) {
			t.Errorf("%s comes back as %+v, %v", text, back, err)
		}
	}
	var m message
	if err := json.Unmarshal([]byte(`{"value":1,"optional":null}`), &m); err != nil || m.Optional != nil {
		t.Errorf("%+v %v", m, err)
	}
}

// TestAppendText: the text goes behind what is there.
func TestAppendText(t *testing.T) {
	got, err := (-One / 4).AppendText([]byte("r="))
	if err != nil || string(got) != "r=-0.25" {
		t.Errorf("%s %v", got, err)
	}
}
