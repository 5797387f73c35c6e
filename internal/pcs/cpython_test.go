package pcs

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// cpython prints, for a line with the text of a number, what Python clients write: f9, py, py-utf8 (and py-bin), and the repr of
// the number without rounding. For a line with the text of a string it prints that without and with ASCII escapes.
const cpython = `
import json, sys
from decimal import Decimal, ROUND_HALF_UP
nano = Decimal("1e-9")
out = []
for line in sys.stdin:
    v = json.loads(line)
    if isinstance(v, str):
        out.append(json.dumps(v, ensure_ascii=False) + "\t" + json.dumps(v))
        continue
    x = float(line)
    dec = "-"
    if abs(x) <= 1e6:
        dec = json.dumps(float(Decimal(repr(x)).quantize(nano, ROUND_HALF_UP)))
    out.append("%.9f\t%s\t%s\t%s" % (x, dec, json.dumps(round(v, 9)), json.dumps(x)))
sys.stdout.write("\n".join(out))
`

// askCPython gives a line of output per line of input; it skips the test without python3.
func askCPython(t *testing.T, in []string) []string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	cmd := exec.Command(python, "-c", cpython)
	cmd.Env = append(cmd.Environ(), "PYTHONIOENCODING=utf-8")
	cmd.Stdin = strings.NewReader(strings.Join(in, "\n"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("python3: %v: %s", err, stderr.Bytes())
	}
	var out []string
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		out = append(out, s.Text())
	}
	if len(out) != len(in) {
		t.Fatalf("%d lines for %d", len(out), len(in))
	}
	return out
}

// literals are texts of numbers as records hold them: any double, ties at the ninth decimal and their neighbours, what lies at
// the switch points of repr, the smallest doubles, integers with and without a point.
func literals(r *rand.Rand, n int) []string {
	out := []string{"0", "-0", "0.0", "-0.0", "1", "1.0", "-7", "1000000", "1e6", "1E-7", "5e-324", "-5e-324", "2.5e-10", "5e-10", "-5e-10",
		"0.0001", "0.00009999999949999", "0.0000999999995", "0.000099999", "1e16", "9999999999999998.0", "1e22", "12345678901234567890.0"}
	for len(out) < n {
		x := r.Float64()
		switch r.IntN(8) {
		case 0: // a multiple of 2^-k, of which many are ties
			k := r.IntN(31)
			x = float64(r.IntN(1<<k)) / float64(int(1)<<k)
		case 1: // half a unit of the ninth decimal, as decimal text gives it
			x = (float64(r.IntN(2_000_000_000)) + 0.5) / 1e9
		case 2:
			x = math.Float64frombits(r.Uint64() >> 1)
		case 3: // subnormals and what rounds to nothing
			x = math.Float64frombits(r.Uint64N(1 << 53))
		case 4: // around the point where repr takes an exponent
			x = 1e-4 + (r.Float64()-0.5)*1e-9*float64(r.IntN(100))
		case 5:
			x *= math.Pow10(r.IntN(17) - 10)
		case 6:
			out = append(out, strconv.Itoa(r.IntN(2_000_001)-1_000_000), strconv.Itoa(r.IntN(1000))+".0")
			continue
		}
		if r.IntN(2) == 0 {
			x = math.Nextafter(x, float64(r.IntN(3)-1))
		}
		if r.IntN(4) == 0 {
			x = -x
		}
		if !math.IsNaN(x) && !math.IsInf(x, 0) {
			out = append(out, string(strconv.AppendFloat(nil, x, "ge"[r.IntN(2)], -1, 64)))
		}
	}
	return out
}

// TestNumbersOfCPython: the profiles of Python clients write 100,000 numbers as CPython does.
func TestNumbersOfCPython(t *testing.T) {
	t.Parallel()
	in := literals(rand.New(rand.NewPCG(9, 1024)), 100_000)
	bad, small := 0, 0
	for i, line := range askCPython(t, in) {
		n := number(t, in[i])
		want := strings.Split(line, "\t")
		got := []string{"-", "-", "-", string(appendPy(nil, n.Double))}
		if math.Abs(n.Double) <= MaxMagnitude {
			small++
			for k, p := range []Profile{F9, Py, PyBin} {
				got[k] = string(appendNumber(nil, n, p))
			}
			if utf := string(appendNumber(nil, n, PyUTF8)); utf != got[2] {
				t.Errorf("%s: py-utf8 %s, py-bin %s", in[i], utf, got[2])
			}
		} else {
			want[0], want[1], want[2] = "-", "-", "-" // no record holds such a number
		}
		for k, what := range []string{"f9", "py", "py-bin", "repr"} {
			if got[k] != want[k] {
				if bad++; bad < 20 {
					t.Errorf("%s in %s: %s, CPython writes %s", in[i], what, got[k], want[k])
				}
			}
		}
	}
	if bad > 0 || small < len(in)/2 {
		t.Errorf("%d of %d numbers differ, %d of a size that records hold", bad, len(in), small)
	}
}

// TestStringsOfCPython: the profiles of Python clients escape strings as CPython does.
func TestStringsOfCPython(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 127))
	var texts, in []string
	for range 5000 {
		var b strings.Builder
		for range 1 + r.IntN(12) {
			c := rune(r.IntN(0x100))
			switch r.IntN(4) {
			case 0:
				c = rune(r.IntN(0x10000))
			case 1:
				c = rune(r.IntN(0x110000))
			}
			b.WriteRune(c) // a surrogate half becomes U+FFFD
		}
		quoted, err := json.Marshal(b.String())
		if err != nil {
			t.Fatal(err)
		}
		texts, in = append(texts, b.String()), append(in, string(quoted))
	}
	for i, line := range askCPython(t, in) {
		got := fmt.Sprintf("%s\t%s", appendString(nil, texts[i], PyUTF8), appendString(nil, texts[i], PyBin))
		if got != line || string(appendString(nil, texts[i], Py)) != string(appendString(nil, texts[i], PyBin)) {
			t.Fatalf("%q: %s, CPython writes %s", texts[i], got, line)
		}
	}
}
