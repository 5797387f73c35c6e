package projections

import (
	"bytes"
	"errors"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestDigestCoversEveryRow: a fold that goes on from a damaged row says so in its digest as soon as the row is used, also where
// no outcome depends on it.
func TestDigestCoversEveryRow(t *testing.T) {
	for name, damage := range map[string]func(db *MemStore){
		"a counter of a shard": func(db *MemStore) {
			w, err := read(db, textKey(spaceShard, "alpha"), decodeShardRow)
			if err != nil {
				t.Fatal(err)
			}
			w.counts[0]++
			db.Set(textKey(spaceShard, "alpha"), w.append(nil))
		},
		"the first time of a shard": func(db *MemStore) {
			w, err := read(db, textKey(spaceShard, "alpha"), decodeShardRow)
			if err != nil {
				t.Fatal(err)
			}
			w.firstAt++
			db.Set(textKey(spaceShard, "alpha"), w.append(nil))
		},
		"the number of a key, which its index hangs on": func(db *MemStore) {
			key := textKey(spaceKey, mustHMAC("one").ID)
			row, _ := db.Get(key)
			row = bytes.Clone(row)
			row[len(row)-1]++
			db.Set(key, row)
		},
		"nothing": func(*MemStore) {},
	} {
		l := newLedger(t, verify.DefaultPolicy(), "one")
		s := spec{shard: "alpha", root: "a", epoch: 1, dhat: "2.0", slope: 2}
		l.send(s.body("one"))
		db := NewMemStore()
		for k, v := range l.db.rows {
			db.Set([]byte(k), v)
		}
		damage(db)
		other, err := LoadGeneration(1, db)
		if err != nil {
			t.Fatal(err)
		}
		s.epoch = 2
		good := l.send(s.body("one"))
		got, err := other.Fold(db, &l.items[len(l.items)-1], l.ctrl.For(1))
		if err != nil {
			t.Fatal(err)
		}
		good.wrote, got.wrote = [32]byte{}, [32]byte{}
		if !bytes.Equal(good.appendCore(nil), got.appendCore(nil)) {
			t.Errorf("%s: the outcome shows it already", name)
		}
		_, a := l.gen.Digest()
		if _, b := other.Digest(); (a == b) != (name == "nothing") {
			t.Errorf("%s: digests %x and %x", name, a, b)
		}
	}
}

// TestUnknownFactsStop: signature facts that are neither zero nor known stop the fold, which says so, and write nothing.
func TestUnknownFactsStop(t *testing.T) {
	id := mustHMAC("one").ID
	for _, f := range []event.Facts{
		{KeyID: id, Alg: 1, Profile: 1, Mode: 4}, {KeyID: id, Alg: 1, Profile: 10, Mode: 1}, {KeyID: id, Alg: 3, Profile: 1, Mode: 1},
		{KeyID: id, Alg: 1, Profile: 2, Mode: 3}, {KeyID: id}, {Alg: 1, Profile: 1, Mode: 1}, {Mode: 1},
	} {
		l := newLedger(t, verify.DefaultPolicy(), "one")
		sub := event.Sub{Body: spec{shard: "alpha", root: "a", epoch: 1, dhat: "2.0", slope: 2}.body("one"), Facts: f}
		it := Item{Seq: l.seq + 1, LogTime: l.now, Kind: event.Submission, Event: event.Event{Kind: event.Submission, Payload: sub.Payload()}}
		before := l.db.Len()
		if _, err := l.gen.Fold(l.db, &it, l.ctrl.For(1)); !errors.Is(err, ErrNewer) {
			t.Errorf("%+v: %v", f, err)
		}
		if l.db.Len() != before {
			t.Errorf("%+v: rows were written", f)
		}
	}
}
