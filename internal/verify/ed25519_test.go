package verify

import (
	"bytes"
	"crypto/ed25519"
	"math/big"
	"slices"
	"testing"
)

// verifies checks a signature of msg with a key as the ledger holds it, without the check of a new key.
func verifies(pub, msg, sig []byte) bool {
	keySet := NewKeySet([]Key{{ID: "k", Alg: Ed25519, Public: pub}})
	return keySet.try(prepared(msg), 0, 0, Raw, sig)
}

// TestEdgesOfEd25519 holds which signatures are accepted where implementations differ: points of small order,
// points with a part of small order, and encodings that are not canonical. Every replica and every later recount
// must agree on them, so another implementation has to give the same results. The equation is the one without the
// cofactor, compared as bytes. A key of small order or in another encoding is refused when it is registered.
func TestEdgesOfEd25519(t *testing.T) {
	t.Parallel()
	var vectors []struct {
		Number        int
		Key, Sig, Msg string
		Flags         []string
	}
	dataJSON(t, "external/cctv-ed25519.json", &vectors)
	accepted, registered := 0, 0
	for _, v := range vectors {
		has := func(flag string) bool { return slices.Contains(v.Flags, flag) }
		pub := unhex(t, v.Key)
		want := !has("low_order_residue") && !has("non_canonical_R")
		ok := verifies(pub, []byte(v.Msg), unhex(t, v.Sig))
		if ok != want {
			t.Errorf("vector %d: %v, want %v: %v", v.Number, ok, want, v.Flags)
		}
		_, err := NewEd25519Key(pub)
		if usable := !has("low_order_A") && !has("non_canonical_A"); (err == nil) != usable {
			t.Errorf("vector %d: the key gives %v: %v", v.Number, err, v.Flags)
		}
		if err == nil {
			registered++
		}
		if ok {
			accepted++
		}
	}
	if len(vectors) != 914 || accepted != 208 || registered != 388 {
		t.Errorf("%d vectors, %d accepted, %d with a key that can be registered", len(vectors), accepted, registered)
	}
}

// TestSpeccheckEd25519: the twelve cases of "Taming the many EdDSAs" in which implementations differ.
func TestSpeccheckEd25519(t *testing.T) {
	t.Parallel()
	var cases []struct {
		Message, Signature string
		PubKey             string `json:"pub_key"`
	}
	dataJSON(t, "external/speccheck-ed25519.json", &cases)
	// V is valid, X is not. A k has a key that cannot be registered.
	const want, keys = "VVVVXXXXXXXV", "kk--------kk"
	if len(cases) != len(want) {
		t.Fatalf("%d cases", len(cases))
	}
	for i, c := range cases {
		pub := unhex(t, c.PubKey)
		if ok := verifies(pub, unhex(t, c.Message), unhex(t, c.Signature)); ok != (want[i] == 'V') {
			t.Errorf("case %d: %v, want %c", i, ok, want[i])
		}
		if _, err := NewEd25519Key(pub); (err == nil) != (keys[i] == '-') {
			t.Errorf("case %d: the key gives %v", i, err)
		}
	}
}

// TestMalleableEd25519: nobody can make another valid signature of a signed message, neither with S plus a multiple
// of the order nor with one bit changed.
func TestMalleableEd25519(t *testing.T) {
	t.Parallel()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	pub, msg := []byte(private.Public().(ed25519.PublicKey)), []byte("a record")
	sig := ed25519.Sign(private, msg)
	if !verifies(pub, msg, sig) {
		t.Fatal("the signature does not verify")
	}
	order, _ := new(big.Int).SetString("27742317777372353535851937790883648493", 10)
	order.Add(order, new(big.Int).Lsh(big.NewInt(1), 252))
	s := new(big.Int).SetBytes(reversed(sig[32:]))
	for n := 1; s.Add(s, order).BitLen() <= 256; n++ {
		other := slices.Concat(sig[:32], reversed(s.FillBytes(make([]byte, 32))))
		if verifies(pub, msg, other) {
			t.Errorf("S plus %d times the order verifies", n)
		}
	}
	for bit := range 8 * len(sig) {
		other := slices.Clone(sig)
		other[bit/8] ^= 1 << (bit % 8)
		if verifies(pub, msg, other) {
			t.Errorf("bit %d changed, and it verifies", bit)
		}
	}
}

// TestEncodingsOfEd25519: a key has one encoding. The numbers from 2^255-19 on encode small ones a second time, and
// some of these are points of large order.
func TestEncodingsOfEd25519(t *testing.T) {
	t.Parallel()
	points := 0
	for y := range int64(19) {
		for _, sign := range []byte{0, 0x80} {
			small := reversed(big.NewInt(y).FillBytes(make([]byte, 32)))
			large := reversed(new(big.Int).Add(fieldPrime, big.NewInt(y)).FillBytes(make([]byte, 32)))
			small[31] |= sign
			large[31] |= sign
			if _, err := NewEd25519Key(small); err == nil {
				points++
			}
			if _, err := NewEd25519Key(large); err == nil {
				t.Errorf("y = %d, sign %#x: the second encoding is taken", y, sign)
			}
		}
	}
	if points < 10 {
		t.Errorf("only %d points of large order have two encodings", points)
	}
}

func reversed(b []byte) []byte {
	b = slices.Clone(b)
	slices.Reverse(b)
	return b
}

func BenchmarkEd25519(b *testing.B) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	pub, msg := []byte(private.Public().(ed25519.PublicKey)), bytes.Repeat([]byte("a record "), 30)
	sig := ed25519.Sign(private, msg)
	keySet := NewKeySet([]Key{{ID: "k", Alg: Ed25519, Public: pub}})
	s := prepared(msg)
	b.ReportAllocs()
	for b.Loop() {
		if !keySet.try(s, 0, 0, Raw, sig) {
			b.Fatal("does not verify")
		}
	}
}
