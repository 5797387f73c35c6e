package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/test/harness"
	"github.com/recount-ledger/recount/wire"
)

// TestReplaysOfSignedRecords: to another node, after a restart of all, after a failover; the same record gets the same answer,
// one with other inputs is refused under pcs/2 and changes nothing under pcs/1.
func TestReplaysOfSignedRecords(t *testing.T) {
	c := abuse(t, 3)
	two := c.records.Members("replay-2", 4).SignPCS2(t, nodetest.AbuseSigners["ed25519"])
	one := c.records.Members("replay-1", 4).SignPCS1(t, nodetest.AbuseSigners["hmac"])
	_, firstTwo, _ := c.post(0, two.Text(t))
	_, firstOne, _ := c.post(0, one.Text(t))
	if firstTwo.Outcome != wire.OutcomeAccepted || !firstTwo.InputsSigned || firstOne.Outcome != wire.OutcomeAccepted || firstOne.InputsSigned {
		t.Fatalf("%+v %+v", firstTwo, firstOne)
	}
	again := func(when string, i int) {
		t.Helper()
		for _, x := range []struct {
			m     nodetest.Members
			first wire.SubmitAnswer
		}{{two, firstTwo}, {one, firstOne}} {
			status, a, p := c.post(i, x.m.Text(t))
			if status != 200 || !a.Replayed || a.Seq != x.first.Seq || a.InputsSigned != x.first.InputsSigned || a.ReceivedAt != x.first.ReceivedAt || a.Node != x.first.Node {
				t.Errorf("%s, node %d: %d %+v %+v", when, i+1, status, a, p)
			}
		}
		if status, _, p := c.post(i, two.With("N_j", `{"2":2}`).Text(t)); status != 401 {
			t.Errorf("%s, node %d, pcs/2 with other counts: %d %+v", when, i+1, status, p)
		}
		if status, _, p := c.post(i, two.Without("sig_scheme").Text(t)); status != 401 {
			t.Errorf("%s, node %d, pcs/2 without its member: %d %+v", when, i+1, status, p)
		}
		if status, a, p := c.post(i, one.With("N_j", `{"2":2}`).Text(t)); status != 200 || !a.Replayed || a.Seq != firstOne.Seq {
			t.Errorf("%s, node %d, pcs/1 with other counts: %d %+v %+v", when, i+1, status, a, p)
		}
		if status, a, p := c.post(i, one.With("sig_scheme", `"pcs/2"`).Text(t)); status != 401 {
			t.Errorf("%s, node %d, pcs/1 that says pcs/2: %d %+v %+v", when, i+1, status, a, p)
		}
	}
	for i := range 3 {
		again("at once", i)
	}
	c.killAll()
	for i := range 3 {
		again("after kill -9 of all", i)
	}
	old := leaderOf(t, c.ctx, c.Cluster)
	c.must(c.Kill(old))
	for i := range 3 {
		if i != old {
			c.must(c.AwaitReady(c.ctx, i))
			again("after a failover", i)
		}
	}
	c.must(c.Restart(old))
	c.must(c.AwaitReady(c.ctx, old))
	again("back again", old)
	sameDigest(t, c.ctx, c.Cluster)
}

func (a *abused) killAll() {
	a.t.Helper()
	for i := range a.API {
		a.must(a.Kill(i))
	}
	for i := range a.API {
		a.must(a.Restart(i))
	}
	for i := range a.API {
		a.must(a.AwaitReady(a.ctx, i))
	}
}

// TestReplaysAroundTheTTL sends records again and again while the dedup period of a policy runs out, to all nodes in turn.
// In the log, what came within the period is a repetition, the next one is judged anew, and it counts from there.
func TestReplaysAroundTheTTL(t *testing.T) {
	const ttl = 2 * time.Second
	c := abuse(t, 3)
	c.apply(fmt.Sprintf("params: {dedup_ttl: %q}\n", ttl))
	bodies := [][]byte{
		c.records.Members("ttl-2", 1).SignPCS2(t, nodetest.AbuseSigners["ed25519"]).Text(t),
		c.records.Members("ttl-1", 1).SignPCS1(t, nodetest.AbuseSigners["hmac"]).Text(t),
	}
	node, renewed := 0, make([]int, len(bodies))
	c.await("both records to be judged three times", func() bool {
		for i, body := range bodies {
			node++
			status, a, p := c.post(node%3, body)
			if status != http.StatusOK || a.Outcome != wire.OutcomeAccepted {
				t.Fatalf("%d %+v %+v", status, a, p)
			}
			if a.Reverified {
				renewed[i]++
			}
		}
		return min(renewed[0], renewed[1]) >= 2
	})
	sameDigest(t, c.ctx, c.Cluster)
	auditor := c.as(wire.RoleAuditor)
	for _, shard := range []string{"ttl-1", "ttl-2"} {
		var judged, last time.Time
		repetitions, late := 0, 0
		for row, err := range auditor.Audit(c.ctx, client.AuditQuery{Shard: shard}) {
			c.must(err)
			at, err := time.Parse(time.RFC3339Nano, row.LogTime)
			c.must(err)
			within := !judged.IsZero() && at.Sub(judged) <= ttl
			if row.Status != http.StatusOK || row.Replayed != within || row.Reverified != (!within && !judged.IsZero()) {
				t.Errorf("%s %v after the judgement: %+v", shard, at.Sub(judged), row)
			}
			if within {
				repetitions++
			} else {
				if !judged.IsZero() {
					late++
					t.Logf("%s: %v after its judgement the last repetition, %v after it judged anew", shard, last.Sub(judged), at.Sub(judged))
				}
				judged = at
			}
			last = at
		}
		if repetitions < 20 || late < 2 {
			t.Errorf("%s: %d repetitions, %d judged anew", shard, repetitions, late)
		}
	}
}

// apply publishes a policy with the built tool and makes it judge from now on.
func (a *abused) apply(document string) {
	a.t.Helper()
	file := filepath.Join(a.t.TempDir(), "policy.yaml")
	a.must(os.WriteFile(file, []byte(document), 0o600))
	var policy wire.PolicyAnswer
	a.run(&policy, "policy", "publish", file, "--yes")
	a.run(nil, "policy", "apply", policy.ID, "--yes")
	sameDigest(a.t, a.ctx, a.Cluster)
}

// TestForbiddenRecords goes through what a key that verifies may not do: write to a shard of another, write to a frozen shard,
// write once it is revoked. On every node it gets one answer, which tells nothing of what another sent, and leaves no trace;
// what it sent before is answered again until it is revoked.
func TestForbiddenRecords(t *testing.T) {
	c := abuse(t, 3)
	secret := filepath.Join(t.TempDir(), "abuse.key")
	c.must(os.WriteFile(secret, []byte(nodetest.AbuseSecret+"\n"), 0o600))
	var key wire.KeyAnswer
	c.run(&key, "key", "add", "--hmac-key-file", secret, "--owner", "lab", "--shard", "own-*", "--shard", "shared")
	sameDigest(t, c.ctx, c.Cluster)
	sign := nodetest.AbuseSigners["hmac"]
	own := c.records.Members("own-1", 1).SignPCS2(t, sign).Text(t)
	if status, _, p := c.post(0, own); status != http.StatusOK {
		t.Fatalf("in its own shard: %d %+v", status, p)
	}
	c.squat(sign)
	c.frozen(own, sign)
	c.run(nil, "incident", "key", key.KeyID, "--yes", "--since", "1h", "--reason", "stolen", "--ticket", "INC-9", "--out", t.TempDir())
	sameDigest(t, c.ctx, c.Cluster)
	revoked := func(when string) {
		for i := range c.API {
			c.refused(when+", again", i, own, http.StatusForbidden, wire.CodeKeyNotAllowed)
			c.refused(when+", new", i, c.records.Members("own-1", 9).SignPCS2(t, sign).Text(t), http.StatusForbidden, wire.CodeKeyNotAllowed)
		}
	}
	revoked("revoked")
	c.killAll()
	revoked("revoked before kill -9 of all")
	sameDigest(t, c.ctx, c.Cluster)
}

// refused sends a body and wants a problem that quotes no first outcome.
func (a *abused) refused(what string, i int, body []byte, status int, code wire.Code) {
	a.t.Helper()
	if got, answer, p := a.post(i, body); got != status || p.Code != code || p.First != nil {
		a.t.Errorf("%s, node %d: %d %+v %+v", what, i+1, got, answer, p)
	}
}

// squat writes to shards that are not the key's, before and after their owner.
func (a *abused) squat(sign nodetest.Signer) {
	a.t.Helper()
	auditor := a.as(wire.RoleAuditor)
	for i := range a.API {
		for _, shard := range []string{"victim", "own", "Own-1", "xown-1", "shared-1", "share"} {
			m := a.records.Members(shard, int64(i+1))
			a.refused("squatting "+shard, i, m.SignPCS2(a.t, sign).Text(a.t), http.StatusForbidden, wire.CodeKeyNotAllowed)
			var id string
			a.must(json.Unmarshal(m["pcs_id"], &id))
			if _, err := auditor.Get(a.ctx, id, client.Read{}); !errors.Is(err, client.ErrNotFound) {
				a.t.Errorf("squatting %s left a trace: %v", shard, err)
			}
			if status, answer, p := a.post(i, m.SignPCS2(a.t, nodetest.MAC([]byte(harness.BenchKey))).Text(a.t)); status != http.StatusOK || answer.Replayed {
				a.t.Errorf("the owner of %s: %d %+v %+v", shard, status, answer, p)
			}
			a.refused("repeating another's "+shard, i, m.SignPCS2(a.t, sign).Text(a.t), http.StatusForbidden, wire.CodeKeyNotAllowed)
			a.refused("contradicting another's "+shard, i, m.With("r", "0.1").SignPCS2(a.t, sign).Text(a.t), http.StatusForbidden, wire.CodeKeyNotAllowed)
		}
	}
}

// frozen freezes a shard with an answered record in it.
func (a *abused) frozen(before []byte, sign nodetest.Signer) {
	a.t.Helper()
	a.run(nil, "freeze", "--shard", "own-1", "--reason", "drill")
	sameDigest(a.t, a.ctx, a.Cluster)
	first := map[uint64]bool{}
	for i := range a.API {
		status, answer, p := a.post(i, before)
		if first[answer.Seq] = true; status != http.StatusOK || !answer.Replayed {
			a.t.Errorf("a replay in a frozen shard, node %d: %d %+v %+v", i+1, status, answer, p)
		}
		fresh := a.records.Members("own-1", 5)
		a.refused("new in a frozen shard", i, fresh.SignPCS2(a.t, sign).Text(a.t), http.StatusServiceUnavailable, wire.CodeFrozen)
		a.refused("a contradiction in a frozen shard", i, a.records.Members("own-1", 1).With("r", "0.1").SignPCS2(a.t, sign).Text(a.t), http.StatusServiceUnavailable, wire.CodeFrozen)
		if status, answer, p := a.post(i, a.records.Members("own-2", int64(i+1)).SignPCS2(a.t, sign).Text(a.t)); status != http.StatusOK {
			a.t.Errorf("another shard, node %d: %d %+v %+v", i+1, status, answer, p)
		}
	}
	if len(first) != 1 {
		a.t.Errorf("replays name %v", first)
	}
	a.run(nil, "thaw", "--shard", "own-1", "--reason", "drill")
	sameDigest(a.t, a.ctx, a.Cluster)
	if status, answer, p := a.post(1, a.records.Members("own-1", 5).SignPCS2(a.t, sign).Text(a.t)); status != http.StatusOK || answer.Replayed {
		a.t.Errorf("thawed: %d %+v %+v", status, answer, p)
	}
}
