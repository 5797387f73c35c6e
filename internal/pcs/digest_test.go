package pcs

import (
	"strings"
	"testing"
)

// TestInputsDigestIgnoresMemberOrder: a client that writes N_j in another order, or an empty v_star as null, repeats itself.
func TestInputsDigestIgnoresMemberOrder(t *testing.T) {
	body := string(goodBody(t))
	other := strings.Replace(body, `"2":8,"4":64`, `"4":64,"2":8`, 1)
	if other == body {
		t.Fatal("the sample record has changed")
	}
	a, b := Decode([]byte(body)), Decode([]byte(other))
	if a.InputsDigest(a.Tuple(F9)) != b.InputsDigest(b.Tuple(F9)) {
		t.Error("the order of N_j changes the digest")
	}
	c := Decode([]byte(strings.Replace(body, `"2":8`, `"2":9`, 1)))
	if a.InputsDigest(a.Tuple(F9)) == c.InputsDigest(c.Tuple(F9)) {
		t.Error("another count has the same digest")
	}
}

// TestFaultNamesAreShort: a name of the sender's choice does not blow up the answer.
func TestFaultNamesAreShort(t *testing.T) {
	body := strings.Replace(string(goodBody(t)), `"2":8`, `"`+strings.Repeat("x", 500_000)+`":"8"`, 1)
	f := Decode([]byte(body)).Fault
	if f == nil || len(f.Field) > 64 {
		t.Fatalf("a field name of %d bytes", len(f.Field))
	}
}
