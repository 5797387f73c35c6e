package projections

import (
	"bytes"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// FuzzOutcomeRow: whatever decodes encodes to the same bytes.
func FuzzOutcomeRow(f *testing.F) {
	l := newLedger(f, verify.DefaultPolicy(), "one")
	s := spec{shard: "alpha", root: "a", epoch: 3, dhat: "2.0", slope: 2}
	for _, b := range [][]byte{s.body("one"), s.body("forger"), spec{shard: "alpha", root: "b", epoch: 1, dhat: "2.9", slope: 2}.body("one"), []byte("{")} {
		r := l.send(b)
		row, err := l.db.Get(rowKey(r.Seq))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(r.Seq, row)
	}
	f.Fuzz(func(t *testing.T, seq uint64, b []byte) {
		r, core, err := decodeRow(seq, b)
		if err != nil {
			return
		}
		again := r.appendCore(nil)
		if len(again) != core || !bytes.Equal(r.appendTail(again), b) {
			t.Fatalf("%x\n%x", b, again)
		}
	})
}

// FuzzStateRows does the same for id, shard and epoch rows.
func FuzzStateRows(f *testing.F) {
	f.Add((&idRow{first: 1, judged: 2, judgedAt: 3, outcome: verify.Accepted, accepted: true, key: "k"}).append(nil))
	f.Add((&shardRow{hasMark: true, mark: 9, markSeq: 3, top: 9, first: 1, last: 4}).append(nil))
	f.Add((&epochRow{seq: 5}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if w, err := decodeIDRow(b); err == nil && !bytes.Equal(w.append(nil), b) {
			t.Fatalf("id row %x", b)
		}
		if w, err := decodeShardRow(b); err == nil && !bytes.Equal(w.append(nil), b) {
			t.Fatalf("shard row %x", b)
		}
		if w, err := decodeEpochRow(b); err == nil && !bytes.Equal(w.append(nil), b) {
			t.Fatalf("epoch row %x", b)
		}
	})
}

// FuzzOperatorRow: decoding refuses or succeeds, never panics.
func FuzzOperatorRow(f *testing.F) {
	l := newLedger(f, verify.DefaultPolicy(), "one")
	for i, k := range []event.Kind{event.Genesis, event.KeyAdded} {
		key := operatorKey(k, uint64(i+1))
		row, err := l.ctrlDB.Get(key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(key, row)
	}
	f.Fuzz(func(t *testing.T, k, v []byte) {
		if o, err := decodeOperator(k, v); err == nil && o.msg == nil {
			t.Fatal("no message")
		}
	})
}
