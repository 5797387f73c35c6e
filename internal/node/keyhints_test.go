package node

import (
	"crypto/ed25519"
	"fmt"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/sample"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/sign"
)

// crowd returns a set of Ed25519 keys, and a record of each key in a shard of its own under pcs/1.
func crowd(t testing.TB, size int) (*verify.KeySet, []*pcs.Record) {
	t.Helper()
	keys, records := make([]verify.Key, size), make([]*pcs.Record, size)
	for i := range size {
		seed := make([]byte, ed25519.SeedSize)
		seed[0] = byte(i)
		private := ed25519.NewKeyFromSeed(seed)
		public, _ := private.Public().(ed25519.PublicKey)
		key, err := verify.NewEd25519Key(public)
		if err != nil {
			t.Fatal(err)
		}
		signing, err := sign.NewEd25519Key(private)
		if err != nil {
			t.Fatal(err)
		}
		maker, err := sample.With(signing, sign.PCS1)
		if err != nil {
			t.Fatal(err)
		}
		body, err := maker.Signed(fmt.Sprintf("shard-%d", i), 1)
		if err != nil {
			t.Fatal(err)
		}
		keys[i], records[i] = key, pcs.Decode(body)
	}
	return verify.NewKeySet(keys), records
}

// TestHintsByShard: when many keys sign in turn, the search begins with the key of the shard. A key that is gone is no hint.
func TestHintsByShard(t *testing.T) {
	keys, records := crowd(t, 12)
	h := &heldKeys{}
	shards := map[any]int{} // of a slot
	for _, rec := range records {
		shards[h.hints.slot(rec.ShardID)]++
	}
	for round := range 2 {
		for i, rec := range records {
			alone := shards[h.hints.slot(rec.ShardID)] == 1
			if hint := h.hints.of(rec.ShardID); round == 1 && alone && hint.KeyID != keys.Keys()[i].ID {
				t.Errorf("the search for the key of %s begins with %q, not %q", rec.ShardID, hint.KeyID, keys.Keys()[i].ID)
			}
			if facts := h.CheckSignature(keys, rec); facts.KeyID != keys.Keys()[i].ID {
				t.Errorf("%s: %+v", rec.ShardID, facts)
			}
		}
	}
	rest := verify.NewKeySet(keys.Keys()[1:])
	if facts := h.CheckSignature(rest, records[0]); facts.Valid() {
		t.Errorf("verified by a key that is gone: %+v", facts)
	}
	stranger := records[1]
	stranger.ShardID = "no record before"
	if facts := h.CheckSignature(rest, stranger); facts.Valid() {
		t.Errorf("a record of another shard than was signed: %+v", facts)
	}
}

// BenchmarkKeysInTurn finds the key of records that many keys sign in turn (docs/sizing.md).
func BenchmarkKeysInTurn(b *testing.B) {
	for _, size := range []int{1, 10, 100} {
		keys, records := crowd(b, size)
		h := &heldKeys{}
		for _, rec := range records {
			h.CheckSignature(keys, rec)
		}
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				h.CheckSignature(keys, records[i%size])
			}
		})
	}
}
