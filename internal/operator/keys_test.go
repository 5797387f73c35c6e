package operator_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/ledgertest"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/operator"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// reused is the code for an op_id that names another operation.
const reused = wire.CodeOpIDReused

// secret is that of the key of a signing bench.
const secret = "the secret of this test"

// signing is a bench over a ledger with one key, which signs the submissions.
type signing struct {
	*bench
	key     verify.Key
	records *nodetest.Records
}

func newSigning(t *testing.T, change ...func(*operator.Options)) *signing {
	t.Helper()
	key, err := verify.NewHMACKey([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return &signing{benchOver(t, ledgertest.New(t, key), change...), key, nodetest.NewRecords(t)}
}

// submit brings a submission that the key has signed into the log, and returns its event.
func (b *signing) submit(r nodetest.Record) uint64 {
	b.Helper()
	r.Key = secret
	b.ledger.Add(event.Submission, &event.SubmissionV1{
		Body: b.records.Sign(r),
		Node: ledgertest.Node,
		Facts: &event.SignatureFacts{
			KeyId:   b.key.ID,
			Alg:     uint32(b.key.Alg),
			Profile: uint32(pcs.F9),
			Mode:    uint32(verify.Raw),
		},
	})
	return b.ledger.State.Cursor().Seq
}

// aKey is a key that no node holds.
func aKey(name string) api.NewKey {
	seed := sha256.Sum256([]byte(name))
	public := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	k, err := verify.NewEd25519Key(public)
	if err != nil {
		panic(err)
	}
	return api.NewKey{ID: k.ID, Alg: k.Alg, Public: k.Public, Fingerprint: k.Fingerprint, Owner: "lab"}
}

// add registers a key and expects success.
func (b *bench) add(k api.NewKey, opID string) (*wire.KeyAnswer, bool) {
	b.Helper()
	a, created, err := b.Keys.AddKey(b.Context(), k, wire.Op{OpID: opID, Reason: "new rig"}, as("alice"))
	if err != nil {
		b.Fatal(err)
	}
	return a, created
}

// hints checks that a problem helps with this text.
func (b *bench) hints(err error, text string) {
	b.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		b.Errorf("%v, without %q", err, text)
	}
}

// TestAddKey: the first registration creates a key, later ones change only its terms, and a repetition changes
// nothing.
func TestAddKey(t *testing.T) {
	b := newBench(t)
	k := aKey("k")
	k.NotBefore, k.NotAfter = ledgertest.Start.UnixNano(), ledgertest.Start.Add(time.Hour).UnixNano()
	first, created := b.add(k, "one")
	if !created || first.Seq == 0 || first.TermsSeq != first.Seq || first.Owner != "lab" || first.Held ||
		first.NotBefore != "2026-01-02T03:04:05.000000000Z" || first.NotAfter != "2026-01-02T04:04:05.000000000Z" {
		t.Errorf("%v %+v", created, first)
	}
	again, created := b.add(k, "one")
	if created || again.TermsSeq != first.Seq {
		t.Errorf("a repetition: %v %+v", created, again)
	}
	k.Scope, k.NotAfter = []string{"lab-*"}, 0
	narrower, created := b.add(k, "two")
	if created || narrower.Seq != first.Seq || narrower.TermsSeq <= first.TermsSeq || narrower.NotAfter != "" ||
		!slices.Equal(narrower.Scope, []string{"lab-*"}) {
		t.Errorf("other terms: %v %+v", created, narrower)
	}
	k.Owner = "another lab"
	_, _, err := b.Keys.AddKey(t.Context(), k, wire.Op{OpID: "two"}, as("alice"))
	b.is("other terms under the op_id of earlier ones", err, reused)
	all, err := b.Keys.Keys(t.Context(), 0)
	if err != nil || len(all) != 1 || all[0].Owner != "lab" {
		t.Errorf("%+v %v", all, err)
	}
}

// TestAddKeyRefused: terms that cannot be used are refused before the log, and so is a change of a key that ended.
func TestAddKeyRefused(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	for name, c := range map[string]struct {
		change func(*api.NewKey)
		field  string
	}{
		"a long owner":         {func(k *api.NewKey) { k.Owner = strings.Repeat("o", projections.MaxOwner+1) }, "owner"},
		"a long comment":       {func(k *api.NewKey) { k.Comment = strings.Repeat("c", projections.MaxComment+1) }, "comment"},
		"a star in the middle": {func(k *api.NewKey) { k.Scope = []string{"a", "a*b"} }, "scope[1]"},
		"too many patterns": {func(k *api.NewKey) {
			k.Scope = slices.Repeat([]string{"a"}, projections.MaxPatterns+1)
		}, "scope"},
	} {
		k := aKey("k")
		c.change(&k)
		if b.grow(func() {
			_, _, err := b.Keys.AddKey(ctx, k, wire.Op{}, as("alice"))
			b.is(name, err, wire.CodeBadRequest)
			var p *wire.Problem
			if errors.As(err, &p) && p.Field != c.field {
				t.Errorf("%s: field %q", name, p.Field)
			}
		}) {
			t.Errorf("%s: it is in the log", name)
		}
	}
	k := aKey("k")
	b.add(k, "")
	other := k
	other.Fingerprint[0]++
	_, _, err := b.Keys.AddKey(ctx, other, wire.Op{OpID: "x"}, as("alice"))
	b.is("another fingerprint", err, wire.CodeStale)
	_, err = b.Keys.RetireKey(ctx, k.ID, wire.Op{}, as("alice"))
	b.is("the end of the key", err, "")
	_, _, err = b.Keys.AddKey(ctx, k, wire.Op{}, as("alice"))
	b.is("terms for a key that ended", err, wire.CodeStale)
}

// TestRevokeKey: a revocation moves only to an earlier time. One that changes nothing gives the time that holds,
// unless it asks for an earlier one.
func TestRevokeKey(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	k := aKey("k")
	b.add(k, "add")
	_, err := b.Keys.RevokeKey(ctx, "absent", 1, wire.RevokeRequest{}, as("alice"))
	if !errors.Is(err, api.ErrNotFound) {
		t.Errorf("a key that is not registered: %v", err)
	}
	at := func(n int) int64 { return ledgertest.Start.Add(time.Duration(n) * time.Hour).UnixNano() }
	_, err = b.Keys.RevokeKey(ctx, k.ID, at(0), wire.RevokeRequest{Op: wire.Op{OpID: "add"}}, as("alice"))
	b.is("under the op_id of its registration", err, reused)
	for _, c := range []struct {
		name, opID string
		since      int64
		want       int64
		changes    bool // seq of the answer
	}{
		{"the first", "one", at(-1), at(-1), true},
		{"a repetition, with a later default time", "one", at(0), at(-1), false},
		{"a later time", "two", at(0), at(-1), false},
		{"an earlier time", "three", at(-2), at(-2), true},
	} {
		before, _ := b.Keys.Key(ctx, k.ID, 0)
		a, err := b.Keys.RevokeKey(ctx, k.ID, c.since, wire.RevokeRequest{Op: wire.Op{OpID: c.opID}}, as("alice"))
		if err != nil || a.KeyID != k.ID || a.Since != wire.TimeNS(c.want) || a.Seq == 0 {
			t.Errorf("%s: %+v %v", c.name, a, err)
		}
		after, _ := b.Keys.Key(ctx, k.ID, 0)
		if after.Status != wire.KeyRevoked || (after.RevokedSince != before.RevokedSince) != c.changes {
			t.Errorf("%s: %+v", c.name, after)
		}
	}
	_, err = b.Keys.RevokeKey(ctx, k.ID, at(-3), wire.RevokeRequest{Op: wire.Op{OpID: "one"}}, as("alice"))
	b.is("a still earlier time under an old op_id", err, reused)
}

// TestRetireKey: a key ends once. The nodes keep the secret of a key that may still sign.
func TestRetireKey(t *testing.T) {
	b := newSigning(t)
	ctx := t.Context()
	ed := aKey("ed")
	b.add(ed, "add")
	for _, id := range []string{"absent", ""} {
		if _, err := b.Keys.RetireKey(ctx, id, wire.Op{}, as("alice")); !errors.Is(err, api.ErrNotFound) {
			t.Errorf("retire %q: %v", id, err)
		}
		if _, err := b.Keys.RetireSecret(ctx, id, wire.Op{}, as("alice")); !errors.Is(err, api.ErrNotFound) {
			t.Errorf("retire the secret of %q: %v", id, err)
		}
	}
	_, err := b.Keys.RetireSecret(ctx, ed.ID, wire.Op{}, as("alice"))
	b.is("the secret of a key without one", err, wire.CodeStale)
	b.hints(err, "hold no secret")
	_, err = b.Keys.RetireSecret(ctx, b.key.ID, wire.Op{}, as("alice"))
	b.is("the secret of a key that signs", err, wire.CodeStale)
	b.hints(err, "retire or revoke it first")
	_, err = b.Keys.RetireKey(ctx, b.key.ID, wire.Op{OpID: "add"}, as("alice"))
	b.is("under an op_id of another key", err, reused)
	retired, err := b.Keys.RetireKey(ctx, b.key.ID, wire.Op{}, as("alice"))
	b.is("the end of a key", err, "")
	_, err = b.Keys.RetireSecret(ctx, b.key.ID, wire.Op{OpID: "add"}, as("alice"))
	b.is("a secret under an op_id of another key", err, reused)
	gone, err := b.Keys.RetireSecret(ctx, b.key.ID, wire.Op{}, as("alice"))
	b.is("the end of a secret", err, "")
	if retired.Status != wire.KeyRetired || retired.RetiredSeq == 0 || retired.SecretRetired != 0 ||
		gone.SecretRetired <= retired.RetiredSeq {
		t.Errorf("%+v, then %+v", retired, gone)
	}
	if b.grow(func() {
		_, err = b.Keys.RetireKey(ctx, b.key.ID, wire.Op{}, as("alice"))
		b.is("the end once more", err, "")
		_, err = b.Keys.RetireSecret(ctx, b.key.ID, wire.Op{}, as("alice"))
		b.is("the end of the secret once more", err, "")
	}) {
		t.Error("a repetition is in the log")
	}
}

// TestUseOfKeys: a key names its last submission, and the ages look at active keys only.
func TestUseOfKeys(t *testing.T) {
	b := newSigning(t)
	ctx := t.Context()
	minutes := func(what string, got time.Duration, want int) {
		t.Helper()
		if got != time.Duration(want)*time.Minute {
			t.Errorf("%s: %v, not %d minutes", what, got, want)
		}
	}
	k, err := b.Keys.Key(ctx, b.key.ID, 0)
	if err != nil || k.LastSeq != 0 || k.LastUsed != "" || !k.Held || k.Public != "" {
		t.Errorf("before its first submission: %+v %v", k, err)
	}
	b.ledger.Advance(time.Minute)
	seq := b.submit(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"})
	k, err = b.Keys.Key(ctx, b.key.ID, 0)
	if err != nil || k.LastSeq != seq || k.LastUsed != "2026-01-02T03:05:05.000000000Z" {
		t.Errorf("after it: %+v %v", k, err)
	}
	b.ledger.Advance(2 * time.Minute)
	b.add(aKey("idle"), "")
	b.ledger.Advance(3 * time.Minute)
	minutes("the oldest", b.Keys.OldestAge(), 6)
	minutes("without use", b.Keys.LongestUnused(), 5)
	b.submit(nodetest.Record{Shard: "a", Epoch: 2, Root: "r"})
	minutes("a key that never signed", b.Keys.LongestUnused(), 3)
	_, err = b.Keys.RetireKey(ctx, b.key.ID, wire.Op{}, as("alice"))
	b.is("the end of a key", err, "")
	minutes("the oldest active one", b.Keys.OldestAge(), 3)
	_, err = b.Keys.RevokeKey(ctx, aKey("idle").ID, 1, wire.RevokeRequest{}, as("alice"))
	b.is("the end of the other", err, "")
	minutes("no active key", b.Keys.OldestAge(), 0)
	minutes("no active key, without use", b.Keys.LongestUnused(), 0)
}

// TestWarnOld: keys older than 90 days are named at the start and once a day, while they are active.
func TestWarnOld(t *testing.T) {
	var text bytes.Buffer
	b := newBench(t, func(o *operator.Options) { o.Logger = slog.New(slog.NewTextHandler(&text, nil)) })
	b.add(aKey("old"), "")
	b.ledger.Advance(time.Hour)
	b.add(aKey("young"), "")
	b.ledger.Advance(90 * 24 * time.Hour)
	warnings := func(during time.Duration) int {
		text.Reset()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), during)
			defer cancel()
			if err := b.Keys.WarnOld(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
		if strings.Contains(text.String(), aKey("young").ID) {
			t.Error(text.String())
		}
		return strings.Count(text.String(), "key="+aKey("old").ID+" days=90")
	}
	for during, want := range map[time.Duration]int{time.Hour: 1, 23 * time.Hour: 1, 49 * time.Hour: 3} {
		if got := warnings(during); got != want {
			t.Errorf("%v: %d warnings, not %d", during, got, want)
		}
	}
	_, err := b.Keys.RetireKey(t.Context(), aKey("old").ID, wire.Op{}, as("alice"))
	b.is("the end of a key", err, "")
	if got := warnings(time.Hour); got != 0 {
		t.Errorf("%d warnings of a key that ended", got)
	}
}
