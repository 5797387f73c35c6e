package projections

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// sampled is a ledger with a row of every kind: 300 events, a conflict with its evidence, an escalation.
func sampled(t *testing.T) (*ledger, spec) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	s := spec{shard: "alpha", root: "a", epoch: 400, dhat: "2.0", slope: 2}
	l.send(s.body("one"))
	for l.seq < 300 {
		l.message(event.RefusalsDropped, &event.RefusalsDroppedV1{Count: l.seq})
	}
	other := s
	other.dhat = "2.9"
	l.send(other.body("one"))
	return l, s
}

// next is a submission of body as the next event.
func (l *ledger) next(body []byte) *Item {
	f := l.ingress(body)
	sub := event.Sub{Body: body, Facts: event.Facts{KeyID: f.KeyID, Alg: uint8(f.Alg),
		Profile: uint8(f.Profile), Mode: uint8(f.Mode)}}
	it := &Item{Seq: l.seq + 1, LogTime: l.now, Kind: event.Submission}
	it.Event = event.Event{Kind: event.Submission, Payload: sub.Payload()}
	Prepare(it, l.keySet, l.ctrl.For(1))
	return it
}

// damages returns forms that a bad disk may give a row. None of them is a row.
func damages(row []byte) map[string][]byte {
	out := map[string][]byte{"empty": {}, "half": row[:len(row)/2], "cut": row[:len(row)-1],
		"longer": append(bytes.Clone(row), 1)}
	if len(row) > 0 {
		out["another version"] = append([]byte{row[0] + 1}, row[1:]...)
	}
	return out
}

// damagedRow is a row of a sampled ledger with the damages that nobody could notice, and its readers.
type damagedRow struct {
	name string
	key  []byte
	skip []string
	read map[string]func(db Store) error
}

func second(_ any, err error) error { return err }

// rowsOfEvents are the rows that an event has, one by one, and where the fold stands.
func rowsOfEvents(l *ledger, s spec) []damagedRow {
	replay := l.next(s.body("one"))
	return []damagedRow{
		{"outcome row", rowKey(3), []string{"cut", "longer"}, map[string]func(db Store) error{
			"row":      func(db Store) error { return second(Row(db, 3)) },
			"lookup":   func(db Store) error { return second(Lookup(db, idOf(s))) },
			"list":     func(db Store) error { return second(Audit(db, Query{})) },
			"digest":   func(db Store) error { return second(DigestAt(db, 9)) },
			"standing": func(db Store) error { return second(standingNow(db, replay.Prepared, l.now)) },
			"fold":     func(db Store) error { return second(Foretell(db, 1, replay, l.ctrl.For(1))) },
		}},
		{"operator row", rowKey(299), nil, map[string]func(db Store) error{
			"digest": func(db Store) error { return second(DigestAt(db, 300)) },
			"load":   func(db Store) error { return second(LoadGeneration(1, db)) },
		}},
		{"policy row", numKey(spacePolicy, 1), []string{"another version"}, map[string]func(db Store) error{
			"row": func(db Store) error { return second(Row(db, 3)) },
		}},
		{"position row", []byte{spacePosition}, nil, map[string]func(db Store) error{
			"position": func(db Store) error { return second(ReadPosition(db)) },
			"load":     func(db Store) error { return second(LoadGeneration(1, db)) },
			"list":     func(db Store) error { return second(Audit(db, Query{})) },
			"time":     func(db Store) error { return second(SeqAt(db, 5)) },
		}},
		{"checkpoint", digestKey(256), []string{"another version"}, map[string]func(db Store) error{
			"digest": func(db Store) error { return second(DigestAt(db, 256)) },
			"load":   func(db Store) error { return second(LoadGeneration(1, db)) },
		}},
	}
}

// rowsOfState are the rows that later events read: of ids, shards, epochs, keys and evidence.
func rowsOfState(t *testing.T, l *ledger, s spec) []damagedRow {
	id, err := parseHex(idOf(s))
	if err != nil {
		t.Fatal(err)
	}
	other, below := s, s
	other.dhat, below.root = "2.9", "b"
	replay, conflict := l.next(s.body("one")), l.next(other.body("one"))
	fold := func(it *Item) func(db Store) error {
		return func(db Store) error { return second(Foretell(db, 1, it, l.ctrl.For(1))) }
	}
	again := func(db Store) error {
		_, _, err := Again(db, conflict.Prepared, l.now, day)
		return err
	}
	return []damagedRow{
		{"id row", idKey(id), []string{"cut", "longer"}, map[string]func(db Store) error{
			"lookup":   func(db Store) error { return second(Lookup(db, idOf(s))) },
			"standing": func(db Store) error { return second(standingNow(db, replay.Prepared, l.now)) },
			"again":    again,
			"fold":     fold(replay),
		}},
		{"shard row", textKey(spaceShard, "alpha"), nil, map[string]func(db Store) error{
			"shard":  func(db Store) error { return second(Shard(db, "alpha")) },
			"shards": func(db Store) error { _, _, err := Shards(db, "", 9); return err },
			"fold":   fold(replay),
		}},
		{"epoch row", numKey(spaceEpoch, 3, 400), nil,
			map[string]func(db Store) error{"fold": fold(l.next(below.body("one")))}},
		{"key row", textKey(spaceKey, mustHMAC("one").ID), []string{"another version"},
			map[string]func(db Store) error{"fold": fold(l.next(below.body("one")))}},
		{"evidence row", conflict.Prepared.conflictKey(id), nil,
			map[string]func(db Store) error{"again": again, "fold": fold(conflict)}},
	}
}

// TestDamagedRows damages each kind of row and reads it in every way: the answer is an error, never another answer.
func TestDamagedRows(t *testing.T) {
	l, s := sampled(t)
	for _, c := range append(rowsOfEvents(l, s), rowsOfState(t, l, s)...) {
		whole, err := l.db.Get(c.key)
		if err != nil || whole == nil {
			t.Fatalf("no %s: %v", c.name, err)
		}
		for how, read := range c.read {
			if err := read(l.db); err != nil {
				t.Errorf("%s, whole, read by %s: %v", c.name, how, err)
			}
			for damage, row := range damages(whole) {
				if slices.Contains(c.skip, damage) {
					continue
				}
				if err := read(l.db.with(c.key, row)); !errors.Is(err, ErrCorrupt) {
					t.Errorf("%s, %s, read by %s: %v", c.name, damage, how, err)
				}
			}
		}
	}
}

// standingNow is Standing with the TTL of the default policy.
func standingNow(db Store, c *Prepared, now int64) (Result, error) {
	r, ok, err := Standing(db, c, now, verify.DefaultPolicy().Params.DedupTTL)
	if err == nil && !ok {
		err = fmt.Errorf("no standing judgement")
	}
	return r, err
}

// with is a copy of m with another row.
func (m *MemStore) with(key, row []byte) *MemStore {
	out := NewMemStore()
	out.rows, out.flat = maps.Clone(m.rows), false
	out.Set(key, row)
	return out
}

// TestMissingRows: a row that has to be there is missed.
func TestMissingRows(t *testing.T) {
	for name, c := range map[string]struct {
		key  []byte
		read func(db *MemStore) error
	}{
		"checkpoint":         {digestKey(256), func(db *MemStore) error { _, err := DigestAt(db, 300); return err }},
		"a row since":        {rowKey(270), func(db *MemStore) error { _, err := DigestAt(db, 300); return err }},
		"the first row":      {rowKey(257), func(db *MemStore) error { _, err := DigestAt(db, 300); return err }},
		"the last row":       {rowKey(301), func(db *MemStore) error { _, err := DigestAt(db, 301); return err }},
		"the last row, load": {rowKey(301), func(db *MemStore) error { _, err := LoadGeneration(1, db); return err }},
		"policy":             {numKey(spacePolicy, 1), func(db *MemStore) error { _, err := Row(db, 3); return err }},
		"judged":             {rowKey(3), func(db *MemStore) error { _, err := Row(db, 301); return err }},
		"a row in a search":  {rowKey(151), func(db *MemStore) error { _, err := SeqAt(db, 1<<62); return err }},
	} {
		l, _ := sampled(t)
		if err := c.read(l.db); err != nil {
			t.Errorf("%s, there: %v", name, err)
		}
		l.db.Delete(c.key)
		if err := c.read(l.db); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotFound) {
			t.Errorf("%s, missing: %v", name, err)
		}
	}
}

// TestPositionContradictsRows: a generation whose rows are not those of its position is not folded further.
func TestPositionContradictsRows(t *testing.T) {
	l, _ := sampled(t)
	p, err := ReadPosition(l.db)
	if err != nil {
		t.Fatal(err)
	}
	if g, err := LoadGeneration(1, l.db); err != nil || g.seq != p.Seq || g.digest != p.Digest ||
		g.LogTime() != p.LogTime || g.Number() != 1 {
		t.Fatalf("%+v %v", g, err)
	}
	wrong := p
	wrong.Digest[0]++
	WritePosition(l.db, wrong)
	if _, err := LoadGeneration(1, l.db); !errors.Is(err, ErrCorrupt) {
		t.Errorf("another digest: %v", err)
	}
	wrong = p
	wrong.Seq--
	WritePosition(l.db, wrong)
	if _, err := LoadGeneration(1, l.db); !errors.Is(err, ErrCorrupt) {
		t.Errorf("another event: %v", err)
	}
	wrong.Digest = [32]byte{} // of a release that did not write one
	WritePosition(l.db, wrong)
	if g, err := LoadGeneration(1, l.db); err != nil || g.seq != p.Seq-1 {
		t.Errorf("without a digest: %v", err)
	}
}

// TestDamagedControlRows: a control state with a damaged row is not loaded, and none of its readers goes on.
func TestDamagedControlRows(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	h := make([]byte, 32)
	l.message(event.StateDigest, &event.StateDigestV1{Seq: 1, Log: h, State: h, Control: h, Generation: 1})
	key := operatorKey(event.KeyAdded, 2)
	row, _ := l.ctrlDB.Get(key)
	changed := func(at int, to byte) []byte {
		b := bytes.Clone(row)
		b[at] = to
		return b
	}
	for name, b := range map[string][]byte{"empty": {}, "head only": row[:rowHead],
		"another version": changed(0, 9), "another kind": changed(2, byte(event.TermStart)),
		"a submission": changed(2, byte(event.Submission)), "no kind": changed(2, 99),
		"no effect": changed(rowHead, 0), "an unknown effect": changed(rowHead, 4),
		"no message": append(bytes.Clone(row[:operatorHead]), 0xff)} {
		db := l.ctrlDB.with(key, b)
		if _, err := EffectOf(db, event.KeyAdded, 2); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s, effect: %v", name, err)
		}
		if _, err := LoadControl(db); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s, load: %v", name, err)
		}
	}
	at := operatorKey(event.StateDigest, 3)
	l.ctrlDB.Set(at, []byte{rowVersion})
	if _, err := StateDigests(l.ctrlDB, 0, 0, 9); !errors.Is(err, ErrCorrupt) {
		t.Errorf("digests: %v", err)
	}
	if _, ok, err := LastStateDigest(l.ctrlDB, 1, 9); ok || !errors.Is(err, ErrCorrupt) {
		t.Errorf("the last digest: %v %v", ok, err)
	}
	l.ctrlDB.Delete(at)
	if _, err := decodeOperator(key[:10], row); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a short key: %v", err)
	}
	if _, err := decodeOperator(append([]byte{'x'}, key[1:]...), row); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a key of another space: %v", err)
	}
}

// TestRowsFitTheirDecoder: a node's name or a sentence that no row can hold is left out, and the row can be read.
func TestRowsFitTheirDecoder(t *testing.T) {
	for name, want := range map[string]string{"n1": "n1", string(bytes.Repeat([]byte("n"),
		maxNode)): string(bytes.Repeat([]byte("n"), maxNode)),
		string(bytes.Repeat([]byte("n"), maxNode+1)): "", "n\xff": "", "": ""} {
		if got := nodeName(name); got != want {
			t.Errorf("a name of %d bytes: %q", len(name), got)
		}
	}
	for n, want := range map[int]int{0: 0, maxDetail: maxDetail, maxDetail + 1: 0} {
		if got := clip(string(bytes.Repeat([]byte("x"), n))); len(got) != want {
			t.Errorf("a sentence of %d bytes: %d", n, len(got))
		}
	}
	r := Result{Seq: 9, Outcome: verify.Accepted, Reason: verify.ReasonOK,
		KeyID: string(bytes.Repeat([]byte("k"), maxKeyID)), PCSID: idOf(spec{root: "a"}),
		MerkleRoot: spec{root: "a"}.merkle(), ShardID: string(bytes.Repeat([]byte("s"), pcs.MaxShardID)),
		Epoch: 1<<63 - 1, HadMark: true, MarkBefore: 1<<63 - 1,
		Node: nodeName("n1"), JudgedSeq: 9, FirstSeq: 1, RuleReason: string(bytes.Repeat([]byte("r"),
			maxRule)), policySeq: 1,
		Facts:  verify.Facts{Alg: verify.HMACSHA256, Profile: pcs.F9, Mode: verify.Raw},
		Detail: string(bytes.Repeat([]byte("d"), maxDetail))}
	r.Facts.KeyID = r.KeyID
	row := func(r *Result) []byte { return r.appendTail(r.appendCore(nil)) }
	if got, _, err := decodeRow(9, row(&r)); err != nil || got.KeyID != r.KeyID || got.Epoch != r.Epoch ||
		got.MarkBefore != r.MarkBefore || got.Detail != r.Detail {
		t.Errorf("the largest row: %v", err)
	}
	for name, change := range map[string]func(r *Result){
		"a longer key":              func(r *Result) { r.KeyID += "k" },
		"a longer shard":            func(r *Result) { r.ShardID += "s" },
		"a longer rule":             func(r *Result) { r.RuleReason += "r" },
		"a longer sentence":         func(r *Result) { r.Detail += "d" },
		"no outcome":                func(r *Result) { r.Outcome = 0 },
		"an unknown outcome":        func(r *Result) { r.Outcome = verify.Conflict + 1 },
		"the reason ok":             func(r *Result) { r.Reasons = []verify.Reason{verify.ReasonOK} },
		"an unknown reason":         func(r *Result) { r.Reasons = []verify.Reason{verify.LastReason + 1} },
		"too many reasons":          func(r *Result) { r.Reasons = make([]verify.Reason, maxReasons+1) },
		"a later judgement":         func(r *Result) { r.JudgedSeq = 11 },
		"a negative epoch":          func(r *Result) { r.Epoch = -1 },
		"a negative mark":           func(r *Result) { r.MarkBefore = -1 },
		"facts of no algorithm":     func(r *Result) { r.Facts.Alg = 9 },
		"a node in no language":     func(r *Result) { r.Node = "\xff" },
		"a key in no language":      func(r *Result) { r.KeyID = "\xff" },
		"a sentence in no language": func(r *Result) { r.Detail = "\xff" },
	} {
		bad := r
		change(&bad)
		if _, _, err := decodeRow(9, row(&bad)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
