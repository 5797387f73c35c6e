package evidence

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestWitnessPolicy: the example of C2SP tlog-policy, with all sets of cosignatures.
func TestWitnessPolicy(t *testing.T) {
	names := []string{"X1", "X2", "X3", "Y1", "Y2", "Y3"}
	text := "# ours\nlog " + mustKey(t, origin).String() + "\n"
	for _, n := range names {
		text += "witness " + n + "\t" + newWitness(t, "w.example/"+n).Public().String() + " https://w.example/" + n + "/\n\n"
	}
	text += "group X 2 X1 X2 X3\n group Y any Y1 Y2 Y3\ngroup XY all X Y\nquorum XY\n"
	p, err := ParseWitnessPolicy([]byte(text))
	must(t, err)
	if len(p.Ledgers) != 1 || len(p.Keys()) != 6 || p.Witnesses[5].URL != "https://w.example/Y3" {
		t.Errorf("%+v", p)
	}
	reached := 0
	for set := range 1 << len(names) {
		var list []Cosignature
		x, y := 0, 0
		for i := range names {
			if set>>i&1 == 1 {
				list = append(list, Cosignature{Key: p.Witnesses[i].Key}, Cosignature{Key: p.Witnesses[i].Key})
				x, y = x+map[bool]int{true: 1}[i < 3], y+map[bool]int{true: 1}[i >= 3]
			}
		}
		if got := p.Reached(list); got != (x >= 2 && y >= 1) {
			t.Errorf("%06b: %v", set, got)
		} else if got {
			reached++
		}
	}
	if reached != 4*7 {
		t.Errorf("%d sets are a quorum", reached)
	}
	for end, want := range map[string]bool{"quorum none\n": true, "quorum X1\n": false} {
		p, err := ParseWitnessPolicy([]byte("witness X1 " + p.Keys()[0].String() + "\n" + end))
		if err != nil || p.Reached(nil) != want {
			t.Errorf("%s: %v, %v", end, p.Reached(nil), err)
		}
	}
}

// TestWitnessPolicyRefused: each error names its line.
func TestWitnessPolicyRefused(t *testing.T) {
	a, b := newWitness(t, "a").Public().String(), newWitness(t, "b").Public().String()
	two := "witness a " + a + "\nwitness b " + b + "\n"
	many := ""
	for i := range maxPolicy + 1 {
		many += fmt.Sprintf("witness n%d %s\n", i, newWitness(t, "w").Public())
	}
	for text, want := range map[string]string{
		"": "quorum", "quorum x\n": "line 1", "quorum none\nquorum none\n": "line 2", "witness a\nquorum none\n": "line 1",
		two + "group g 3 a b\nquorum g\n": "line 3", two + "group g 0 a b\nquorum g\n": "line 3", two + "group g all c\n": "line 3",
		two + "group g 02 a b\nquorum g\n": "line 3", two + "group g all a a\nquorum g\n": "line 3", "witness none " + a: "line 1",
		two + "group g all a\ngroup h all a b\n": "line 4", two + "group a all b\n": "line 3", two + "witness c " + a: "line 3",
		two + "quorum g\ngroup g all a b\n": "line 3", "witness a " + a + " ftp://x\n": "line 1", "witness a " + a + " https://x?y": "line 1",
		"witness a " + mustKey(t, "a").String(): "line 1", "log " + a: "line 1", "quorum none\r\n": "control", many: "line 33", "x\n": "line 1",
	} {
		if _, err := ParseWitnessPolicy([]byte(text)); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
