package node_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// TestFreezeOnEveryNode: from one position on every node refuses what is new in the scope, answers what was
// answered before, and takes everything else. After the thaw all is as it was.
func TestFreezeOnEveryNode(t *testing.T) {
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	at := func(node int, rec nodetest.Record) int {
		status, _ := c.Once(node, "POST", client.SubmitPath, f.Sign(rec))
		return status
	}
	before := nodetest.Record{Shard: "alpha", Epoch: 1, Root: "r"}
	if got := at(0, before); got != 200 {
		t.Fatal(got)
	}
	key := r.keys()[0].KeyID
	epoch := int64(10)
	for _, scope := range []wire.FreezeRequest{{Scope: wire.FreezeAll},
		{Scope: wire.FreezeShard, Subject: "alpha"}, {Scope: wire.FreezeKey, Subject: key}} {
		scope.Reason = "drill"
		froze, err := c.Client.Freeze(r.ctx, scope)
		r.must(err)
		again, err := c.Client.Freeze(r.ctx, scope)
		r.must(err)
		if *again != *froze {
			t.Errorf("frozen twice: %+v, %+v", froze, again)
		}
		other := 503
		if scope.Scope == wire.FreezeShard {
			other = 200
		}
		for node := range c.Size() {
			epoch++
			fresh, elsewhere := nodetest.Record{Shard: "alpha", Epoch: epoch, Root: "r"},
				nodetest.Record{Shard: "beta", Epoch: epoch, Root: "r"}
			if a, b, z := at(node, before), at(node, fresh), at(node, elsewhere); a != 200 || b != 503 || z != other {
				t.Errorf("%s on node %d: a replay %d, a new record %d, another shard %d", scope.Scope, node+1, a, b, z)
			}
			if _, err := c.At(node).Get(r.ctx, fresh.ID(), client.Read{}); !errors.Is(err, client.ErrNotFound) {
				t.Errorf("a frozen record left a trace: %v", err)
			}
		}
		thawed, err := c.Client.Thaw(r.ctx, scope)
		r.must(err)
		if thawed.Seq != froze.Seq || thawed.ThawedSeq <= froze.Seq {
			t.Errorf("%+v", thawed)
		}
		if _, err := c.Client.Thaw(r.ctx, scope); err == nil {
			t.Error("thawed twice")
		}
		_, err = c.At(1).Event(r.ctx, thawed.ThawedSeq, client.Read{MinSeq: thawed.ThawedSeq}) // it knows of the thaw
		r.must(err)
		if got := at(1, nodetest.Record{Shard: "alpha", Epoch: epoch, Root: "r"}); got != 200 {
			t.Errorf("after the thaw: %d", got)
		}
	}
	sameDigests(t, c, r.ctx)
}

// TestKeyTerms: scope, validity and retirement decide from their events on, and the answers say 403.
func TestKeyTerms(t *testing.T) {
	c := nodetest.Start(t, 1)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	submit := func(shard string, epoch int64) int {
		status, _ := r.submit(f.Sign(nodetest.Record{Shard: shard, Epoch: epoch, Root: "r"}))
		return status
	}
	own := r.keys()[0]
	terms := wire.KeyRequest{
		Alg:         own.Alg,
		Fingerprint: own.Fingerprint,
		Owner:       "lab",
		Scope:       []string{"lab-*"},
		Op:          wire.Op{Ticket: "OPS-1"},
	}
	k, err := c.Client.AddKey(r.ctx, terms)
	r.must(err)
	if k.Owner != "lab" || k.Seq != own.Seq || k.TermsSeq <= own.Seq || !k.Held {
		t.Errorf("%+v", k)
	}
	if _, err := c.Client.Freeze(r.ctx, wire.FreezeRequest{
		Scope:   wire.FreezeKey,
		Subject: "hmac-ffffffffffffffff",
		Op:      wire.Op{Reason: "x"},
	}); !errors.Is(err, client.ErrNotFound) ||
		!strings.Contains(err.Error(), `there is no key "hmac-ffffffffffffffff"`) {
		t.Errorf("a freeze of a key that there is not: %v", err)
	}
	if a, b := submit("lab-7", 1), submit("alpha", 1); a != 200 || b != 403 {
		t.Errorf("in scope %d, out of scope %d", a, b)
	}
	terms.Scope, terms.NotAfter = nil, "2020-01-01T00:00:00Z"
	_, err = c.Client.AddKey(r.ctx, terms)
	r.must(err)
	if got := submit("lab-7", 2); got != 403 {
		t.Errorf("after its end: %d", got)
	}
	terms.NotAfter = ""
	_, err = c.Client.AddKey(r.ctx, terms)
	r.must(err)
	if got := submit("alpha", 2); got != 200 {
		t.Errorf("without bounds: %d", got)
	}
	if _, err := c.Client.RetireSecret(r.ctx, own.KeyID, wire.Op{}); err == nil {
		t.Error("the secret of an active key was retired")
	}
	k, err = c.Client.RetireKey(r.ctx, own.KeyID, wire.Op{Reason: "rotation"})
	r.must(err)
	if k.Status != wire.KeyRetired || submit("alpha", 3) != 403 {
		t.Errorf("%+v", k)
	}
	if _, err := c.Client.AddKey(r.ctx, terms); err == nil {
		t.Error("a retired key got new terms")
	}
	k, err = c.Client.RetireSecret(r.ctx, own.KeyID, wire.Op{})
	r.must(err)
	if k.SecretRetired == 0 {
		t.Errorf("%+v", k)
	}
	page, err := c.Client.AuditPage(r.ctx, client.AuditQuery{Key: own.KeyID, Limit: 1})
	r.must(err)
	ev, err := c.Client.Event(r.ctx, page.Items[0].Seq, client.Read{})
	r.must(err)
	if ev.Summary["signature_facts"] != "ledger-attested" || ev.Summary["remote"] != "127.0.0.1" {
		t.Errorf("%v", ev.Summary)
	}
}

// TestMissingSecret: a node without the secret of an active key is not ready, names the fingerprint, and does
// not call a signature wrong that it cannot check.
func TestMissingSecret(t *testing.T) {
	c := nodetest.Start(t, 1)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	missing, err := verify.NewHMACKey([]byte("nobody has this"))
	r.must(err)
	fingerprint := hex.EncodeToString(missing.Fingerprint[:])
	_, err = c.Client.AddKey(r.ctx, wire.KeyRequest{Alg: "hmac-sha256", Fingerprint: fingerprint})
	r.must(err)
	if status, text := c.Once(0, "GET", "/readyz", nil); status != 503 || !strings.Contains(string(text), fingerprint) {
		t.Errorf("%d %s", status, text)
	}
	forged := f.Sign(nodetest.Record{Shard: "alpha", Epoch: 1, Root: "r", Forged: true})
	if status, text := c.Once(0, "POST", client.SubmitPath, forged); status != 503 {
		t.Errorf("a signature that cannot be checked: %d %s", status, text)
	}
	if status, _ := r.submit(f.Sign(nodetest.Record{Shard: "alpha", Epoch: 1, Root: "r"})); status != 200 {
		t.Errorf("a signature that can be checked: %d", status)
	}
	_, err = c.Client.RevokeKey(r.ctx, missing.ID, wire.RevokeRequest{})
	r.must(err)
	c.AwaitReady(0)
	if status, text := c.Once(0, "POST", client.SubmitPath, forged); status != 401 {
		t.Errorf("%d %s", status, text)
	}
}

// TestUnknownShards: the overview's question of a leaked key: which submissions are of shards that nobody expects.
func TestUnknownShards(t *testing.T) {
	c := nodetest.Start(t, 1)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	for i, shard := range []string{"lab-1", "lab-2", "strange", "lab-3"} {
		if status, _ := r.submit(f.Sign(nodetest.Record{Shard: shard, Epoch: int64(i), Root: "r"})); status != 200 {
			t.Fatal(status)
		}
	}
	_, err := c.Client.AddKnownShards(r.ctx, wire.KnownShardsRequest{Patterns: []string{"lab-*"}})
	r.must(err)
	page, err := c.Client.AuditPage(r.ctx, client.AuditQuery{UnknownShards: true})
	r.must(err)
	if len(page.Items) != 1 || page.Items[0].ShardID != "strange" {
		t.Errorf("%+v", page.Items)
	}
	if _, err := c.Client.AddKnownShards(r.ctx, wire.KnownShardsRequest{Patterns: []string{"a*b"}}); err == nil {
		t.Error("a star in the middle")
	}
}

func (r recounter) keys() []wire.KeyAnswer {
	r.t.Helper()
	page, err := r.c.Client.Keys(r.ctx)
	r.must(err)
	return page.Items
}

// TestRegisteredPublicKey: an Ed25519 key that an operator registers through one node is checked with by every
// node at once.
func TestRegisteredPublicKey(t *testing.T) {
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	public, private, err := ed25519.GenerateKey(nil)
	r.must(err)
	sign := func(epoch int64) []byte {
		rec := pcs.Decode(f.Sign(nodetest.Record{Shard: "alpha", Epoch: epoch, Root: "r"}))
		payload, err := rec.AppendPayload(nil, pcs.F9)
		r.must(err)
		digest := sha256.Sum256(payload)
		body := f.Sign(nodetest.Record{Shard: "alpha", Epoch: epoch, Root: "r"})
		return bytes.Replace(body, []byte(rec.Sig),
			[]byte(base64.StdEncoding.EncodeToString(ed25519.Sign(private, digest[:]))), 1)
	}
	if status, _ := c.Once(0, "POST", client.SubmitPath, sign(1)); status != 401 {
		t.Errorf("an unknown key: %d", status)
	}
	for i := range 3 {
		k, err := c.At(i).AddKey(r.ctx, wire.KeyRequest{
			Alg:    "ed25519",
			Public: base64.StdEncoding.EncodeToString(public),
			Owner:  "gateway",
		})
		r.must(err)
		for node := range 3 {
			if status, text := c.Once(node, "POST", client.SubmitPath, sign(int64(10*i+node+2))); status != 200 {
				t.Errorf("%s at node %d: %d %s", k.KeyID, node+1, status, text)
			}
		}
	}
	sameDigests(t, c, r.ctx)
}
