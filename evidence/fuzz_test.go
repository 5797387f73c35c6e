package evidence

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzCheckpoint: what is read is written as the same text.
func FuzzCheckpoint(f *testing.F) {
	f.Add(sample().Text())
	f.Add("o\n1\n" + strings.Repeat("A", 43) + "=\nmore\n")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := ParseCheckpoint(text); err == nil && c.Text() != text {
			t.Errorf("%q is written as %q", text, c.Text())
		}
	})
}

// FuzzOpenCheckpoint: only what the key signed is opened.
func FuzzOpenCheckpoint(f *testing.F) {
	k, err := ParseSecretKey(fuzzKey)
	must(f, err)
	msg, err := SignCheckpoint(sample(), k)
	must(f, err)
	f.Add(msg)
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, _, err := OpenCheckpoint(b, k.Public()); err == nil && c.Text() != sample().Text() {
			t.Errorf("%q is opened", b)
		}
	})
}

// fuzzKey is a key for tests alone.
const fuzzKey = "PRIVATE+KEY+recount/ledger-1+689f2857+AXJlY291bnQgZnV6eiBrZXlyZWNvdW50IGZ1enoga2V5"

// FuzzProof: what is read is written as the same bytes.
func FuzzProof(f *testing.F) {
	p, _, _ := sampleProof(f)
	f.Add(p.Text())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := ParseProof(b); err == nil && !bytes.Equal(p.Text(), b) {
			t.Errorf("%q is written as %q", b, p.Text())
		}
	})
}

// FuzzLeaf: what is read is written as the same bytes.
func FuzzLeaf(f *testing.F) {
	f.Add(leafNumber(3).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := ParseLeaf(b); err == nil && !bytes.Equal(l.Append(nil), b) {
			t.Errorf("%x is written as %x", b, l.Append(nil))
		}
	})
}

// FuzzKeys: a key that is read is written as the same text.
func FuzzKeys(f *testing.F) {
	k, err := ParseSecretKey(fuzzKey)
	must(f, err)
	f.Add(fuzzKey)
	f.Add(k.Public().String())
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := ParsePublicKey(text); err == nil && k.String() != text {
			t.Errorf("%q is written as %q", text, k)
		}
		if k, err := ParseSecretKey(text); err == nil {
			if _, err := ParsePublicKey(k.Public().String()); err != nil {
				t.Error(err)
			}
		}
	})
}
