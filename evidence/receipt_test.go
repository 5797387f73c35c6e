package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	foreignproof "github.com/transparency-dev/formats/proof"

	"github.com/recount-ledger/recount/internal/projections"
)

// acceptedRow is the outcome row of event seq of a ledger, as docs/formats-projections.md describes it.
func acceptedRow(logTime int64) []byte {
	row := binary.BigEndian.AppendUint64([]byte{2, 0, 2}, uint64(logTime))
	row = append(row, 0, 1|16|128, 1, 0) // accepted, identity, occupied; outcome accepted, no reasons
	row = append(row, 0, 1)              // received at log time, under the policy of event 1
	row = append(append(row, 6), "hmac-1\x01\x01\x01"...)
	id, root := sha256.Sum256([]byte("id")), sha256.Sum256([]byte("root"))
	row = append(append(append(row, id[:]...), root[:]...), 7) // epoch 7
	row = append(append(row, 9), "shard-001"...)
	row = append(row, 1, 1, 0) // first and judged by itself, caused by none
	return append(row, bytes.Repeat([]byte{5}, 32)...)
}

func sampleReceipt(t testing.TB, change ...func(*Statement, *Proof)) (Receipt, SecretKey) {
	t.Helper()
	p, leaf, k := sampleProof(t)
	s := Statement{Origin: origin, Generation: 1, Policy: sha256.Sum256([]byte("policy")), Leaf: leaf,
		Row: acceptedRow(leaf.RawTime), Before: sha256.Sum256([]byte("before"))}
	s.State = projections.NextDigest(s.Before, s.Row)
	for _, f := range change {
		f(&s, &p)
	}
	signed, err := SignStatement(s, k)
	must(t, err)
	return Receipt{Statement: s, Signed: signed, Proof: p}, k
}

// TestReceipt: a receipt goes there and back, and says what its row says.
func TestReceipt(t *testing.T) {
	r, k := sampleReceipt(t)
	got, err := ParseReceipt(r.Text())
	must(t, err)
	if !bytes.Equal(got.Text(), r.Text()) || got.Statement.Text() != r.Statement.Text() {
		t.Errorf("read as\n%s", got.Text())
	}
	c, err := got.Check(k.Public())
	must(t, err)
	o := c.Outcome
	if o.Seq != 42 || !o.Accepted || o.ShardID != "shard-001" || o.Epoch != 7 || o.KeyID != "hmac-1" || o.Generation != 1 ||
		o.Policy != r.Policy || c.Checkpoint.Size != 99 || len(c.StatementBy) != 1 || len(c.CheckpointBy) != 1 {
		t.Errorf("%+v", c)
	}
	var theirs foreignproof.TLogProof
	_, proof, _ := bytes.Cut(r.Text(), []byte("\n\nc2sp.org/"))
	must(t, theirs.Unmarshal(append([]byte("c2sp.org/"), proof...)))
	if theirs.Index != 41 {
		t.Errorf("another library reads the proof as %+v", theirs)
	}
}

// TestEveryBitOfAReceipt: no changed bit, missing byte or further byte of a receipt is accepted.
func TestEveryBitOfAReceipt(t *testing.T) {
	r, k := sampleReceipt(t)
	tried := refusesEveryChange(t, r.Text(), func(b []byte) error {
		got, err := ParseReceipt(b)
		if err == nil {
			_, err = got.Check(k.Public())
		}
		return err
	})
	t.Logf("%d changes of %d bytes refused", tried, len(r.Text()))
}

// TestLyingReceipts: what a ledger signed is refused when its parts do not fit together.
func TestLyingReceipts(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Statement, *Proof)
		want   error
	}{
		"another leaf":     {func(s *Statement, _ *Proof) { s.Leaf.PayloadSHA256[0] ^= 1 }, ErrProof},
		"another place":    {func(s *Statement, _ *Proof) { s.Leaf = leafNumber(42) }, ErrProof},
		"no submission":    {func(s *Statement, _ *Proof) { s.Leaf.Kind = 4 }, ErrFormat},
		"another digest":   {func(s *Statement, _ *Proof) { s.State[0] ^= 1 }, ErrProof},
		"another proof":    {func(_ *Statement, p *Proof) { p.Hashes[0][0] ^= 1 }, ErrProof},
		"a longer proof":   {func(_ *Statement, p *Proof) { p.Hashes = append(p.Hashes, [32]byte{}) }, ErrProof},
		"no row":           {withRow(nil), ErrFormat},
		"a row with more":  {withRow(append(acceptedRow(0), 0)), ErrFormat},
		"an unknown flag":  {withRow(changed(acceptedRow(0), 11, 0x80)), ErrFormat},
		"another version":  {withRow(changed(acceptedRow(0), 0, 3)), ErrFormat},
		"an unknown state": {withRow(changed(acceptedRow(0), 13, 9)), ErrFormat},
	} {
		r, k := sampleReceipt(t, c.change)
		got, err := ParseReceipt(r.Text())
		if err == nil {
			_, err = got.Check(k.Public())
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, k := sampleReceipt(t)
	_, other := newKey(t, origin)
	_, foreign := newKey(t, "recount/other")
	if _, err := r.Check(other.Public()); !errors.Is(err, ErrSignature) {
		t.Errorf("another key: %v", err)
	}
	if _, err := r.Check(foreign.Public()); !errors.Is(err, ErrSignature) {
		t.Errorf("a key of another ledger: %v", err)
	}
	msg, err := SignCheckpoint(Checkpoint{Origin: "recount/other", Size: 99, Root: [32]byte(foreignTree(99).Hash())}, foreign)
	must(t, err)
	r.Proof.Checkpoint = msg
	if _, err := r.Check(k.Public(), foreign.Public()); !errors.Is(err, ErrSignature) {
		t.Errorf("a checkpoint of another ledger: %v", err)
	}
}

func withRow(row []byte) func(*Statement, *Proof) {
	return func(s *Statement, _ *Proof) { s.Row, s.State = row, projections.NextDigest(s.Before, row) }
}

func changed(b []byte, at int, to byte) []byte {
	out := slices.Clone(b)
	out[at] = to
	return out
}

// TestSignedForAnotherUse: a statement is no checkpoint, and a checkpoint no statement, though one key signs both.
func TestSignedForAnotherUse(t *testing.T) {
	r, k := sampleReceipt(t)
	if _, _, err := OpenCheckpoint(r.Signed, k.Public()); !errors.Is(err, ErrFormat) {
		t.Errorf("a statement as a checkpoint: %v", err)
	}
	swapped := append(slices.Concat(r.Proof.Checkpoint, []byte("\n")), r.Proof.Text()...)
	if _, err := ParseReceipt(swapped); !errors.Is(err, ErrFormat) {
		t.Errorf("a checkpoint as a statement: %v", err)
	}
}

// FuzzReceipt: what is read is written as the same bytes.
func FuzzReceipt(f *testing.F) {
	r, _ := sampleReceipt(f)
	f.Add(r.Text())
	f.Add([]byte(strings.Repeat("\n\n"+proofTitle+"\n", 2)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseReceipt(b); err == nil && !bytes.Equal(r.Text(), b) {
			t.Errorf("%q is written as %q", b, r.Text())
		}
	})
}
