package node_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// abuseKeys makes every node hold the keys of the abuse tests as well.
func abuseKeys(t *testing.T) func(*node.Config) {
	h, err := verify.NewHMACKey([]byte(nodetest.AbuseSecret))
	if err != nil {
		t.Fatal(err)
	}
	e, err := verify.NewEd25519Key(nodetest.AbusePrivate.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return func(cfg *node.Config) { cfg.Keys = append(slices.Clone(cfg.Keys), h, e) }
}

// post sends a record to node i once.
func post(c *nodetest.Cluster, i int, body []byte) (int, wire.SubmitAnswer, wire.Problem) {
	status, text := c.Once(i, http.MethodPost, client.SubmitPath, body)
	var a wire.SubmitAnswer
	var p wire.Problem
	if status == http.StatusOK || status == http.StatusAccepted {
		_ = json.Unmarshal(text, &a)
	} else {
		_ = json.Unmarshal(text, &p)
	}
	return status, a, p
}

// TestPolicyAsksForWholeRecords: once the policy takes pcs/2 only, records of pcs/1 are refused with a reason
// that tells, even repetitions of accepted ones, good or forged; recounting takes away what they had.
func TestPolicyAsksForWholeRecords(t *testing.T) {
	c := nodetest.Start(t, 3, abuseKeys(t))
	r := newRecounter(t, c)
	base := nodetest.NewRecords(t).Members("policy", 2)
	// the counts of the first were changed on the way
	one, two := base.With("N_j", `{"2":2,"4":4}`).SignPCS1(t, nodetest.AbuseSigners["hmac"]),
		base.SignPCS2(t, nodetest.AbuseSigners["hmac"])
	other := nodetest.NewRecords(t).Members("policy-2", 2).SignPCS2(t, nodetest.AbuseSigners["hmac"])
	if status, a, p := post(c, 0, one.Text(t)); status != 202 || a.InputsSigned {
		t.Fatalf("%d %+v %+v", status, a, p)
	}
	if status, a, _ := post(c, 1, two.Text(t)); status != 202 || !a.Replayed || a.InputsSigned {
		t.Errorf("%d %+v", status, a)
	}
	if status, a, _ := post(c, 2, other.Text(t)); status != 200 || !a.InputsSigned {
		t.Errorf("%d %+v", status, a)
	}
	id := r.publish("signature: {schemes: [pcs/2]}\n")
	applied, err := c.Client.ApplyPolicy(r.ctx, id, wire.ApplyRequest{
		Op: wire.Op{Reason: "inputs must be signed", Ticket: "T-2"},
	})
	r.must(err)
	c.Await("the policy on every node", func() error {
		for i := range 3 {
			if d, err := c.At(i).Digest(r.ctx, 0); err != nil || d.Seq < applied.Seq {
				return fmt.Errorf("node %d: %+v %v", i+1, d, err)
			}
		}
		return nil
	})
	for i := range 3 {
		for what, m := range map[string]nodetest.Members{
			"good":   one,
			"forged": one.Carry(make([]byte, 32)),
			"new":    nodetest.NewRecords(t).Members("policy-3", 1).SignPCS1(t, nodetest.AbuseSigners["hmac"]),
		} {
			status, _, p := post(c, i, m.Text(t))
			if status != 401 || p.Code != wire.CodeBadSignature || !strings.Contains(p.Detail, "scheme pcs/2 only") {
				t.Errorf("node %d, pcs/1, %s: %d %+v", i+1, what, status, p)
			}
		}
		if status, a, p := post(c, i, other.Text(t)); status != 200 || !a.Replayed || !a.InputsSigned {
			t.Errorf("node %d, pcs/2: %d %+v %+v", i+1, status, a, p)
		}
	}
	number := r.start(id)
	r.activate(number, r.diff(number).Digest)
	r.everywhere(pcs.Decode(two.Text(t)).PCSID, func(a *wire.PCSAnswer) error {
		if a.Outcome != wire.OutcomeAccepted || !a.InputsSigned || len(a.History) < 2 {
			return fmt.Errorf("not the record of pcs/2")
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	signed := map[bool]int{}
	for item, err := range c.Client.Audit(ctx, client.AuditQuery{Outcome: wire.OutcomeAccepted}) {
		r.must(err)
		signed[item.InputsSigned]++
	}
	if signed[true] != 2 || signed[false] != 0 {
		t.Errorf("accepted, by whether the inputs are signed: %v", signed)
	}
	c.Check()
}
