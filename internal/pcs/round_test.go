package pcs

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/recount-ledger/recount/nano"
)

// checkFixed compares the nine decimals of x with those that strconv writes.
func checkFixed(t *testing.T, x float64) {
	t.Helper()
	want := strconv.FormatFloat(x, 'f', 9, 64)
	if got := string(appendFixed(nil, x)); got != want {
		t.Fatalf("%b: %s, want %s", x, got, want)
	}
	n, ok := roundBin(x)
	if signed := math.Abs(x) <= MaxMagnitude; ok != signed {
		t.Fatalf("%b: rounded %v", x, ok)
	}
	if ok && n != fromFixed([]byte(want)) {
		t.Fatalf("%b: %d, want %s", x, n, want)
	}
}

// edgesOfNano are doubles around what rounding distinguishes: ties, powers of two, units and the largest number.
func edgesOfNano() (out []float64) {
	random := rand.New(rand.NewPCG(1, 2))
	for exponent := -1074; exponent <= 64; exponent++ {
		out = append(out, math.Ldexp(1, exponent), math.Ldexp(1+random.Float64(), exponent))
	}
	for range 20_000 {
		unit := float64(random.Int64N(1e15)) / 1e9
		tie := float64(random.Int64N(1e6)) + float64(2*random.Int64N(512)+1)/1024 // ten decimals, the last is 5
		out = append(out, unit, tie, math.Float64frombits(random.Uint64()))
	}
	for _, x := range out[:len(out):len(out)] {
		out = append(out, math.Nextafter(x, 0), math.Nextafter(x, math.Inf(1)))
	}
	return append(out, 0, 5e-10, 1.5e-9, 1e6, math.Nextafter(1e6, 0), math.Nextafter(1e6, 2e6), math.Inf(1), math.NaN(),
		math.MaxFloat64, math.SmallestNonzeroFloat64)
}

// TestFixed compares integer rounding with strconv.
func TestFixed(t *testing.T) {
	for _, x := range edgesOfNano() {
		checkFixed(t, x)
		checkFixed(t, -x)
	}
	if n, _ := roundBin(1.0 / 1024); n != 976_562 {
		t.Errorf("a tie rounds to %d, want the even 976562", n)
	}
	if n, _ := roundBin(3.0 / 1024); n != nano.Nano(2_929_688) {
		t.Errorf("a tie rounds to %d, want the even 2929688", n)
	}
}

// FuzzFixed searches for a number whose nine decimals differ from those of strconv.
func FuzzFixed(f *testing.F) {
	for _, x := range []float64{0, 0.1, 1e6, 1.0 / 1024, 5e-10, math.Copysign(0, -1), 999999.9999999995} {
		f.Add(x)
	}
	f.Fuzz(checkFixed)
}

// TestPlainStrings: a text that is copied as a whole is written as each of its characters would be.
func TestPlainStrings(t *testing.T) {
	const printable = " !#$%'()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~"
	for p := F9; p <= LastProfile; p++ {
		for _, special := range []string{"", "<", ">", "&", "\"", "\\", "\x00", "\n", "\x7f", "\u00e9", "\u2028", "\U0001f600"} {
			text := printable + special + printable
			want := []byte{'"'}
			for _, c := range text {
				one := appendString(nil, string(c)+"\x01", p)
				want = append(want, one[1:len(one)-len(`\u0001"`)]...)
			}
			if got := string(appendString(nil, text, p)); got != string(want)+`"` {
				t.Errorf("%s %q: %s, want %s", p, special, got, want)
			}
		}
	}
}
