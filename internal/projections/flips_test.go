package projections

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// flipped is a ledger whose second generation, under a tighter policy, judges every second submission otherwise. It
// returns the store of the second generation with its flips.
func flipped(t *testing.T) (l *ledger, db *MemStore, flips []Flip) {
	l = newLedger(t, verify.DefaultPolicy(), "one")
	for i := range int64(8) {
		s := spec{shard: "alpha", root: "a", epoch: i + 1, dhat: []string{"2.0", "2.01"}[i%2], slope: 2}
		l.send(s.body("one"))
	}
	tight := verify.DefaultPolicy()
	tight.Params.TolD = 1
	number := l.start(l.publish(tight), 1)
	_, db = l.second(number)
	if flips = l.flips(number, db); len(flips) != 4 || flips[0].Seq != 4 || flips[3].Seq != 10 {
		t.Fatalf("%d flips: %+v", len(flips), flips)
	}
	return l, db, flips
}

// TestDiffPosition writes and reads the position of a comparison, and refuses a damaged one.
func TestDiffPosition(t *testing.T) {
	db := NewMemStore()
	if p, err := ReadDiffPosition(db); err != nil || p != (DiffPosition{}) {
		t.Errorf("without a row: %+v %v", p, err)
	}
	want := DiffPosition{Against: 3, Seq: 1 << 40, Flips: 1 << 33, Digest: [32]byte{1, 31: 2}}
	WriteDiffPosition(db, want)
	if p, err := ReadDiffPosition(db); err != nil || p != want {
		t.Errorf("%+v %v", p, err)
	}
	row, _ := db.Get([]byte{spaceDiff})
	for name, b := range map[string][]byte{"short": row[:len(row)-1], "long": append(bytes.Clone(row), 0),
		"another version": append([]byte{rowVersion + 1}, row[1:]...),
		"empty":           {}} {
		db.Set([]byte{spaceDiff}, b)
		if _, err := ReadDiffPosition(db); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	lo, hi := FlipRange()
	if key := numKey(spaceFlip, 1<<63); bytes.Compare(lo, key) > 0 || bytes.Compare(key, hi) >= 0 ||
		bytes.Compare([]byte{spaceDiff}, lo) >= 0 {
		t.Errorf("flips have the keys %x to %x", lo, hi)
	}
}

// TestFlipsByRange reads flips in ranges that end at, before and behind one.
func TestFlipsByRange(t *testing.T) {
	_, db, flips := flipped(t)
	for _, c := range []struct {
		from, to uint64
		want     []uint64
	}{{0, 99, []uint64{4, 6, 8, 10}}, {4, 4, []uint64{4}}, {5, 5, nil}, {5, 8, []uint64{6, 8}}, {5, 7,
		[]uint64{6}}, {11, 99, nil}} {
		var got []uint64
		err := EachFlip(db, c.from, c.to, func(f *Flip) bool {
			got = append(got, f.Seq)
			return true
		})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("events %d to %d: %v %v, want %v", c.from, c.to, got, err, c.want)
		}
	}
	calls := 0
	if err := EachFlip(db, 0, 99, func(*Flip) bool { calls++; return false }); err != nil || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
	for seq, want := range map[uint64][32]byte{0: {}, 3: {}, 4: flips[0].Digest, 5: flips[0].Digest,
		9: flips[2].Digest, 10: flips[3].Digest, 99: flips[3].Digest} {
		if d, err := FlipDigestAt(db, seq); err != nil || d != want {
			t.Errorf("digest up to event %d: %x %v", seq, d, err)
		}
	}
}

// TestCheckFlips resumes the check behind any flip.
func TestCheckFlips(t *testing.T) {
	_, db, flips := flipped(t)
	before := [32]byte{}
	for i := range flips {
		after := uint64(0)
		if i > 0 {
			after, before = flips[i-1].Seq, flips[i-1].Digest
		}
		d, n, err := CheckFlips(db, after, 99, before)
		if err != nil || d != flips[3].Digest || n != uint64(len(flips)-i) {
			t.Errorf("behind event %d: %x, %d flips, %v", after, d, n, err)
		}
	}
	if d, n, err := CheckFlips(db, 4, 8, flips[0].Digest); err != nil || d != flips[2].Digest || n != 2 {
		t.Errorf("up to event 8: %x, %d flips, %v", d, n, err)
	}
	if d, n, err := CheckFlips(db, 10, 99, flips[3].Digest); err != nil || d != flips[3].Digest || n != 0 {
		t.Errorf("behind the last: %x, %d flips, %v", d, n, err)
	}
	if _, _, err := CheckFlips(db, 4, 99, flips[1].Digest); !errors.Is(err, ErrCorrupt) {
		t.Errorf("from the digest of another flip: %v", err)
	}
}

// TestCheckFlipsFinds a flip that is missing, changed, moved, added or unreadable.
func TestCheckFlipsFinds(t *testing.T) {
	_, _, flips := flipped(t)
	key := func(i int) []byte { return numKey(spaceFlip, flips[i].Seq) }
	for name, damage := range map[string]func(db *MemStore){
		"missing first": func(db *MemStore) { db.Delete(key(0)) },
		"missing":       func(db *MemStore) { db.Delete(key(1)) },
		"moved": func(db *MemStore) {
			f := flips[1]
			db.Delete(key(1))
			f.Seq++
			SetFlip(db, &f)
		},
		"changed": func(db *MemStore) {
			f := flips[1]
			f.Direct = !f.Direct
			SetFlip(db, &f)
		},
		"another cause": func(db *MemStore) {
			f := flips[2]
			f.CausedBySeq = 3
			SetFlip(db, &f)
		},
		"another policy": func(db *MemStore) {
			f := flips[2]
			f.New.Policy[0]++
			SetFlip(db, &f)
		},
		"added":      func(db *MemStore) { f := flips[0]; f.Seq = 7; SetFlip(db, &f) },
		"unreadable": func(db *MemStore) { db.Set(key(2), []byte{rowVersion}) },
	} {
		_, broken, _ := flipped(t)
		damage(broken)
		if _, _, err := CheckFlips(broken, 0, 99, [32]byte{}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFlipRowDecodes refuses every row that is cut, longer or of another version.
func TestFlipRowDecodes(t *testing.T) {
	_, _, flips := flipped(t)
	row := flips[0].Append(nil)
	if f, err := DecodeFlip(4, row); err != nil || !reflect.DeepEqual(f.New.Reasons, flips[0].New.Reasons) ||
		f.Old.Policy != flips[0].Old.Policy {
		t.Errorf("%+v %v", f, err)
	}
	for n := range row {
		if _, err := DecodeFlip(4, row[:n]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%d of %d bytes: %v", n, len(row), err)
		}
	}
	for name, b := range map[string][]byte{
		"longer":               append(bytes.Clone(row), 0),
		"another version":      append([]byte{rowVersion + 1}, row[1:]...),
		"direct neither":       slices.Concat(row[:1], []byte{2}, row[2:]),
		"an endless first row": slices.Concat(row[:42], []byte{0xff, 0xff, 0xff, 0xff}, row[46:]),
	} {
		if _, err := DecodeFlip(4, b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	db := NewMemStore()
	db.Set(numKey(spaceFlip, 4), make([]byte, 31))
	if _, err := FlipDigestAt(db, 4); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a row without a digest: %v", err)
	}
}

// TestFlipDigestLeavesOutSentences: the wording of a reason may change with the release, and everything else counts.
func TestFlipDigestLeavesOutSentences(t *testing.T) {
	_, _, flips := flipped(t)
	digest := func(change func(f *Flip)) [32]byte {
		f := flips[1]
		change(&f)
		f.Chain(flips[0].Digest)
		return f.Digest
	}
	if digest(func(f *Flip) { f.Old.Detail, f.New.Detail = "in other words", "and here" }) != flips[1].Digest {
		t.Error("the digest depends on the wording")
	}
	for name, change := range map[string]func(f *Flip){
		"seq": func(f *Flip) { f.Seq++ }, "direct": func(f *Flip) { f.Direct = !f.Direct },
		"behind":      func(f *Flip) { f.CausedBySeq++ },
		"old policy":  func(f *Flip) { f.Old.Policy[31]++ },
		"new outcome": func(f *Flip) { f.New.Outcome = verify.Refused },
		"old flag":    func(f *Flip) { f.Old.Accepted = !f.Old.Accepted },
		"new budget":  func(f *Flip) { f.New.Budget++ },
	} {
		if digest(change) == flips[1].Digest {
			t.Errorf("the digest does not cover the %s", name)
		}
	}
}

// TestDiffDigest covers every part of a comparison.
func TestDiffDigest(t *testing.T) {
	a, b, c := [32]byte{1}, [32]byte{2}, [32]byte{3}
	seen := map[[32]byte]bool{}
	for _, d := range [][32]byte{DiffDigest(1, 2, 9, a, b, c), DiffDigest(2, 1, 9, a, b, c), DiffDigest(1, 3,
		9, a, b, c), DiffDigest(1, 2, 8, a, b, c),
		DiffDigest(1, 2, 9, b, a, c), DiffDigest(1, 2, 9, a, c, b), DiffDigest(1, 2, 9, a, b, a)} {
		seen[d] = true
	}
	if len(seen) != 7 {
		t.Errorf("seven comparisons have %d digests", len(seen))
	}
}

// TestFlipSums: a copy of the sums does not grow with them.
func TestFlipSums(t *testing.T) {
	_, _, flips := flipped(t)
	sums := NewFlipSums()
	sums.Add(&flips[0])
	early := sums.Clone()
	indirect := flips[1]
	indirect.Direct = false
	sums.Add(&indirect)
	if early.Flips != 1 || early.Direct != 1 || early.Indirect != 0 || early.ByShard["alpha"] != 1 ||
		early.ByOutcome["accepted->escalated"] != 1 ||
		early.First != 4 || early.Last != 4 {
		t.Errorf("the copy: %+v", early)
	}
	if sums.Flips != 2 || sums.Direct != 1 || sums.Indirect != 1 || sums.ByShard["alpha"] != 2 ||
		sums.ByKey[flips[0].New.KeyID] != 2 ||
		sums.ByReason[flips[0].New.ReasonCode()] != 2 || sums.First != 4 || sums.Last != 6 {
		t.Errorf("%+v", sums)
	}
}

// TestDifferingIsWhole compares only ranges that both generations have in full.
func TestDifferingIsWhole(t *testing.T) {
	l, db, _ := flipped(t)
	for _, c := range []struct {
		from, to uint64
		want     []uint64
	}{{1, l.seq, []uint64{4, 6, 8, 10}}, {4, 4, []uint64{4}}, {5, 5, nil}, {5, 6, []uint64{6}}} {
		if got, err := Differing(l.db, db, c.from, c.to); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("events %d to %d: %v %v", c.from, c.to, got, err)
		}
	}
	if _, err := Differing(l.db, db, 1, l.seq+1); !errors.Is(err, ErrCorrupt) {
		t.Errorf("beyond the end of both: %v", err)
	}
	for _, seq := range []uint64{5, l.seq} {
		row, _ := db.Get(rowKey(seq))
		db.Delete(rowKey(seq))
		for _, pair := range [][2]Store{{l.db, db}, {db, l.db}, {db, db}} {
			if _, err := Differing(pair[0], pair[1], 1, l.seq); !errors.Is(err, ErrCorrupt) {
				t.Errorf("without the row of event %d: %v", seq, err)
			}
		}
		db.Set(rowKey(seq), row)
	}
	for name, row := range map[string][]byte{"cut": appendHead(nil, event.Submission, 0), "no head": {rowVersion}} {
		db.Set(rowKey(5), row)
		if _, err := Differing(l.db, db, 1, l.seq); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
