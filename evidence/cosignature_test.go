package evidence

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/note"
)

func newWitness(t testing.TB, name string) WitnessSecret {
	t.Helper()
	text, k, err := NewWitnessSecret(name)
	must(t, err)
	again, err := ParseWitnessSecrets("# mine\n" + text + "\n")
	must(t, err)
	if len(again) != 1 || again[0].text() != text || strings.Contains(fmt.Sprintf("%v %+v %#v", k, k, k), text[len(text)-40:]) {
		t.Errorf("read as %v", again)
	}
	return k
}

// TestCosign: a cosignature goes there and back with its time, and stands beside the signature of the ledger.
func TestCosign(t *testing.T) {
	_, k := newKey(t, origin)
	_, strange := newKey(t, origin)
	w, other := newWitness(t, "witness.example/1"), newWitness(t, "witness.example/2")
	msg, err := SignCheckpoint(sample(), strange, k)
	must(t, err)
	at := time.Unix(1679315147, 999)
	whole, lines, err := Cosign(msg, at, []PublicKey{k.Public()}, w, other)
	must(t, err)
	if !bytes.HasSuffix(whole, lines) || bytes.Count(lines, []byte("\n")) != 2 || bytes.Count(whole, []byte("— ")) != 3 {
		t.Errorf("cosigned as\n%s", whole)
	}
	if _, by, err := OpenCheckpoint(whole, k.Public()); err != nil || len(by) != 1 {
		t.Errorf("opened by %v, %v", by, err)
	}
	list, err := Cosignatures(whole, other.Public(), other.Public(), w.Public())
	must(t, err)
	if len(list) != 2 || list[0].Key.String() != w.Public().String() || list[1].Time.Unix() != at.Unix() {
		t.Errorf("cosigned by %v", list)
	}
	if none, err := Cosignatures(msg, w.Public()); err != nil || len(none) != 0 {
		t.Errorf("nobody cosigned: %v, %v", none, err)
	}
	if _, _, err := Cosign(msg, at, []PublicKey{mustKey(t, "recount/other")}, w); !errors.Is(err, ErrSignature) {
		t.Errorf("another ledger: %v", err)
	}
	later, _, err := Cosign(whole, at.Add(time.Hour), []PublicKey{k.Public()}, w)
	must(t, err)
	if list, err := Cosignatures(later, w.Public()); err != nil || len(list) != 1 || list[0].Time.Unix() != at.Unix()+3600 {
		t.Errorf("cosigned again: %v, %v", list, err)
	}
}

func mustKey(t testing.TB, name string) PublicKey {
	t.Helper()
	_, k := newKey(t, name)
	return k.Public()
}

// TestCosignatureBits: no note with a changed bit is cosigned by the witness for a checkpoint that the ledger signed.
func TestCosignatureBits(t *testing.T) {
	_, k := newKey(t, origin)
	w := newWitness(t, "witness.example")
	msg, err := SignCheckpoint(sample(), k)
	must(t, err)
	whole, _, err := Cosign(msg, time.Unix(1679315147, 0), []PublicKey{k.Public()}, w)
	must(t, err)
	refused := 0
	for i := range whole {
		for bit := range 8 {
			changed := bytes.Clone(whole)
			changed[i] ^= 1 << bit
			_, _, signed := OpenCheckpoint(changed, k.Public())
			list, err := Cosignatures(changed, w.Public())
			if signed == nil && err == nil && len(list) > 0 {
				t.Errorf("bit %d of byte %d: taken", bit, i)
				continue
			}
			refused++
		}
	}
	if refused != 8*len(whole) {
		t.Errorf("%d of %d", refused, 8*len(whole))
	}
}

// TestWitnessKeys: a key has one spelling, and neither kind of key is taken for the other.
func TestWitnessKeys(t *testing.T) {
	secret, k := newKey(t, origin)
	w := newWitness(t, origin)
	text := w.Public().String()
	if again, err := ParseWitnessKey(text); err != nil || again.String() != text || again.Name() != origin {
		t.Errorf("%v, %v", again, err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.SplitN(text, "+", 3)[2])
	must(t, err)
	short := fmt.Sprintf("%s+%08x+%s", origin, w.public.KeyHash(), base64.StdEncoding.EncodeToString(raw[:20]))
	for _, bad := range []string{"", "a", "a+b+c", k.Public().String(), short, " " + text, text + "=", text + "\n",
		strings.ToUpper(text), strings.Replace(text, origin, "a b", 1), strings.Replace(text, origin, "other", 1)} {
		if _, err := ParseWitnessKey(bad); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", secret, w.text() + "=", strings.Replace(w.text(), origin, "other", 1), "PRIVATE+KEY+a+b+c"} {
		if _, err := ParseWitnessSecret(bad); !errors.Is(err, ErrFormat) || strings.Contains(err.Error(), "QQ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := ParsePublicKey(text); !errors.Is(err, ErrFormat) {
		t.Errorf("a witness is taken for a ledger: %v", err)
	}
	if _, _, err := NewWitnessSecret("a b"); !errors.Is(err, ErrFormat) {
		t.Errorf("a name with a space: %v", err)
	}
	forged, err := note.Sign(&note.Note{Text: sample().Text()}, timed{w, 1})
	must(t, err)
	if _, _, err := OpenCheckpoint(forged, k.Public()); !errors.Is(err, ErrSignature) {
		t.Errorf("the witness signs for the ledger of its name: %v", err)
	}
}

// TestProvesFork compares all pairs of sizes of one tree and of two trees that differ in one leaf. Hashes that lead
// nowhere prove nothing, and neither does a proof from a power of two, which starts from the root of the sender.
func TestProvesFork(t *testing.T) {
	const most = 40
	leaf := func(i int, text string) []byte { return fmt.Appendf(nil, "%d %s", i, text) }
	one, other := testonly.New(rfc6962.DefaultHasher), testonly.New(rfc6962.DefaultHasher)
	for i := range most {
		one.AppendData(leaf(i, "a"))
		other.AppendData(leaf(i, map[bool]string{true: "b", false: "a"}[i == 2]))
	}
	at := func(tree *testonly.Tree, size int) Checkpoint {
		return Checkpoint{Origin: origin, Size: uint64(size), Root: [32]byte(tree.HashAt(uint64(size)))}
	}
	forks := 0
	for size := 1; size <= most; size++ {
		for old := 1; old <= size; old++ {
			proof := func(tree *testonly.Tree) (out [][32]byte) {
				hashes, err := tree.ConsistencyProof(uint64(old), uint64(size))
				must(t, err)
				for _, h := range hashes {
					out = append(out, [32]byte(h))
				}
				return out
			}
			if ProvesFork(at(one, old), at(one, size), proof(one)) {
				t.Fatalf("%d to %d of one tree is a fork", old, size)
			}
			if old < size && ProvesFork(at(one, old), at(one, size), proof(other)) {
				t.Fatalf("%d to %d of one tree is a fork by wrong hashes", old, size)
			}
			want := old >= 3 && (old == size || old&(old-1) != 0)
			if got := ProvesFork(at(one, old), at(other, size), proof(other)); got != want {
				t.Fatalf("%d to %d of two trees: a fork: %v", old, size, got)
			}
			forks++
		}
	}
	foreign := at(other, most)
	foreign.Origin = "recount/other"
	if forks != most*(most+1)/2 || ProvesFork(at(one, most), foreign, nil) || ProvesFork(at(one, 5), at(other, 4), nil) {
		t.Error("two ledgers, or a smaller checkpoint, are a fork")
	}
}

// FuzzCosignatures: only what the witness signed counts.
func FuzzCosignatures(f *testing.F) {
	k, err := ParseSecretKey(fuzzKey)
	must(f, err)
	w := newWitness(f, "witness.example")
	msg, err := SignCheckpoint(sample(), k)
	must(f, err)
	whole, _, err := Cosign(msg, time.Unix(1, 0), []PublicKey{k.Public()}, w)
	must(f, err)
	f.Add(whole)
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := Cosignatures(b, w.Public())
		if err == nil && len(list) > 0 && (list[0].Time.Unix() != 1 || !bytes.HasPrefix(b, []byte(sample().Text()))) {
			t.Errorf("%q is cosigned", b)
		}
	})
}

// FuzzWitnessKey: what is read is written as the same text.
func FuzzWitnessKey(f *testing.F) {
	f.Add(newWitness(f, "witness.example").Public().String())
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := ParseWitnessKey(text); err == nil && k.String() != text {
			t.Errorf("%q is written as %q", text, k)
		}
	})
}
