package reads_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/ledgertest"
	"github.com/recount-ledger/recount/internal/reads"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/wire"
)

func (h *heldBack) Switching() bool { return h.switching }

func (h *heldBack) Get(number uint32) (*recount.Running, <-chan struct{}) {
	if h.closed != 0 && number == h.closed {
		return nil, nil
	}
	return h.Generations.Get(number)
}

func (h *heldBack) Change(activation uint64) (fsm.Change, bool, error) {
	if h.unrecorded {
		return fsm.Change{}, false, nil
	}
	return h.Generations.Change(activation)
}

// problemOf returns the problem of an error, an empty one when it has none.
func problemOf(err error) *wire.Problem {
	p := &wire.Problem{}
	errors.As(err, &p)
	return p
}

// TestHistory: a record that a later generation judges otherwise is found, with both outcomes and the events since
// which they stood.
func TestHistory(t *testing.T) {
	r := newRecounted(t)
	r.await(func() bool { _, ok, err := r.ledger.Gens.Change(activated); return ok || err != nil })
	view := r.view(api.Read{})
	for seq, want := range map[uint64]string{
		early: "accepted 3 [3]: 2 accepted ok 3 since 3",
		late:  "refused 4 [4]: 1 accepted ok 4 since 4, 2 refused key_revoked 4 since 8",
		wrong: "refused 5 [5]: 1 escalated d_hat_mismatch 5 since 5, 2 refused key_revoked 5 since 8",
	} {
		a, err := view.Lookup(r.ctx, r.ids[seq], api.Then{})
		r.must(err)
		var history []string
		for _, h := range a.History {
			history = append(history, fmt.Sprintf("%d %s %s %d since %d",
				h.Generation, h.Outcome, h.ReasonCode, h.Seq, h.FromSeq))
			if h.Accepted != (h.Outcome == wire.OutcomeAccepted) || len(h.Policy) != 64 {
				t.Errorf("event %d: %+v", seq, h)
			}
		}
		got := fmt.Sprintf("%s %d %v: %s", a.Outcome, a.Seq, a.Events, strings.Join(history, ", "))
		if got != want || a.Generation != 2 || a.PCSID != r.ids[seq] {
			t.Errorf("event %d in generation %d: %s\nwant %s", seq, a.Generation, got, want)
		}
		ids, err := view.Complete(r.ctx, r.ids[seq][:12], 2)
		if r.must(err); !slices.Equal(ids, []string{r.ids[seq]}) {
			t.Errorf("event %d: %v begin with %s", seq, ids, r.ids[seq][:12])
		}
	}
	if _, err := view.Lookup(r.ctx, r.ids[revoked], api.Then{}); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("a record that no generation counted: %v", err)
	}
	all := []string{r.ids[early], r.ids[late], r.ids[wrong]}
	slices.Sort(all)
	for limit := range 5 {
		ids, err := view.Complete(r.ctx, "", limit)
		if want := all[:min(limit, 3)]; err != nil || !slices.Equal(ids, want) {
			t.Errorf("%d of all: %v, %v", limit, ids, err)
		}
	}
}

// TestRefusedShard: a shard of which a generation knows refusals alone is shown, and told from a counted one.
func TestRefusedShard(t *testing.T) {
	r := newRecounted(t)
	for shard, want := range map[string]string{
		"a": "2 submissions, 1 accepted, 1 refused, epoch 1 of event 3, events 3 to 4, refused only false",
		"b": "1 submissions, 0 accepted, 1 refused, no epoch, events 5 to 5, refused only true",
		"c": "1 submissions, 0 accepted, 1 refused, no epoch, events 9 to 9, refused only true",
	} {
		a, err := r.view(api.Read{}).Shard(r.ctx, shard, api.Then{})
		r.must(err)
		epoch := "no epoch"
		if a.Epoch != nil {
			epoch = fmt.Sprintf("epoch %d of event %d", *a.Epoch, a.EpochSeq)
		}
		got := fmt.Sprintf("%d submissions, %d accepted, %d refused, %s, events %d to %d, refused only %v",
			a.Submissions, a.Accepted, a.Refused, epoch, a.FirstSeq, a.LastSeq, a.RefusedOnly)
		if got != want || a.ShardID != shard || a.AtLeast {
			t.Errorf("%s: %s\nwant %s", shard, got, want)
		}
	}
	first, err := r.view(api.Read{Generation: 1}).Shard(r.ctx, "b", api.Then{})
	if r.must(err); first.RefusedOnly || first.Escalated != 1 {
		t.Errorf("in the generation that escalated it: %+v", first)
	}
}

// TestShardPages: a page of shards begins behind the id that it is given, and reports whether there are more.
func TestShardPages(t *testing.T) {
	r := newRecounted(t)
	view := r.view(api.Read{Generation: 1})
	for name, c := range map[string]struct {
		q    api.ShardsQuery
		want string
		more bool
	}{
		"all":             {api.ShardsQuery{Limit: 3}, "a b", false},
		"as many as fit":  {api.ShardsQuery{Limit: 2}, "a b", false},
		"the first":       {api.ShardsQuery{Limit: 1}, "a", true},
		"behind a":        {api.ShardsQuery{After: "a", Limit: 1}, "b", false},
		"behind the last": {api.ShardsQuery{After: "b", Limit: 1}, "", false},
		"between them":    {api.ShardsQuery{After: "aa", Limit: 9}, "b", false},
	} {
		page, err := view.Shards(r.ctx, c.q)
		r.must(err)
		var ids []string
		for _, s := range page.Items {
			ids = append(ids, s.ShardID)
		}
		if got := strings.Join(ids, " "); got != c.want || (page.Next != "") != c.more {
			t.Errorf("%s: %q, then %q", name, got, page.Next)
		}
	}
}

// TestFreshness: each way in which a node cannot be as fresh as asked has its own answer.
func TestFreshness(t *testing.T) {
	r := newRecounted(t)
	if at := r.Position(); at != (api.Position{AppliedSeq: revoked, Generation: 2}) {
		t.Errorf("position %+v", at)
	}
	ended, cancel := context.WithCancel(r.ctx)
	cancel()
	for name, read := range map[string]api.Read{
		"an event to come":                {MinSeq: revoked + 1},
		"an event to come, generation 1":  {MinSeq: revoked + 1, Generation: 1},
		"linearizable":                    {Consistency: wire.ConsistencyLinearizable, MinSeq: revoked + 1},
		"an event to come, read linearly": {Consistency: wire.ConsistencyLinearizable, MinSeq: revoked + 1, Generation: 1},
	} {
		if _, err := r.View(ended, read); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if at := r.view(api.Read{MinSeq: revoked, Generation: 1}).Position(); at.Generation != 1 || at.AppliedSeq < revoked {
		t.Errorf("generation 1 with every event: %+v", at)
	}
	r.ledger.LoseQuorum()
	_, err := r.View(r.ctx, api.Read{Consistency: wire.ConsistencyLinearizable})
	if p := problemOf(err); p.Code != wire.CodeNoLeader || p.RetryAfterMS != 1000 {
		t.Errorf("without a quorum: %v", err)
	}
	if _, err := r.View(ended, api.Read{Consistency: wire.ConsistencyLinearizable}); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that left, without a quorum: %v", err)
	}
	r.gens.closed = 1
	if err := r.refused(api.Read{Generation: 1}); !errors.Is(err, reads.ErrRefolded) {
		t.Errorf("a generation that is folded again: %v", err)
	}
	r.gens.switching = true
	if p := problemOf(r.refused(api.Read{})); p.Code != wire.CodeNotReady || p.RetryAfterMS != 1000 {
		t.Errorf("while it switches: %v", p)
	}
}

// TestEventStretches: a list of events ends at its limit, its last event and its size, and names the next one.
func TestEventStretches(t *testing.T) {
	r := newRecounted(t)
	for i := range 5 {
		r.ledger.Add(event.Submission, &event.SubmissionV1{Body: []byte(strings.Repeat(" ", 300<<10)),
			ReceivedAt: r.ledger.Now().UnixNano(), Node: ledgertest.Node, RequestId: fmt.Sprint(i),
			Facts: &event.SignatureFacts{}})
	}
	view := r.view(api.Read{})
	for name, c := range map[string]struct {
		q          api.EventsQuery
		last, next uint64
		n          int
	}{
		"a limit":                {api.EventsQuery{From: 1, Limit: 4}, 4, 5, 4},
		"the end":                {api.EventsQuery{From: 13, Limit: 9}, 14, 0, 2},
		"exactly to the end":     {api.EventsQuery{From: 13, Limit: 2}, 14, 0, 2},
		"behind the end":         {api.EventsQuery{From: 15, Limit: 2}, 0, 0, 0},
		"a last event":           {api.EventsQuery{From: 2, To: 5, Limit: 9}, 5, 0, 4},
		"a limit before it":      {api.EventsQuery{From: 2, To: 5, Limit: 3}, 4, 5, 3},
		"a last event to come":   {api.EventsQuery{From: 14, To: 99, Limit: 9}, 14, 0, 1},
		"the size":               {api.EventsQuery{From: 10, Limit: 9}, 13, 14, 4},
		"a shard":                {api.EventsQuery{From: 1, Shard: "a", Limit: 9}, late, 0, 2},
		"a shard, one":           {api.EventsQuery{From: 1, Shard: "a", Limit: 1}, early, late, 1},
		"a shard, to its first":  {api.EventsQuery{From: 1, To: early, Shard: "a", Limit: 9}, early, 0, 1},
		"a shard, from its last": {api.EventsQuery{From: late, Shard: "a", Limit: 9}, late, 0, 1},
	} {
		page, err := view.Events(r.ctx, c.q)
		r.must(err)
		var last uint64
		if n := len(page.Items); n > 0 {
			last = page.Items[n-1].Seq
		}
		if len(page.Items) != c.n || last != c.last || page.Next != c.next {
			t.Errorf("%s: %d events up to %d, then %d", name, len(page.Items), last, page.Next)
		}
	}
	ended, cancel := context.WithCancel(r.ctx)
	cancel()
	if _, err := view.Events(ended, api.EventsQuery{From: 1, Limit: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that left: %v", err)
	}
	if _, err := view.Audit(ended, api.AuditQuery{FromSeq: 1, Limit: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that left a list: %v", err)
	}
}

// TestEventSummary: an event shows its members, and the facts of a signature that no node can check any more as
// those that the ledger has attested.
func TestEventSummary(t *testing.T) {
	r := newRecounted(t)
	view := r.view(api.Read{})
	a, err := view.Event(r.ctx, late)
	r.must(err)
	want := map[string]any{"node": ledgertest.Node, "remote": "192.0.2.1", "key_id": r.key.ID, "algorithm": "hmac-sha256",
		"received_at": wire.TimeNS(ledgertest.Start.Add(time.Hour).UnixNano())}
	for name, value := range want {
		if a.Summary[name] != value {
			t.Errorf("%s: %v, not %v", name, a.Summary[name], value)
		}
	}
	if a.Kind != "submission" || a.Seq != late || a.Leaf.Seq != late || a.LogTime != want["received_at"] ||
		len(a.LeafHash) != 64 || a.Summary["signature_facts"] != nil {
		t.Errorf("%+v", a)
	}
	revocation, err := view.Event(r.ctx, late+2)
	if r.must(err); revocation.Kind != "key_revoked" || revocation.Summary["key_id"] != r.key.ID {
		t.Errorf("%+v", revocation)
	}
	r.ledger.Add(event.KeySecretRetired, &event.KeySecretRetiredV1{KeyId: r.key.ID,
		Op: &event.OpV1{Actor: "a", OpId: "s"}})
	a, err = view.Event(r.ctx, late)
	if r.must(err); a.Summary["signature_facts"] != "ledger-attested" {
		t.Errorf("without the secret: %v", a.Summary)
	}
}
