package node_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// lines renders a list: shard, what it says and by whom, what was said first, what is said now.
func lines(items []wire.AuditItem) string {
	var b strings.Builder
	for _, i := range items {
		fmt.Fprintf(&b, "%s %d %s by %d, was %d %s by %d", i.ShardID, i.Status, i.Outcome, i.Generation,
			i.Was.Status, i.Was.Outcome, i.Was.Generation)
		if i.Now != nil {
			fmt.Fprintf(&b, ", now %d %s by %d", i.Now.Status, i.Now.Outcome, i.Now.Generation)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (r recounter) audits(q client.AuditQuery) string {
	r.t.Helper()
	page, err := r.c.Client.AuditPage(r.ctx, q)
	r.must(err)
	return lines(page.Items)
}

// theft has two records of a shard that is right and one of a thief, whose time of theft a generation in
// hindsight takes away.
func theft(t *testing.T, tune ...func(*node.Config)) (r recounter, evil *wire.AuditItem, hindsight uint32) {
	t.Helper()
	c := nodetest.Start(t, 1, tune...)
	f := nodetest.NewRecords(t)
	r = newRecounter(t, c)
	for i, shard := range []string{"alpha", "alpha", "evil-0"} {
		if status, code := r.submit(f.Sign(nodetest.Record{
			Shard: shard,
			Epoch: int64(i + 1),
			Root:  "r",
		})); status != 200 {
			t.Fatalf("%d %s", status, code)
		}
	}
	page, err := c.Client.AuditPage(r.ctx, client.AuditQuery{})
	r.must(err)
	evil = &page.Items[2]
	_, err = c.Client.RevokeKey(r.ctx, evil.KeyID, wire.RevokeRequest{
		Since: evil.LogTime,
		Op:    wire.Op{Ticket: "INC-9"},
	})
	r.must(err)
	g, err := c.Client.StartGeneration(r.ctx, wire.GenerationRequest{
		Policy: r.publish(plainPolicy),
		Keys:   wire.KeysHindsight,
	})
	r.must(err)
	r.await(g.Generation)
	return r, evil, g.Generation
}

// TestAnswersThenAndNow: a list says what was answered first and what is said now, and can be had as of any
// event, moment and generation, also of one that is gone.
func TestAnswersThenAndNow(t *testing.T) {
	r, evil, hindsight := theft(t)
	const before = "alpha 200 accepted by 1, was 200 accepted by 1\nalpha 200 accepted by 1, was 200 accepted " +
		"by 1\nevil-0 200 accepted by 1, was 200 accepted by 1\n"
	if got := r.audits(client.AuditQuery{}); got != before {
		t.Errorf("before:\n%s", got)
	}
	if got, want := r.audits(client.AuditQuery{Read: client.Read{Generation: hindsight}, Shard: "evil-0"}),
		"evil-0 403 refused by 2, was 200 accepted by 1, now 200 accepted by 1\n"; got != want {
		t.Errorf("a generation that is built: %s", got)
	}
	activated := r.activate(hindsight, r.diff(hindsight).Digest)
	check := func(when string, q client.AuditQuery, want string) {
		t.Helper()
		if got := r.audits(q); got != want {
			t.Errorf("%s:\n%swant\n%s", when, got, want)
		}
	}
	check("the thief's shard", client.AuditQuery{Shard: "evil-0"}, "evil-0 403 refused by 2, was 200 accepted by 1\n")
	check("the others", client.AuditQuery{Shard: "alpha", Outcome: "accepted", Limit: 1},
		"alpha 200 accepted by 2, was 200 accepted by 1\n")
	const alpha = "alpha 200 accepted by 1, was 200 accepted by 1, now 200 accepted by 2\n"
	check("as of then, what was accepted then", client.AuditQuery{Read: client.Read{AsOf: fmt.Sprint(evil.Seq)}, Outcome: "accepted"},
		alpha+alpha+"evil-0 200 accepted by 1, was 200 accepted by 1, now 403 refused by 2\n")
	check("as of a moment", client.AuditQuery{Read: client.Read{AsOf: evil.LogTime}, Shard: "evil-0"},
		"evil-0 200 accepted by 1, was 200 accepted by 1, now 403 refused by 2\n")
	check("as of the event before", client.AuditQuery{Read: client.Read{AsOf: fmt.Sprint(evil.Seq - 1)}, Shard: "evil-0"}, "")
	check("as of the activation", client.AuditQuery{Read: client.Read{AsOf: fmt.Sprint(activated.Seq)}, Shard: "evil-0"},
		"evil-0 403 refused by 2, was 200 accepted by 1, now 403 refused by 2\n")
	shard, err := r.c.Client.Shard(r.ctx, "evil-0", client.Read{})
	if err != nil || !shard.RefusedOnly || shard.Refused != 1 || shard.FirstSeq != evil.Seq {
		t.Errorf("%+v %v", shard, err)
	}
	third := r.start(r.publish(laxPolicy)) // generation 1 is dropped when this one answers
	r.activate(third, r.diff(third).Digest)
	check("two recounts later", client.AuditQuery{Shard: "evil-0"}, "evil-0 403 refused by 3, was 200 accepted by 1\n")
	check("what is not known any more", client.AuditQuery{Shard: "alpha", Limit: 1},
		"alpha 200 accepted by 3, was 0 accepted by 1\n")
	check("a generation that is gone", client.AuditQuery{Read: client.Read{Generation: 1}, Shard: "evil-0"},
		"evil-0 200 accepted by 1, was 200 accepted by 1, now 403 refused by 3\n")
	check("one that is kept", client.AuditQuery{Read: client.Read{Generation: hindsight}, Outcome: "refused"},
		"evil-0 403 refused by 2, was 200 accepted by 1, now 403 refused by 3\n")
	check("between the two", client.AuditQuery{Read: client.Read{AsOf: fmt.Sprint(activated.Seq)}, Outcome: "refused"},
		"evil-0 403 refused by 2, was 200 accepted by 1, now 403 refused by 3\n")
	for q, want := range map[*client.AuditQuery]error{
		{Read: client.Read{AsOf: "999999"}}:               client.ErrRejected,
		{Read: client.Read{Generation: 9}}:                client.ErrNotFound,
		{Read: client.Read{Generation: 1, AsOf: "3"}}:     client.ErrRejected,
		{Read: client.Read{AsOf: "yesterday"}}:            client.ErrRejected,
		{Read: client.Read{AsOf: "1999-01-01T00:00:00Z"}}: client.ErrRejected,
	} {
		if page, err := r.c.Client.AuditPage(r.ctx, *q); !errors.Is(err, want) {
			t.Errorf("%+v: %+v %v", q, page, err)
		}
	}
}

// TestAuditByAddressAndPolicy: rows say where a record came from, unless the settings forbid it, and lists can
// be asked for it.
func TestAuditByAddressAndPolicy(t *testing.T) {
	r, evil, _ := theft(t)
	if evil.Remote != "127.0.0.1" {
		t.Errorf("%+v", evil)
	}
	for q, want := range map[*client.AuditQuery]int{
		{Remote: "127.0.0.1"}:                  3,
		{Remote: "127.0.0.0/8", Limit: 2}:      2,
		{Remote: "::ffff:127.0.0.1"}:           3,
		{Remote: "10.0.0.0/8"}:                 0,
		{PCS: evil.PCSID}:                      1,
		{PCS: strings.ToUpper(evil.PCSID[:8])}: 1,
		{PCS: evil.PCSID, Outcome: "refused"}:  0,
		{PCS: strings.Repeat("0", 64)}:         0,
		{Policy: evil.Policy}:                  3,
		{Policy: evil.Policy[:8]}:              3,
		{Policy: strings.Repeat("0", 64)}:      0,
	} {
		n := 0
		for item, err := range r.c.Client.Audit(r.ctx, *q) {
			r.must(err)
			if n++; item.Was.Policy != evil.Policy {
				t.Errorf("%+v: %+v", q, item)
			}
		}
		if n != want {
			t.Errorf("%+v: %d rows, want %d", q, n, want)
		}
	}
	for _, q := range []client.AuditQuery{{Remote: "localhost"}, {Remote: "10.0.0.0/33"}, {Policy: "abc"},
		{Policy: "xyzxyzxyz"}, {PCS: "abc"}, {PCS: "xyzxyzxyz"}} {
		if _, err := r.c.Client.AuditPage(r.ctx, q); !errors.Is(err, client.ErrRejected) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if _, evil, _ := theft(t, func(c *node.Config) { c.RecordRemote = false }); evil.Remote != "" {
		t.Errorf("an address was recorded: %+v", evil)
	}
}
