package nano

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"testing"
)

func TestText(t *testing.T) {
	for text, n := range map[string]Nano{
		"0": 0, "3": 3_000_000_000, "1.412345679": 1_412_345_679, "-0.5": -500_000_000, "0.000000001": 1,
		"-0.000000001": -1, "9223372036.854775807": math.MaxInt64, "-9223372036.854775807": -math.MaxInt64,
	} {
		if n.String() != text {
			t.Errorf("%d: %s, want %s", int64(n), n, text)
		}
		var back Nano
		if err := json.Unmarshal([]byte(text), &back); err != nil || back != n {
			t.Errorf("%s: %d, %v", text, int64(back), err)
		}
	}
	if got := Nano(math.MinInt64).String(); got != "-9223372036.854775808" {
		t.Error(got)
	}
	for _, bad := range []string{"", "-", ".5", "1.", "1e3", "1.0000000001", "9000000000.000000001", "9223372036.854775808", "99999999999999999999", "1.2.3", "+1", "0x1", "1_0"} {
		if n, err := Parse(bad); !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: %d, %v", bad, int64(n), err)
		}
	}
}

func TestFixed(t *testing.T) {
	for n, want := range map[Nano]string{0: "0.000000000", One: "1.000000000", -One / 2: "-0.500000000", 1: "0.000000001",
		math.MaxInt64: "9223372036.854775807", math.MinInt64: "-9223372036.854775808"} {
		if got := n.Fixed(); got != want {
			t.Errorf("%d: %s, want %s", int64(n), got, want)
		}
	}
}

func ExampleNano() {
	n, err := Parse("0.15")
	fmt.Println(n, n.Fixed(), int64(n), err)
	// Output: 0.15 0.150000000 150000000 <nil>
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0.15", "-3", "1e3", "9000000000", "00.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Parse(s)
		if err != nil {
			return
		}
		for _, text := range []string{n.String(), n.Fixed()} {
			if back, err := Parse(text); err != nil || back != n {
				t.Errorf("%q is %s, which is %d, %v", s, text, int64(back), err)
			}
		}
	})
}
