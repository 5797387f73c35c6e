package evidence

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestBundle: a bundle goes there and back, and its verdict is reproduced with the key of the ledger alone.
func TestBundle(t *testing.T) {
	l := newJudged(t, false)
	first := l.submit(5, "2.0")
	for name, c := range map[string]struct {
		seq     uint64
		outcome verify.Outcome
		reason  string
		earlier int
	}{
		"accepted":   {first, verify.Accepted, "ok", 0},
		"conflict":   {l.submit(5, "2.1"), verify.Conflict, "conflict", 1},
		"repeated":   {l.submit(5, "2.0"), verify.Accepted, "ok", 1},
		"old":        {l.submit(4, "2.0"), verify.Escalated, "epoch_regression", 1},
		"mismatched": {l.submit(6, "2.9"), verify.Escalated, "d_hat_mismatch", 0},
	} {
		b := l.bundle(c.seq)
		got, err := ParseBundle(b.Text())
		must(t, err)
		if !bytes.Equal(got.Text(), b.Text()) {
			t.Errorf("%s: read as\n%s", name, got.Text())
		}
		r, err := got.Check(nil, l.key.Public())
		must(t, err)
		v := r.Verdicts[0]
		if len(r.Verdicts) != 1 || v.Outcome.Outcome != c.outcome || v.Outcome.ReasonCode() != c.reason || v.Kernel != 1 ||
			v.Signature != Verified || len(v.Earlier) != c.earlier || r.Events != len(b.Events) || len(v.By) != 1 {
			t.Errorf("%s: %+v", name, r)
		}
		if c.reason != "ok" && v.Outcome.Detail == "" {
			t.Errorf("%s: no sentence", name)
		}
	}
}

// TestOtherSpellingsOfABundle: a decoder of base64 that skips line ends does not make a second spelling.
func TestOtherSpellingsOfABundle(t *testing.T) {
	l := newJudged(t, false)
	l.submit(5, "2.0")
	text := string(l.bundle(l.submit(5, "2.1")).Text())
	for _, before := range []string{"event ", "statement ", "\nevent", "\nstatement"} {
		other := strings.Replace(text, before, before+"\r", 1)
		if before[0] == '\n' {
			other = strings.Replace(text, before, "\r"+before, 1)
		}
		if _, err := ParseBundle([]byte(other)); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", before, err)
		}
	}
}

// TestBundleOfAnHMACKey: everything but the MAC is checked without the secret, and the MAC with it.
func TestBundleOfAnHMACKey(t *testing.T) {
	l := newJudged(t, true)
	seq := l.submit(5, "2.0")
	b := l.bundle(seq)
	for secret, want := range map[string]SignatureCheck{"": NotChecked, hmacSecret: Verified} {
		var given []byte
		if secret != "" {
			given = []byte(secret)
		}
		r, err := b.Check(given, l.key.Public())
		if err != nil || r.Verdicts[0].Signature != want {
			t.Errorf("%q: %+v, %v", secret, r.Verdicts, err)
		}
	}
	if _, err := b.Check([]byte("another secret"), l.key.Public()); !errors.Is(err, ErrSignature) {
		t.Errorf("another secret: %v", err)
	}
	if _, err := b.Check([]byte{}, l.key.Public()); !errors.Is(err, ErrSignature) {
		t.Errorf("an empty secret: %v", err)
	}
	// the facts in the event say that the key signed it, and it did not
	sub, err := event.DecodeSubmission(l.items[seq-1].Event.Payload)
	must(t, err)
	sub.Body = bytes.Replace(sub.Body, []byte(`"r":0.5`), []byte(`"r":0.6`), 1)
	forged := l.bundle(l.fold(event.Submission, sub.Payload()))
	if _, err := forged.Check(nil, l.key.Public()); err != nil {
		t.Errorf("without the secret: %v", err)
	}
	if _, err := forged.Check([]byte(hmacSecret), l.key.Public()); !errors.Is(err, ErrSignature) {
		t.Errorf("a forged MAC: %v", err)
	}
}

// TestHiddenSignature: facts that leave out the key which signed a record, or name another kind of key, do not stand
// against the keys of the bundle.
func TestHiddenSignature(t *testing.T) {
	l := newJudged(t, false)
	seq := l.submit(5, "2.0")
	sub, err := event.DecodeSubmission(l.items[seq-1].Event.Payload)
	must(t, err)
	mac, err := verify.NewHMACKey([]byte(hmacSecret))
	must(t, err)
	l.add(event.KeyAdded, &event.KeyAddedV1{KeyId: mac.ID, Alg: uint32(mac.Alg), Fingerprint: mac.Fingerprint[:],
		Source: "env", Node: "n1"})
	named := sub.Facts
	for name, facts := range map[string]event.Facts{
		"no key":       {},
		"another mode": {KeyID: named.KeyID, Alg: named.Alg, Profile: named.Profile, Mode: 3 - named.Mode},
		"an HMAC key":  {KeyID: mac.ID, Alg: uint8(mac.Alg), Profile: named.Profile, Mode: named.Mode},
	} {
		sub.Facts = facts
		b := l.bundle(l.fold(event.Submission, sub.Payload()))
		if r, err := b.Check(nil, l.key.Public()); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %+v, %v", name, r.Verdicts, err)
		}
	}
	sub.Facts, sub.Body = event.Facts{}, bytes.Replace(sub.Body, []byte(`"epoch":5`), []byte(`"epoch":7`), 1)
	forged := l.bundle(l.fold(event.Submission, sub.Payload()))
	if r, err := forged.Check(nil, l.key.Public()); err != nil || r.Verdicts[0].Signature != Unsigned {
		t.Errorf("a record that no key signed: %+v, %v", r.Verdicts, err)
	}
}

// TestLyingBundles: what a ledger signed is refused when the events do not lead to it.
func TestLyingBundles(t *testing.T) {
	l := newJudged(t, false)
	first := l.submit(5, "2.0")
	conflict := l.submit(5, "2.1")
	without := func(kind event.Kind) func(*Bundle) {
		return func(b *Bundle) {
			b.Events = slices.DeleteFunc(b.Events, func(e Event) bool { return e.Leaf.Kind == kind && e.Leaf.Seq != conflict })
		}
	}
	for name, c := range map[string]struct {
		change func(*Bundle)
		want   error
	}{
		"another outcome":           {func(b *Bundle) { b.Receipt.Statement.lie(13, byte(verify.Accepted)) }, ErrVerdict},
		"another budget":            {func(b *Bundle) { b.Receipt.Statement.lie(-40, 1) }, ErrVerdict},
		"another policy":            {func(b *Bundle) { b.Receipt.Policy[0] ^= 1 }, ErrVerdict},
		"a generation that is none": {func(b *Bundle) { b.Receipt.Generation = 2 }, ErrVerdict},
		"no genesis":                {without(event.Genesis), ErrVerdict},
		"no key":                    {without(event.KeyAdded), ErrVerdict},
		"no first submission":       {without(event.Submission), ErrProof},
		"no statement of it":        {func(b *Bundle) { b.Statements = nil }, ErrVerdict},
		"the statement twice":       {func(b *Bundle) { b.Statements = append(b.Statements, b.Statements[0]) }, ErrFormat},
		"not the submission": {func(b *Bundle) {
			b.Events = slices.DeleteFunc(b.Events, func(e Event) bool { return e.Leaf.Seq == conflict })
		}, ErrProof},
		"another payload": {func(b *Bundle) { b.Events[0].Payload = append([]byte{0}, b.Events[0].Payload...) }, ErrProof},
		"another leaf":    {func(b *Bundle) { b.Events[0].Leaf.RawTime++ }, ErrProof},
		"another proof":   {func(b *Bundle) { b.Events[1].Hashes[0][0] ^= 1 }, ErrProof},
		"events mixed up": {func(b *Bundle) { slices.Reverse(b.Events) }, ErrFormat},
		"an event twice":  {func(b *Bundle) { b.Events = append(b.Events, b.Events[len(b.Events)-1]) }, ErrFormat},
		"no event":        {func(b *Bundle) { b.Events = nil }, ErrVerdict},
	} {
		b := l.bundle(conflict, c.change)
		got, err := ParseBundle(b.Text())
		if err == nil {
			_, err = got.Check(nil, l.key.Public())
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := l.bundle(first)
	_, other := newKey(t, origin)
	if _, err := b.Check(nil, other.Public()); !errors.Is(err, ErrSignature) {
		t.Errorf("another key: %v", err)
	}
	signed, err := SignStatement(l.bundle(conflict).Receipt.Statement, l.key)
	must(t, err)
	b.Statements = [][]byte{signed}
	if _, err := b.Check(nil, l.key.Public()); !errors.Is(err, ErrFormat) {
		t.Errorf("a statement of a later event: %v", err)
	}
}

// lie changes one byte of the row, from the end if at is negative, and keeps the digests right.
func (s *Statement) lie(at int, to byte) {
	s.Row = slices.Clone(s.Row)
	if at < 0 {
		s.Row[len(s.Row)+at] ^= to
	} else {
		s.Row[at] = to
	}
	s.State = projections.NextDigest(s.Before, s.Row)
}

// TestBundleOfAnotherLedger: the events are those of the ledger that signed, also after a restoration.
func TestBundleOfAnotherLedger(t *testing.T) {
	l := newJudged(t, false)
	seq := l.submit(5, "2.0")
	digest := make([]byte, 32)
	l.add(event.Restored, &event.RestoredV1{FromClusterId: strings.TrimPrefix(origin, "recount/"), ClusterId: "second",
		Seq: seq, Index: 9, Log: digest, State: digest, Control: digest, Generation: 1, Backup: "b", BackupSeq: seq, Node: "n1"})
	if _, err := l.bundle(seq).Check(nil, l.key.Public()); !errors.Is(err, ErrVerdict) {
		t.Errorf("under the origin from before the restoration: %v", err)
	}
}

// TestEveryBitOfABundle: no changed bit of a bundle is accepted, nor more or less text.
func TestEveryBitOfABundle(t *testing.T) {
	l := newJudged(t, false)
	l.submit(5, "2.0")
	text := l.bundle(l.submit(5, "2.1")).Text()
	check := func(b []byte) error {
		got, err := ParseBundle(b)
		if err == nil {
			_, err = got.Check(nil, l.key.Public())
		}
		return err
	}
	must(t, check(text))
	changed := bytes.Clone(text)
	for i := range 8 * len(text) {
		changed[i/8] ^= 1 << (i % 8)
		if err := check(changed); !errors.Is(err, ErrFormat) && !errors.Is(err, ErrSignature) && !errors.Is(err, ErrProof) {
			t.Errorf("bit %d: %v", i, err)
		}
		changed[i/8] ^= 1 << (i % 8)
	}
	for _, b := range [][]byte{text[:len(text)-1], text[1:], append(bytes.Clone(text), '\n'), nil} {
		if err := check(b); !errors.Is(err, ErrFormat) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
	t.Logf("%d changed bits of %d bytes refused", 8*len(text), len(text))
}

// FuzzBundle: what is read is written as the same bytes.
func FuzzBundle(f *testing.F) {
	l := newJudged(f, false)
	l.submit(5, "2.0")
	f.Add(l.bundle(l.submit(5, "2.1")).Text())
	f.Add([]byte(bundleTitle + "\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := ParseBundle(b); err == nil && !bytes.Equal(got.Text(), b) {
			t.Errorf("%q is written as %q", b, got.Text())
		}
	})
}
