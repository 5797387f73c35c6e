package operator_test

import (
	"context"
	"errors"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/operator"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/wire"
)

func freezeOf(scope, subject, opID string) wire.FreezeRequest {
	return wire.FreezeRequest{Op: wire.Op{OpID: opID, Reason: "drill", Ticket: "T-2"}, Scope: scope, Subject: subject}
}

// TestFreezes: a freeze holds once for its scope and subject. A thaw ends exactly that one.
func TestFreezes(t *testing.T) {
	b := newSigning(t)
	ctx := t.Context()
	freeze := func(scope, subject string) *wire.FreezeAnswer {
		t.Helper()
		a, err := b.Freezes.Freeze(ctx, freezeOf(scope, subject, ""), as("alice"))
		if err != nil {
			t.Fatalf("%s %s: %v", scope, subject, err)
		}
		if a.Scope != scope || a.Subject != subject || a.Actor != "alice" || a.Ticket != "T-2" || a.ThawedSeq != 0 {
			t.Errorf("%s %s: %+v", scope, subject, a)
		}
		return a
	}
	all, shard, key := freeze(wire.FreezeAll, ""), freeze(wire.FreezeShard, "lab"), freeze(wire.FreezeKey, b.key.ID)
	if again := freeze(wire.FreezeShard, "lab"); again.Seq != shard.Seq {
		t.Errorf("a freeze that holds: event %d, not %d", again.Seq, shard.Seq)
	}
	if n := b.Freezes.InForce(); n != 3 {
		t.Errorf("%d freezes hold", n)
	}
	for name, r := range map[string]wire.FreezeRequest{
		"another shard":        freezeOf(wire.FreezeShard, "la", ""),
		"a shard named as key": freezeOf(wire.FreezeKey, "lab", ""),
		"a shard named as all": freezeOf(wire.FreezeAll, "lab", ""),
		"a shard without name": freezeOf(wire.FreezeShard, "", ""),
	} {
		_, err := b.Freezes.Thaw(ctx, r, as("alice"))
		b.is(name, err, wire.CodeStale)
	}
	thawed, err := b.Freezes.Thaw(ctx, freezeOf(wire.FreezeShard, "lab", ""), as("bob"))
	b.is("a thaw", err, "")
	if thawed.Seq != shard.Seq || thawed.ThawedSeq <= key.Seq {
		t.Errorf("%+v", thawed)
	}
	_, err = b.Freezes.Thaw(ctx, freezeOf(wire.FreezeShard, "lab", ""), as("bob"))
	b.is("a second thaw", err, wire.CodeStale)
	if n := b.Freezes.InForce(); n != 2 {
		t.Errorf("%d freezes hold after a thaw", n)
	}
	list, err := b.Freezes.Freezes(ctx, 0)
	if err != nil || len(list) != 3 || list[0].Seq != all.Seq || list[0].ThawedSeq != 0 ||
		list[1].ThawedSeq != thawed.ThawedSeq || list[2].ThawedSeq != 0 {
		t.Errorf("%+v %v", list, err)
	}
	if anew := freeze(wire.FreezeShard, "lab"); anew.Seq <= thawed.ThawedSeq {
		t.Errorf("a freeze after the thaw: %+v", anew)
	}
}

// TestFreezeUnknownKey: a key that nobody registered cannot be frozen, because nobody would notice a slip in its id.
func TestFreezeUnknownKey(t *testing.T) {
	b := newBench(t)
	if b.grow(func() {
		_, err := b.Freezes.Freeze(t.Context(), freezeOf(wire.FreezeKey, "hmac-0", ""), as("alice"))
		b.is("an unknown key", err, wire.CodeNotFound)
		var p *wire.Problem
		if errors.As(err, &p) && p.Field != "subject" {
			t.Errorf("field %q", p.Field)
		}
	}) {
		t.Error("it is in the log")
	}
	b.ledger.LoseQuorum()
	_, err := b.Freezes.Freeze(t.Context(), freezeOf(wire.FreezeKey, "hmac-0", ""), as("alice"))
	b.is("without a quorum nobody knows the keys", err, wire.CodeNoLeader)
}

// TestRepeatedFreeze: the op_id finds the first freeze after its thaw, and the first thaw after another freeze. It
// never stands for another operation.
func TestRepeatedFreeze(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	r := freezeOf(wire.FreezeShard, "lab", "f")
	first, err := b.Freezes.Freeze(ctx, r, as("alice"))
	b.is("a freeze", err, "")
	_, err = b.Freezes.Freeze(ctx, freezeOf(wire.FreezeShard, "other", "f"), as("alice"))
	b.is("another shard under the op_id", err, reused)
	_, err = b.Freezes.Thaw(ctx, r, as("alice"))
	b.is("a thaw under the op_id", err, reused)
	thaw := freezeOf(wire.FreezeShard, "lab", "t")
	thawed, err := b.Freezes.Thaw(ctx, thaw, as("alice"))
	b.is("a thaw", err, "")
	again, err := b.Freezes.Freeze(ctx, r, as("alice"))
	b.is("the freeze once more", err, "")
	if again.Seq != first.Seq || again.ThawedSeq != thawed.ThawedSeq || b.Freezes.InForce() != 0 {
		t.Errorf("%+v, then %+v", first, again)
	}
	_, err = b.Freezes.Freeze(ctx, freezeOf(wire.FreezeShard, "lab", "g"), as("alice"))
	b.is("a second freeze", err, "")
	late, err := b.Freezes.Thaw(ctx, thaw, as("alice"))
	b.is("the thaw once more", err, "")
	if late.ThawedSeq != thawed.ThawedSeq || late.Seq != first.Seq || b.Freezes.InForce() != 1 {
		t.Errorf("%+v, %d hold", late, b.Freezes.InForce())
	}
}

// TestKnownShards: patterns are checked one by one, and every registration is kept.
func TestKnownShards(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	for name, c := range map[string]struct {
		patterns []string
		field    string
	}{
		"none":                 {nil, "patterns"},
		"an empty one":         {[]string{"lab", ""}, "patterns[1]"},
		"a star in the middle": {[]string{"l*b"}, "patterns[0]"},
	} {
		if b.grow(func() {
			_, err := b.KnownShards.AddKnownShards(ctx, wire.KnownShardsRequest{Patterns: c.patterns}, as("alice"))
			b.is(name, err, wire.CodeBadRequest)
			var p *wire.Problem
			if errors.As(err, &p) && p.Field != c.field {
				t.Errorf("%s: field %q", name, p.Field)
			}
		}) {
			t.Errorf("%s: it is in the log", name)
		}
	}
	for _, pattern := range []string{"lab-*", "yard"} {
		a, err := b.KnownShards.AddKnownShards(ctx, wire.KnownShardsRequest{Patterns: []string{pattern}}, as("alice"))
		if err != nil || len(a.Patterns) != 1 || a.Patterns[0] != pattern || a.Actor != "alice" {
			t.Errorf("%s: %+v %v", pattern, a, err)
		}
	}
	list, err := b.KnownShards.KnownShards(ctx, 0)
	if err != nil || len(list) != 2 || list[0].Patterns[0] != "lab-*" || list[1].Patterns[0] != "yard" ||
		list[0].Seq >= list[1].Seq {
		t.Errorf("%+v %v", list, err)
	}
}

// TestNoQuorum: no operation is done on what this node last knew.
func TestNoQuorum(t *testing.T) {
	b := newBench(t, func(o *operator.Options) { o.TwoPerson = true })
	ctx := t.Context()
	k := aKey("k")
	b.add(k, "")
	b.ledger.LoseQuorum()
	for name, do := range map[string]func() error{
		"add a key": func() error { _, _, err := b.Keys.AddKey(ctx, aKey("l"), wire.Op{}, as("a")); return err },
		"revoke": func() error {
			_, err := b.Keys.RevokeKey(ctx, k.ID, 1, wire.RevokeRequest{}, as("a"))
			return err
		},
		"retire":        func() error { _, err := b.Keys.RetireKey(ctx, k.ID, wire.Op{}, as("a")); return err },
		"retire secret": func() error { _, err := b.Keys.RetireSecret(ctx, k.ID, wire.Op{}, as("a")); return err },
		"thaw":          func() error { _, err := b.Freezes.Thaw(ctx, freezeAll("x"), as("a")); return err },
		"apply": func() error {
			_, err := b.Policies.ApplyPolicy(ctx, "00", wire.ApplyRequest{}, as("a"))
			return err
		},
		"revoke a token": func() error {
			_, err := b.Tokens.RevokeToken(ctx, "cert:1", wire.TokenRevokeRequest{}, as("a"))
			return err
		},
		"create a token": func() error { _, err := b.Tokens.CreateToken(ctx, wire.TokenRequest{}, as("a")); return err },
		"start": func() error {
			_, err := b.Generations.StartGeneration(ctx, wire.GenerationRequest{}, as("a"))
			return err
		},
		"activate": func() error { _, err := b.Generations.Activate(ctx, 2, wire.ActivateRequest{}, as("a")); return err },
		"rollback": func() error { _, err := b.Generations.Rollback(ctx, wire.RollbackRequest{}, as("a")); return err },
		"drop":     func() error { _, err := b.Generations.DropGeneration(ctx, 2, wire.Op{}, as("a")); return err },
		"approve": func() error {
			_, err := b.Operations.Approve(ctx, wire.ApprovalRequest{Approve: "x"}, as("a"))
			return err
		},
	} {
		if b.grow(func() { b.is(name, do(), wire.CodeNoLeader) }) {
			t.Errorf("%s: it is in the log", name)
		}
	}
}

// overtaken is a log into which something else comes before the event of an operation.
type overtaken struct {
	operator.Log
	before *func()
}

func (o overtaken) SubmitLocal(ctx context.Context, ev event.Event) (propose.LogPosition, error) {
	if f := *o.before; f != nil {
		*o.before = nil
		f()
	}
	return o.Log.SubmitLocal(ctx, ev)
}

// TestRevocationOvertakes: an operation is refused for its credential when the revocation came before it in the log.
// It was once told that its op_id was used for something else.
func TestRevocationOvertakes(t *testing.T) {
	var before func()
	b := newBench(t, func(o *operator.Options) { o.Log = overtaken{o.Log, &before} })
	meta := as("mallory")
	meta.Credential = "token:0123456789abcdef"
	before = func() {
		b.ledger.Add(event.TokenRevoked, &event.TokenRevokedV1{Id: "0123456789abcdef",
			Op: &event.OpV1{Actor: "alice", OpId: "revoke"}})
	}
	_, err := b.Freezes.Freeze(t.Context(), freezeAll("f"), meta)
	b.is("the revocation overtook the freeze", err, wire.CodeUnauthorized)
	if f := b.ledger.State.Control().Freezes(b.ledger.State.Cursor().Seq); before != nil || len(f) != 0 {
		t.Errorf("frozen: %+v", f)
	}
}
