package node_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"net/http"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// handOver sends a pack to the leader's peer port as another node does. The answer is a status as the port gives it.
func handOver(t *testing.T, c *nodetest.Cluster, from, leader int, kind event.Kind, payload []byte) int {
	t.Helper()
	pack := event.Pack{ProposedAt: 1, Events: []event.Event{{Kind: kind, Payload: payload}}}.Append(nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := c.Node(from).CallPeer(ctx, c.Config(leader).NodeID, "/v2/forward", pack)
	var remote *cluster.RemoteError
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &remote) && remote.Code != cluster.CodeInternal:
		return http.StatusUnprocessableEntity
	}
	t.Log(err)
	return http.StatusInternalServerError
}

func payloadOf(t *testing.T, m proto.Message) []byte {
	t.Helper()
	payload, err := event.NewPayload([event.SaltSize]byte{1}, m)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// TestNodeThatWasTakenOver has one node hand over what stops folds, acts in others' names, records that are not
// signed as it says, and a forged record of an agent with an Ed25519 key. The leader takes nothing of it, and
// every node goes on.
func TestNodeThatWasTakenOver(t *testing.T) {
	c := nodetest.Start(t, 3)
	r := newRecounter(t, c)
	key, err := verify.NewEd25519Key(nodetest.AbusePrivate.Public().(ed25519.PublicKey))
	r.must(err)
	_, err = c.Client.AddKey(r.ctx, wire.KeyRequest{
		Alg:    "ed25519",
		Public: base64.StdEncoding.EncodeToString(key.Public),
		Owner:  "lab 7",
		Scope:  []string{"lab-7-*"},
	})
	r.must(err)
	leader := c.Leader()
	evil := (leader + 1) % c.Size()
	own := c.Config(evil).NodeID
	widened := &event.KeyAddedV1{
		KeyId:       key.ID,
		Alg:         uint32(key.Alg),
		Public:      key.Public,
		Fingerprint: key.Fingerprint[:],
		Source:      "env",
		Node:        own,
		Op:          &event.OpV1{OpId: "o", Actor: "alice", Role: "operator"},
	}
	for what, try := range map[string]struct {
		kind    event.Kind
		payload []byte
	}{
		"a submission that no fold can read": {event.Submission, append(make([]byte, event.SaltSize), 0xff)},
		"a sum that no fold can read":        {event.RefusalsDropped, append(make([]byte, event.SaltSize), 0xff)},
		"another's name": {event.Submission,
			payloadOf(t, &event.SubmissionV1{Body: []byte("{}"), Node: c.Config(leader).NodeID})},
		"other terms of a key": {event.KeyAdded, payloadOf(t, widened)},
	} {
		if status := handOver(t, c, evil, leader, try.kind, try.payload); status < 400 || status > 499 {
			t.Errorf("%s: %d", what, status)
		}
	}
	f := nodetest.NewRecords(t)
	sub := func(m nodetest.Members) []byte {
		return payloadOf(t, &event.SubmissionV1{Body: m.Text(t), ReceivedAt: time.Now().UnixNano(), Node: own,
			Facts: &event.SignatureFacts{
				KeyId:   key.ID,
				Alg:     uint32(key.Alg),
				Profile: uint32(pcs.F9),
				Mode:    uint32(verify.SHA256),
			}})
	}
	unsigned := f.Members("lab-7-unsigned", 1)
	shared := c.Config(leader).Keys[0].ID
	for what, facts := range map[string]*event.SignatureFacts{
		"an HMAC that does not hold":     {KeyId: shared, Alg: 1, Profile: 1, Mode: 1},
		"an HMAC in another mode":        {KeyId: shared, Alg: 1, Profile: 1, Mode: 3},
		"facts of a mode that is not":    {KeyId: shared, Alg: 1, Profile: 1, Mode: 9},
		"facts of a profile that is not": {KeyId: shared, Alg: 1, Profile: 99, Mode: 1},
		"an Ed25519 key nobody added":    {KeyId: "ed-0123456789abcdef", Alg: 2, Profile: 1, Mode: 2},
		"a signature of another key":     {KeyId: key.ID, Alg: 2, Profile: 1, Mode: 2},
	} {
		for _, m := range []nodetest.Members{unsigned.Carry(make([]byte, 32)),
			unsigned.SignPCS1(t, nodetest.MAC([]byte(nodetest.AbuseSecret))), unsigned.Carry(make([]byte, 64))} {
			status := handOver(t, c, evil, leader, event.Submission,
				payloadOf(t, &event.SubmissionV1{Body: m.Text(t), ReceivedAt: 1, Node: own, Facts: facts}))
			if status != http.StatusUnprocessableEntity {
				t.Errorf("%s: %d", what, status)
			}
		}
	}
	forged, honest := f.Members("lab-7-forged", 1).Carry(make([]byte, ed25519.SignatureSize)),
		f.Members("lab-7-honest", 1).SignPCS1(t, nodetest.AbuseSigners["ed25519"])
	if status := handOver(t, c, evil, leader, event.Submission, sub(forged)); status != http.StatusUnprocessableEntity {
		t.Fatalf("a forged record: %d", status)
	}
	if status := handOver(t, c, evil, leader, event.Submission, sub(honest)); status != http.StatusOK {
		t.Fatalf("a submission in its own name: %d", status)
	}
	head := digest(t, c).Seq
	for i := range c.Size() {
		if _, err := c.At(i).Get(r.ctx, pcs.Decode(forged.Text(t)).PCSID,
			client.Read{MinSeq: head}); !errors.Is(err, client.ErrNotFound) {
			t.Errorf("node %d has the forged record: %v", i+1, err)
		}
		if a, err := c.At(i).Get(r.ctx, pcs.Decode(honest.Text(t)).PCSID, client.Read{MinSeq: head}); err != nil ||
			!a.Accepted {
			t.Errorf("node %d, the honest record: %+v %v", i+1, a, err)
		}
		c.AwaitReady(i)
	}
	page, err := c.Client.AuditPage(r.ctx, client.AuditQuery{Reason: "bad_signature"})
	r.must(err)
	if len(page.Items) != 0 {
		t.Errorf("what the leader refused is in the ledger: %+v", page.Items)
	}
	c.Check()
}
