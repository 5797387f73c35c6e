package operator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/ledgertest"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// controlText reads keys, policies, freezes and known shards as of an event, 0 for now, in lists and one by one.
func (b *bench) controlText(asOf uint64) string {
	b.Helper()
	ctx := b.Context()
	var out strings.Builder
	note := func(v any, err error) {
		if err != nil && !errors.Is(err, api.ErrNotFound) {
			b.Fatal(err)
		}
		text, _ := json.Marshal(v)
		fmt.Fprintln(&out, string(text), err)
	}
	keys, err := b.Keys.Keys(ctx, asOf)
	note(keys, err)
	all, _ := b.Keys.Keys(ctx, 0)
	for _, k := range all {
		one, err := b.Keys.Key(ctx, k.KeyID, asOf)
		if err == nil {
			note(one, nil)
		}
	}
	policies, err := b.Policies.Policies(ctx, asOf)
	note(policies, err)
	published, _ := b.Policies.Policies(ctx, 0)
	for _, p := range published {
		one, err := b.Policies.Policy(ctx, p.ID, asOf)
		if err == nil {
			note(one, nil)
		}
	}
	freezes, err := b.Freezes.Freezes(ctx, asOf)
	note(freezes, err)
	known, err := b.KnownShards.KnownShards(ctx, asOf)
	note(known, err)
	return out.String()
}

// controlDiary notes after each event what is read.
type controlDiary struct {
	*bench
	key   verify.Key
	notes map[uint64]string
	ops   int
}

func (d *controlDiary) note() uint64 {
	seq := d.ledger.State.Cursor().Seq
	d.notes[seq] = d.controlText(0)
	return seq
}

func (d *controlDiary) op() *event.OpV1 {
	d.ops++
	return &event.OpV1{Actor: "alice", OpId: fmt.Sprint(d.ops), Reason: "why"}
}

func (d *controlDiary) event(kind event.Kind, m proto.Message) uint64 {
	d.ledger.Add(kind, m)
	return d.note()
}

func (d *controlDiary) send(epoch int64) {
	body := nodetest.NewRecords(d.T).Sign(nodetest.Record{Shard: "a", Epoch: epoch, Root: "r", Key: "secret"})
	f, _ := d.ledger.Verifiers().Find(pcs.Decode(body), verify.Facts{})
	d.event(event.Submission, &event.SubmissionV1{
		Body: body, ReceivedAt: d.ledger.Now().UnixNano(), Node: ledgertest.Node,
		Facts: &event.SignatureFacts{KeyId: f.KeyID, Alg: uint32(f.Alg), Profile: uint32(f.Profile), Mode: uint32(f.Mode)},
	})
}

// recount starts generation 2 under the first policy, activates it and rolls back.
func (d *controlDiary) recount() {
	first := verify.DefaultPolicy()
	id := first.ID()
	started := d.event(event.GenerationStarted, &event.GenerationStartedV1{Policy: id[:], FromSeq: 1, Op: d.op()})
	g, err := d.ledger.Gens.Await(d.Context(), 2)
	if err != nil || g.WaitSeq(d.Context(), started) != nil {
		d.Fatal(err)
	}
	d.event(event.GenerationActivated, &event.GenerationActivatedV1{Generation: 2, From: 1, Position: started,
		Diff: make([]byte, 32), Op: d.op()})
	d.event(event.KeyRevoked, &event.KeyRevokedV1{KeyId: d.key.ID, Since: ledgertest.Start.UnixNano(), Op: d.op()})
	d.send(3)
	d.event(event.GenerationActivated, &event.GenerationActivatedV1{Generation: 1, From: 2, Position: started,
		Diff: make([]byte, 32), Rollback: true, Op: d.op()})
}

// TestControlAsOf: as of each event keys, policies, freezes and known shards are those that a node told when its log
// ended there, across changes of all of them, a recount and a rollback.
func TestControlAsOf(t *testing.T) {
	key, err := verify.NewHMACKey([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	d := &controlDiary{bench: benchOver(t, ledgertest.New(t, key)), key: key, notes: map[uint64]string{}}
	d.note()
	d.send(1)
	k := aKey("k")
	d.add(k, "one")
	d.note()
	k.Scope = []string{"lab-*"}
	d.add(k, "two")
	d.note()
	d.event(event.Frozen, &event.FrozenV1{Scope: 1, Subject: "b", Op: d.op()})
	d.event(event.ShardsKnown, &event.ShardsKnownV1{Patterns: []string{"a"}, Op: d.op()})
	p := verify.DefaultPolicy()
	p.Params.TolD *= 2
	id := p.ID()
	d.event(event.PolicyPublished, &event.PolicyPublishedV1{Policy: p.Canonical(), Source: p.Canonical(), Op: d.op()})
	d.event(event.PolicyApplied, &event.PolicyAppliedV1{Policy: id[:], Op: d.op()})
	d.send(2)
	d.event(event.Thawed, &event.ThawedV1{Scope: 1, Subject: "b", Op: d.op()})
	d.event(event.KeyRetired, &event.KeyRetiredV1{KeyId: k.ID, Op: d.op()})
	d.recount()
	d.event(event.KeySecretRetired, &event.KeySecretRetiredV1{KeyId: key.ID, Op: d.op()})
	last := d.event(event.ShardsKnown, &event.ShardsKnownV1{Patterns: []string{"lab-*"}, Op: d.op()})
	for seq, want := range d.notes {
		if got := d.controlText(seq); got != want {
			t.Errorf("as of event %d:\n%s\nthen:\n%s", seq, got, want)
		}
	}
	if text := d.notes[last]; len(d.notes) < 15 || !strings.Contains(text, wire.KeyRevoked) ||
		!strings.Contains(text, wire.ByRolledBack) {
		t.Errorf("%d notes, the last one:\n%s", len(d.notes), text)
	}
}

// TestKeysOfAGoneClient: a list of keys, which looks for the last use of each, ends when its client is gone.
func TestKeysOfAGoneClient(t *testing.T) {
	key, err := verify.NewHMACKey([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	b := benchOver(t, ledgertest.New(t, key))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if keys, err := b.Keys.Keys(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("%d keys: %v", len(keys), err)
	}
}
