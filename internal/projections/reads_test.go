package projections

import (
	"errors"
	"slices"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestKeysByEvent reads the registry before, at and after the event of each change.
func TestKeysByEvent(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy())
	one, two := mustHMAC("one"), mustHMAC("two")
	if _, ok := l.ctrl.KeyByFingerprint(one.Fingerprint); ok || l.ctrl.NewestKey() != 0 {
		t.Error("a key in an empty registry")
	}
	l.addKey("one") // event 2
	l.addKey("two") // event 3
	terms := keyAdded(one)
	terms.Op, terms.Owner = &event.OpV1{}, "lab"
	l.message(event.KeyAdded, terms) // event 4
	if got := l.ctrl.NewestKey(); got != 3 {
		t.Errorf("the last key came with event %d, want 3: new terms are no new key", got)
	}
	l.message(event.KeyRetired, &event.KeyRetiredV1{KeyId: one.ID})             // event 5
	l.message(event.KeySecretRetired, &event.KeySecretRetiredV1{KeyId: one.ID}) // event 6
	l.message(event.KeyRevoked, &event.KeyRevokedV1{KeyId: two.ID, Since: 90})  // event 7
	l.message(event.KeyRevoked, &event.KeyRevokedV1{KeyId: two.ID, Since: 80})  // event 8
	type state struct {
		terms, retired, secret, revoked uint64
		since                           int64
		active                          bool
	}
	for _, c := range []struct {
		id    string
		seq   uint64
		known bool
		want  state
	}{
		{one.ID, 1, false, state{}}, {two.ID, 2, false, state{}}, {"hmac-none", 9, false, state{}},
		{one.ID, 2, true, state{2, 0, 0, 0, 0, true}}, {one.ID, 3, true, state{2, 0, 0, 0, 0, true}},
		{one.ID, 4, true, state{4, 0, 0, 0, 0, true}}, {one.ID, 5, true, state{4, 5, 0, 0, 0, false}},
		{one.ID, 6, true, state{4, 5, 6, 0, 0, false}}, {two.ID, 6, true, state{3, 0, 0, 0, 0, true}},
		{two.ID, 7, true, state{3, 0, 0, 7, 90, false}}, {two.ID, 8, true, state{3, 0, 0, 7, 80, false}},
	} {
		k, ok := l.ctrl.Key(c.id, c.seq)
		if ok != c.known {
			t.Errorf("%s as of event %d: %v", c.id, c.seq, ok)
			continue
		}
		if got := (state{k.Terms.Seq, k.Retired, k.SecretRetired, k.Revoked, k.RevokedSince,
			k.Active()}); ok && got != c.want {
			t.Errorf("%s as of event %d: %+v, want %+v", c.id, c.seq, got, c.want)
		}
		listed := l.ctrl.Keys(c.seq)
		at := slices.IndexFunc(listed, func(r KeyRow) bool { return r.ID == c.id })
		if (at >= 0) != c.known || c.known && listed[at].Revoked != k.Revoked {
			t.Errorf("%s in the list as of event %d: %+v", c.id, c.seq, listed)
		}
	}
	if k, ok := l.ctrl.KeyByFingerprint(one.Fingerprint); !ok || k.ID != one.ID || k.Retired != 5 {
		t.Errorf("by fingerprint: %+v %v", k, ok)
	}
}

// TestViewOfKeys asks the view of a generation about keys at the events around each change.
func TestViewOfKeys(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy())
	one := mustHMAC("one")
	view := l.ctrl.For(1)
	first := keyAdded(one)
	first.Scope, first.NotBefore, first.NotAfter = []string{"a"}, 100, 200
	l.message(event.KeyAdded, first) // event 2
	second := keyAdded(one)
	second.Scope, second.Op = []string{"b*"}, &event.OpV1{}
	l.message(event.KeyAdded, second)                               // event 3
	l.message(event.KeyRetired, &event.KeyRetiredV1{KeyId: one.ID}) // event 4
	for _, c := range []struct {
		shard string
		seq   uint64
		at    int64
		want  bool
	}{
		{"a", 1, 150, false}, {"a", 2, 99, false}, {"a", 2, 100, true}, {"a", 2, 199, true}, {"a", 2, 200, false},
		{"b", 2, 150, false}, {"a", 3, 150, false}, {"b1", 3, 0, true}, {"b", 3, 1 << 60, true},
		{"b", 4, 150, true}, {"b", 5, 150, false}, // the event that retires a key is not a submission
	} {
		if got := view.Allowed(one.ID, c.shard, c.seq, c.at); got != c.want {
			t.Errorf("shard %s, event %d, log time %d: allowed %v", c.shard, c.seq, c.at, got)
		}
	}
	if view.Allowed("hmac-none", "a", 2, 150) {
		t.Error("a key that nobody registered is allowed")
	}
	if alg, _, ok := view.RegisteredKey(one.ID, 2); !ok || alg != verify.HMACSHA256 {
		t.Errorf("as of its event: %v %v", alg, ok)
	}
	if _, _, ok := view.RegisteredKey(one.ID, 1); ok {
		t.Error("registered before its event")
	}
	if view.SecretRetired(one.ID) || view.SecretRetired("hmac-none") {
		t.Error("a secret is retired that no event retired")
	}
	l.message(event.KeySecretRetired, &event.KeySecretRetiredV1{KeyId: one.ID})
	if !view.SecretRetired(one.ID) {
		t.Error("the secret is not retired")
	}
}

// TestHindsightEnds takes the bounds of hindsight one by one: the log time of the compromise, the start of the
// generation and the event of the revocation.
func TestHindsightEnds(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	id, p := mustHMAC("one").ID, verify.DefaultPolicy().ID()
	const since = 1000
	l.message(event.KeyRevoked, &event.KeyRevokedV1{KeyId: id, Since: since}) // event 3
	revoked := l.seq
	l.message(event.GenerationStarted, &event.GenerationStartedV1{Policy: p[:], FromSeq: 1, Keys: KeysHindsight})
	l.message(event.KeyRevoked, &event.KeyRevokedV1{KeyId: id, Since: since - 10}) // after the start
	for _, c := range []struct {
		name       string
		generation uint32
		seq        uint64
		at         int64
		want       bool
	}{
		{"at the compromise", 2, 2, since, true},
		{"before the compromise", 2, 2, since - 1, false},
		{"without hindsight", 1, 2, since, false},
		{"of a generation that does not exist", 9, 2, since, false},
		{"at the revocation without hindsight", 1, revoked, since, false},
		{"after the revocation", 1, revoked + 1, 0, true},
		{"after the revocation, with hindsight", 2, revoked + 1, 0, true},
	} {
		if got := l.ctrl.For(c.generation).Revoked(id, c.seq, c.at); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if l.ctrl.For(2).Revoked("hmac-none", 9, since) {
		t.Error("a key that nobody registered is revoked")
	}
}

// TestDisputesBeforeTheStart: a generation ignores facts that were disputed before it was started, and no others.
func TestDisputesBeforeTheStart(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	r := l.send(spec{shard: "alpha", root: "a", epoch: 1, dhat: "2.0", slope: 2}.body("one"))
	other := l.send(spec{shard: "alpha", root: "a", epoch: 2, dhat: "2.0", slope: 2}.body("one"))
	p := verify.DefaultPolicy().ID()
	early := l.start(p[:], 1)
	l.message(event.GenerationDropped, &event.GenerationDroppedV1{Generation: early})
	l.message(event.FactsDisputed, &event.FactsDisputedV1{Seq: r.Seq, Voters: []string{"n1", "n2"}})
	late := l.start(p[:], 1)
	for number, want := range map[uint32]bool{1: false, early: false, late: true, late + 1: false} {
		if got := l.ctrl.For(number).Disputed(r.Seq); got != want {
			t.Errorf("generation %d: %v", number, got)
		}
	}
	if l.ctrl.For(late).Disputed(other.Seq) {
		t.Error("facts that nobody disputes are ignored")
	}
	_, db := l.second(late)
	if got, err := Row(db, r.Seq); err != nil || got.KeyID != "" || got.Reason != verify.ReasonBadSignature {
		t.Errorf("the disputed record: %+v %v", got, err)
	}
	if got, err := Row(db, other.Seq); err != nil || !got.Accepted {
		t.Errorf("the other record: %+v %v", got, err)
	}
}

// TestKnownShardsByEvent reads the known shards around their events.
func TestKnownShardsByEvent(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy())
	l.message(event.ShardsKnown, &event.ShardsKnownV1{Patterns: []string{"pilot", "lab-*"}}) // event 2
	l.message(event.ShardsKnown, &event.ShardsKnownV1{Patterns: []string{"late"}})           // event 3
	for _, c := range []struct {
		shard string
		seq   uint64
		want  bool
	}{{"pilot", 1, false}, {"pilot", 2, true}, {"lab-9", 2, true}, {"lab", 3, false}, {"late", 2, false},
		{"late", 3, true}} {
		if got := l.ctrl.ShardKnown(c.shard, c.seq); got != c.want {
			t.Errorf("%s as of event %d: %v", c.shard, c.seq, got)
		}
	}
	for seq, want := range map[uint64]int{1: 0, 2: 1, 3: 2, 9: 2} {
		if got := len(l.ctrl.KnownShards(seq)); got != want {
			t.Errorf("as of event %d: %d registrations, want %d", seq, got, want)
		}
	}
}

// TestActiveGeneration asks for the active generation by event and by Raft entry around a switch.
func TestActiveGeneration(t *testing.T) {
	if _, ok := NewControl().Genesis(1); ok {
		t.Error("a genesis in an empty log")
	}
	l := newLedger(t, verify.DefaultPolicy())
	if n, since := l.ctrl.Active(); n != 1 || since != 0 || l.ctrl.LastActivation() != 0 ||
		l.ctrl.AnswersEntry(99) != 1 {
		t.Errorf("generation %d since event %d", n, since)
	}
	if _, ok := l.ctrl.Genesis(0); ok {
		t.Error("the genesis is known before its event")
	}
	if g, ok := l.ctrl.Genesis(1); !ok || g.Seq != 1 || g.ClusterID != "test" {
		t.Errorf("the genesis as of its event: %+v %v", g, ok)
	}
	first := verify.DefaultPolicy().ID()
	l.start(first[:], 1)
	l.message(event.GenerationActivated, &event.GenerationActivatedV1{Generation: 2, From: 1, Position: 1,
		Diff: make([]byte, 32)})
	at, index := l.seq, l.items[len(l.items)-1].Index
	if n, since := l.ctrl.Active(); n != 2 || since != at || l.ctrl.LastActivation() != at {
		t.Errorf("generation %d since event %d", n, since)
	}
	if before, with, after := l.ctrl.AnswersEntry(index-1), l.ctrl.AnswersEntry(index),
		l.ctrl.AnswersEntry(index+1); before != 1 ||
		with != 1 || after != 2 {
		t.Errorf("entries around the switch: generations %d, %d, %d", before, with, after)
	}
	if n := l.readBack().AnswersEntry(1); n != 2 {
		t.Errorf("a process that read the switch back answers with generation %d", n)
	}
	if _, ok := l.ctrl.For(3).PolicyAt(2); ok {
		t.Error("a generation that does not exist has a policy")
	}
	if _, ok := l.ctrl.Published([32]byte{1}); ok {
		t.Error("a policy that nobody published is known")
	}
	if all := l.ctrl.Policies(); len(all) != 1 || all[0].ID != first || all[0].Seq != 1 {
		t.Errorf("%+v", all)
	}
}

// TestOperatorRows reads the rows of operators' events in ranges, and finds the newest digest of a generation.
func TestOperatorRows(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one") // events 1 and 2
	h := make([]byte, 32)
	digest := func(generation uint32, log []byte) {
		l.message(event.StateDigest, &event.StateDigestV1{Seq: 1, Log: log, State: h, Control: h,
			Generation: generation})
	}
	digest(1, h) // event 3
	l.send(spec{shard: "alpha", root: "a", epoch: 1, dhat: "2.0", slope: 2}.body("one"))
	digest(2, h)     // event 5
	digest(1, h)     // event 6
	digest(1, h[1:]) // event 7, ignored
	for _, c := range []struct {
		from, to uint64
		limit    int
		want     []uint64
	}{{0, 0, 9, []uint64{3, 5, 6}}, {3, 6, 9, []uint64{3, 5}}, {4, 7, 9, []uint64{5, 6}}, {0, 0, 2, []uint64{3,
		5}}, {7, 0, 9, nil}} {
		rows, err := StateDigests(l.ctrlDB, c.from, c.to, c.limit)
		var got []uint64
		for _, r := range rows {
			got = append(got, r.Seq)
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("digests %d to %d: %v %v, want %v", c.from, c.to, got, err, c.want)
		}
	}
	for _, c := range []struct {
		generation uint32
		to, want   uint64
	}{{1, 9, 6}, {1, 6, 6}, {1, 5, 3}, {2, 9, 5}, {2, 4, 0}, {3, 9, 0}} {
		row, ok, err := LastStateDigest(l.ctrlDB, c.generation, c.to)
		if err != nil || ok != (c.want != 0) || row.Seq != c.want {
			t.Errorf("generation %d up to event %d: event %d %v %v, want %d", c.generation, c.to, row.Seq, ok,
				err, c.want)
		}
	}
	for _, c := range []struct{ from, to, want uint64 }{{1, 7, 6}, {3, 5, 2}, {4, 4, 0}, {7, 7, 1}, {8, 9, 0}} {
		if n, err := OperatorsBetween(l.ctrlDB, c.from, c.to); err != nil || n != c.want {
			t.Errorf("%d to %d: %d events %v, want %d", c.from, c.to, n, err, c.want)
		}
	}
	if got, err := OperatorSeqs(l.ctrlDB, 3, 3); err != nil || !slices.Equal(got, []uint64{3, 5, 6}) {
		t.Errorf("%v %v", got, err)
	}
	if got, err := OperatorSeqs(l.ctrlDB, 0, 99); err != nil || !slices.Equal(got, []uint64{1, 2, 3, 5, 6, 7}) {
		t.Errorf("%v %v", got, err)
	}
	if _, err := EffectOf(l.ctrlDB, event.StateDigest, 4); !errors.Is(err, ErrNotFound) {
		t.Errorf("the effect of a submission: %v", err)
	}
	if d, err := ControlDigestAt(l.ctrlDB, 0); err != nil || d != [32]byte{} {
		t.Errorf("before the first event: %x %v", d, err)
	}
}

// TestReasonTexts: a record that everybody may look up names no key.
func TestReasonTexts(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one", "two")
	s := spec{shard: "alpha", root: "a", epoch: 1, dhat: "2.0", slope: 2}
	scoped := keyAdded(mustHMAC("two"))
	scoped.Op, scoped.Scope = &event.OpV1{}, []string{"beta"}
	l.message(event.KeyAdded, scoped)
	stranger := verify.Facts{KeyID: mustHMAC("nobody's").ID, Alg: verify.HMACSHA256, Profile: pcs.F9,
		Mode: verify.Raw}
	unsigned, outside, good := l.submit(s.body("nobody's"), stranger), l.send(s.body("two")), l.send(s.body("one"))
	l.message(event.KeyRevoked, &event.KeyRevokedV1{KeyId: mustHMAC("one").ID})
	revoked := l.send(s.body("one"))
	ruled := Result{Reason: verify.ReasonRule, Reasons: []verify.Reason{verify.ReasonRule,
		verify.ReasonLateEpoch}, RuleReason: "too_new"}
	for _, c := range []struct {
		r          Result
		code, text string
		codes      []string
	}{
		{unsigned, "bad_signature", "no registered key verifies the signature", []string{"bad_signature"}},
		{outside, "key_not_allowed",
			"the terms of the key that signed it do not allow this shard at this time", []string{"key_not_allowed"}},
		{revoked, "key_revoked", "the key that signed it is revoked", []string{"key_revoked"}},
		{good, "ok", good.Detail, nil},
		{ruled, "too_new", "", []string{"too_new", "late_epoch"}},
	} {
		if c.r.ReasonCode() != c.code || c.r.ReasonText() != c.text || !slices.Equal(c.r.ReasonCodes(), c.codes) {
			t.Errorf("%s: %q %v", c.r.ReasonCode(), c.r.ReasonText(), c.r.ReasonCodes())
		}
	}
}
