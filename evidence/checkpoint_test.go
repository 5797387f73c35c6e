package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	foreignlog "github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
)

func newKey(t testing.TB, name string) (string, SecretKey) {
	t.Helper()
	text, k, err := NewSecretKey(name)
	must(t, err)
	return text, k
}

const origin = "recount/ledger-1"

func sample() Checkpoint {
	return Checkpoint{Origin: origin, Size: 12345, Root: sha256.Sum256([]byte("x"))}
}

// TestCheckpoint: a note goes there and back, is the same bytes again, and is what the text of the specification
// says.
func TestCheckpoint(t *testing.T) {
	_, k := newKey(t, origin)
	c := sample()
	msg, err := SignCheckpoint(c, k)
	must(t, err)
	again, err := SignCheckpoint(c, k)
	must(t, err)
	text := fmt.Sprintf("recount/ledger-1\n12345\n%s\n\n— recount/ledger-1 ",
		base64.StdEncoding.EncodeToString(c.Root[:]))
	if !bytes.Equal(msg, again) || !strings.HasPrefix(string(msg), text) {
		t.Errorf("signed as\n%s", msg)
	}
	got, by, err := OpenCheckpoint(msg, k.Public())
	must(t, err)
	if got.Text() != c.Text() || len(by) != 1 || by[0].String() != k.Public().String() {
		t.Errorf("opened as %+v, signed by %v", got, by)
	}
}

// TestCheckpointAbroad: other libraries read our notes, and we read theirs.
func TestCheckpointAbroad(t *testing.T) {
	secret, k := newKey(t, origin)
	c := sample()
	msg, err := SignCheckpoint(c, k)
	must(t, err)
	v, err := note.NewVerifier(k.Public().String())
	must(t, err)
	theirs, rest, _, err := foreignlog.ParseCheckpoint(msg, origin, v)
	must(t, err)
	if theirs.Size != c.Size || !bytes.Equal(theirs.Hash, c.Root[:]) || len(rest) != 0 {
		t.Errorf("they read %+v", theirs)
	}
	s, err := note.NewSigner(secret)
	must(t, err)
	body := foreignlog.Checkpoint{Origin: origin, Size: 77, Hash: c.Root[:]}.Marshal()
	msg, err = note.Sign(&note.Note{Text: string(body) + "an extension\n"}, s)
	must(t, err)
	ours, _, err := OpenCheckpoint(msg, k.Public())
	must(t, err)
	if ours.Size != 77 || ours.Root != c.Root || !slices.Equal(ours.Extra, []string{"an extension"}) {
		t.Errorf("we read %+v", ours)
	}
}

// TestRotation: a note of two keys convinces whoever knows the one or the other, an older note whoever knows the
// older.
func TestRotation(t *testing.T) {
	_, before := newKey(t, origin)
	_, after := newKey(t, origin)
	msg, err := SignCheckpoint(sample(), before, after)
	must(t, err)
	for _, trusted := range [][]PublicKey{{before.Public()}, {after.Public()}, {before.Public(), after.Public()}} {
		if _, by, err := OpenCheckpoint(msg, trusted...); err != nil || len(by) != len(trusted) {
			t.Errorf("%d keys: signed by %v, %v", len(trusted), by, err)
		}
	}
	old, err := SignCheckpoint(sample(), before)
	must(t, err)
	if _, _, err := OpenCheckpoint(old, after.Public(), before.Public()); err != nil {
		t.Errorf("an older note: %v", err)
	}
	if _, _, err := OpenCheckpoint(old, after.Public()); !errors.Is(err, ErrSignature) {
		t.Errorf("an older note without the older key: %v", err)
	}
}

// TestOtherOrigin: a trusted key vouches for the ledger of its name only.
func TestOtherOrigin(t *testing.T) {
	secret, k := newKey(t, "recount/other")
	if _, err := SignCheckpoint(sample(), k); !errors.Is(err, ErrSignature) {
		t.Errorf("signed for another ledger: %v", err)
	}
	if _, err := SignCheckpoint(sample()); !errors.Is(err, ErrSignature) {
		t.Errorf("signed without a key: %v", err)
	}
	s, err := note.NewSigner(secret)
	must(t, err)
	msg, err := note.Sign(&note.Note{Text: sample().Text()}, s)
	must(t, err)
	if _, _, err := OpenCheckpoint(msg, k.Public()); !errors.Is(err, ErrSignature) {
		t.Errorf("opened with a key of another name: %v", err)
	}
}

// TestWrongCheckpoints: texts that are no checkpoint, or another encoding of one.
func TestWrongCheckpoints(t *testing.T) {
	h := base64.StdEncoding.EncodeToString(make([]byte, 32))
	loose := h[:42] + "B=" // the same 32 bytes, for a lenient decoder
	for _, text := range []string{
		"", "\n", "o\n1\n" + h, "o\n1\n", "\n1\n" + h + "\n", "o\n01\n" + h + "\n", "o\n+1\n" + h + "\n",
		"o\n-1\n" + h + "\n",
		"o\n1\n" + loose + "\n", "o\n1\n" + h[:40] + "\n", "o\n1\n" + h + "\n\n", "o\n1\n" + h + "\na\n\nb\n",
		"a b\n1\n" + h + "\n",
		"a+b\n1\n" + h + "\n", "o\r\n1\n" + h + "\n", "o\n0\n" + h + "\n", "o\n9223372036854775807\n" + h + "\n",
		"o\n99999999999999999999\n" + h + "\n",
	} {
		if c, err := ParseCheckpoint(text); !errors.Is(err, ErrFormat) {
			t.Errorf("%q is read as %+v, %v", text, c, err)
		}
	}
	_, k := newKey(t, origin)
	for _, c := range []Checkpoint{
		{Origin: "a b", Size: 1}, {Origin: origin, Size: 1 << 63}, {Origin: origin},
		{Origin: origin, Size: 1, Extra: []string{""}},
		{Origin: origin, Size: 1, Extra: []string{"a\nb"}},
	} {
		if msg, err := SignCheckpoint(c, k); !errors.Is(err, ErrFormat) {
			t.Errorf("%+v is signed as %q, %v", c, msg, err)
		}
	}
	empty := Checkpoint{Origin: origin, Root: sha256.Sum256(nil)}
	if c, err := ParseCheckpoint(empty.Text()); err != nil || c.Size != 0 {
		t.Errorf("the empty tree: %v", err)
	}
}

// TestEveryBitOfACheckpoint: no changed bit, missing byte or further byte of a note is accepted.
func TestEveryBitOfACheckpoint(t *testing.T) {
	_, k := newKey(t, origin)
	_, second := newKey(t, origin)
	msg, err := SignCheckpoint(sample(), k, second)
	must(t, err)
	tried := refusesEveryChange(t, msg, func(b []byte) error {
		_, by, err := OpenCheckpoint(b, k.Public(), second.Public())
		if err == nil && len(by) < 2 {
			return ErrSignature // a key that is trusted does not vouch any more, which the caller sees
		}
		return err
	})
	t.Logf("%d changes of %d bytes refused", tried, len(msg))
}

// refusesEveryChange calls check with every version of msg that has one bit changed, one byte less or one more,
// and returns their number.
func refusesEveryChange(t *testing.T, msg []byte, check func([]byte) error) (tried int) {
	t.Helper()
	must(t, check(msg))
	try := func(what string, b []byte) {
		t.Helper()
		tried++
		if err := check(b); err == nil {
			t.Errorf("%s: accepted\n%q", what, b)
		} else if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrSignature) && !errors.Is(err, ErrProof) {
			t.Errorf("%s: %v has no kind", what, err)
		}
	}
	for i := range msg {
		for bit := range 8 {
			changed := slices.Clone(msg)
			changed[i] ^= 1 << bit
			try(fmt.Sprintf("bit %d of byte %d", bit, i), changed)
		}
		try(fmt.Sprintf("without byte %d", i), slices.Delete(slices.Clone(msg), i, i+1))
		try(fmt.Sprintf("cut at %d", i), msg[:i])
	}
	for _, more := range []string{"\n", " ", "a", "\x00"} {
		try("with more behind it", append(slices.Clone(msg), more...))
	}
	return tried
}

// TestLongNote: a note beyond the bound is not read.
func TestLongNote(t *testing.T) {
	_, k := newKey(t, origin)
	c := sample()
	for range maxNote / 64 {
		c.Extra = append(c.Extra, strings.Repeat("x", 64))
	}
	msg, err := SignCheckpoint(c, k)
	must(t, err)
	if _, _, err := OpenCheckpoint(msg, k.Public()); !errors.Is(err, ErrFormat) {
		t.Errorf("%d bytes: %v", len(msg), err)
	}
}

// TestKeys: files of keys go there and back, and a key has one spelling.
func TestKeys(t *testing.T) {
	secret, k := newKey(t, origin)
	other, k2 := newKey(t, origin)
	list, err := ParseSecretKeys("# the key of 2026\n" + secret + "\n\n" + other + "\n")
	if err != nil || len(list) != 2 || list[1].Public().String() != k2.Public().String() {
		t.Errorf("%v, %v", list, err)
	}
	public := k.Public().String()
	if got, err := ParsePublicKeys(public + "\n" + k2.Public().String() + "\n"); err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	if fmt.Sprintf("%v %+v %#v", k, k, k) != strings.Join([]string{public, public, public}, " ") {
		t.Error("a secret is printed")
	}
	for _, text := range []string{
		"", "# none\n", public + "\n" + public, public + "x", strings.ToUpper(public), public[:len(public)-1],
	} {
		if got, err := ParsePublicKeys(text); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", public, secret + "\n" + secret, secret[:len(secret)-2], "PRIVATE+KEY+a b+" + secret[20:],
	} {
		if _, err := ParseSecretKeys(text); !errors.Is(err, ErrFormat) || strings.Contains(err.Error(), secret[40:]) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, name := range []string{"", "a b", "a+b", "a\nb", "\xff"} {
		if _, _, err := NewSecretKey(name); !errors.Is(err, ErrFormat) {
			t.Errorf("a key named %q: %v", name, err)
		}
	}
}
