package evidence

import (
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
)

// FuzzStatement: what is read is written as the same text.
func FuzzStatement(f *testing.F) {
	r, _ := sampleReceipt(f)
	f.Add(r.Statement.Text())
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := ParseStatement(text); err == nil && s.Text() != text {
			t.Errorf("%q is written as %q", text, s.Text())
		}
	})
}

// FuzzJudge: a ledger that signs whatever it likes, with an event of any kind and payload and any outcome row, ends no
// check otherwise than with a verdict or one of the errors.
func FuzzJudge(f *testing.F) {
	k, err := ParseSecretKey(fuzzKey)
	must(f, err)
	l := newJudged(f, false)
	l.key = k
	first := l.submit(5, "2.0")
	conflict := l.submit(5, "2.1")
	for _, seq := range []uint64{first, conflict} {
		row := l.bundle(seq).Receipt.Row
		for i, it := range l.items {
			f.Add(uint8(i), uint8(seq), uint16(it.Kind), it.Event.Payload, row)
		}
	}
	for _, kind := range event.Kinds() {
		f.Add(uint8(2), uint8(conflict), uint16(kind), make([]byte, event.SaltSize), l.bundle(conflict).Receipt.Row)
	}
	f.Fuzz(func(t *testing.T, at, about uint8, kind uint16, payload, row []byte) {
		own, other := first, conflict
		if about%2 == 0 {
			own, other = conflict, first
		}
		in := *l
		in.t = t
		b := in.signed(k, int(at)%len(l.items), event.Kind(kind), payload, row, own, other)
		if _, err := ParseBundle(b.Text()); err != nil {
			t.Fatalf("%v\n%s", err, b.Text())
		}
		_, err := b.Check([]byte(hmacSecret), k.Public())
		if err != nil && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrSignature) && !errors.Is(err, ErrProof) &&
			!errors.Is(err, ErrVerdict) {
			t.Errorf("%v has no kind", err)
		}
	})
}

// signed makes a bundle of the events of the ledger, of which the one at an index has another kind and payload. It has
// signed statements of two events: the row of own is given, and that of other is the true one.
func (l *judged) signed(k SecretKey, at int, kind event.Kind, payload, row []byte, own, other uint64) (b Bundle) {
	tree, leaves := testonly.New(rfc6962.DefaultHasher), make([]Leaf, len(l.items))
	for i, it := range l.items {
		leaves[i] = it.Leaf()
		e := Event{Payload: it.Event.Payload}
		if i == at {
			e.Payload, leaves[i].Kind, leaves[i].PayloadSHA256 = payload, kind, sha256.Sum256(payload)
		}
		e.Leaf = leaves[i]
		tree.AppendData(e.Leaf.Append(nil))
		b.Events = append(b.Events, e)
	}
	for i := range b.Events {
		hashes, err := tree.InclusionProof(uint64(i), tree.Size())
		must(l.t, err)
		b.Events[i].Hashes = fixed(hashes)
	}
	state := func(seq uint64, row []byte) Statement {
		s := l.trueStatement(seq)
		s.Leaf = leaves[seq-1]
		if row != nil {
			s.Row, s.State = row, projections.NextDigest(s.Before, row)
		}
		return s
	}
	b.Receipt.Statement = state(own, append([]byte{}, row...))
	var err error
	b.Receipt.Signed, err = SignStatement(b.Receipt.Statement, k)
	must(l.t, err)
	earlier, err := SignStatement(state(other, nil), k)
	must(l.t, err)
	b.Statements = [][]byte{earlier}
	note, err := SignCheckpoint(Checkpoint{Origin: origin, Size: tree.Size(), Root: [32]byte(tree.Hash())}, k)
	must(l.t, err)
	b.Receipt.Proof = Proof{Index: own - 1, Hashes: b.Events[own-1].Hashes, Checkpoint: note}
	return b
}

// trueStatement is the statement of an event as the ledger really folded it.
func (l *judged) trueStatement(seq uint64) Statement {
	r, err := projections.Row(l.rows, seq)
	must(l.t, err)
	s, err := projections.State(l.rows, r.PCSID, seq)
	must(l.t, err)
	return l.statement(s)
}
