package reads_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/ledgertest"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/reads"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

const secret = "the secret of this test"

// The events of a recounted ledger. Log time is ledgertest.Start up to event early, and an hour later from then on.
const (
	early     = 3 // shard a, accepted
	late      = 4 // shard a, accepted, refused in hindsight
	wrong     = 5 // shard b, escalated, refused in hindsight
	started   = 7 // generation 2, with hindsight of the key that event 6 revoked
	activated = 8
	revoked   = 9 // shard c, refused by both
)

// recounted is a ledger whose second generation refuses what a stolen key signed.
type recounted struct {
	*viewed
	gens *heldBack
	ids  map[uint64]string
	key  verify.Key
}

// heldBack are the generations of a ledger, of which a test can withhold some.
type heldBack struct {
	reads.Generations
	switching  bool
	unrecorded bool // no activation has recorded its flips
	closed     uint32
}

func newRecounted(t *testing.T) *recounted {
	t.Helper()
	key, err := verify.NewHMACKey([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	l := ledgertest.New(t, key)
	r := &recounted{viewed: &viewed{T: t, ctx: t.Context(), ledger: l}, ids: map[uint64]string{}, key: key}
	r.gens = &heldBack{Generations: l.Gens}
	r.Views = &reads.Views{State: l.State, Generations: r.gens, Withheld: func() *wire.Problem { return nil },
		Confirm: l.Confirm}
	r.send(early, "192.0.2.1", nodetest.Record{Shard: "a", Epoch: 1, Root: "r"})
	l.Advance(time.Hour)
	r.send(late, "192.0.2.1", nodetest.Record{Shard: "a", Epoch: 2, Root: "r"})
	r.send(wrong, "2001:db8::7", nodetest.Record{Shard: "b", Epoch: 1, Root: "r", Wrong: true})
	op := func(id string) *event.OpV1 { return &event.OpV1{Actor: "alice", OpId: id} }
	since := ledgertest.Start.Add(time.Minute).UnixNano()
	l.Add(event.KeyRevoked, &event.KeyRevokedV1{KeyId: key.ID, Since: since, Op: op("revoke")})
	policy := verify.DefaultPolicy()
	id := policy.ID()
	l.Add(event.GenerationStarted, &event.GenerationStartedV1{Policy: id[:], FromSeq: 1, Keys: 1, Op: op("start")})
	r.await(func() bool { g, _ := l.Gens.Get(2); return g != nil })
	g, _ := l.Gens.Get(2)
	r.must(g.WaitSeq(r.ctx, started))
	l.Add(event.GenerationActivated, &event.GenerationActivatedV1{Generation: 2, From: 1, Position: started,
		Diff: make([]byte, 32), Op: op("activate")})
	r.send(revoked, "::ffff:192.0.2.9", nodetest.Record{Shard: "c", Epoch: 1, Root: "r"})
	return r
}

// send commits a record, which must become event seq.
func (r *recounted) send(seq uint64, remote string, record nodetest.Record) {
	r.Helper()
	record.Key = secret
	body := nodetest.NewRecords(r.T).Sign(record)
	facts, _ := r.ledger.Verifiers().Find(pcs.Decode(body), verify.Facts{})
	r.ledger.Add(event.Submission, &event.SubmissionV1{Body: body, ReceivedAt: r.ledger.Now().UnixNano(),
		Node: ledgertest.Node, Remote: remote, Facts: &event.SignatureFacts{KeyId: facts.KeyID, Alg: uint32(facts.Alg),
			Profile: uint32(facts.Profile), Mode: uint32(facts.Mode)}})
	r.ids[seq] = record.ID()
	if got := r.ledger.State.Cursor().Seq; got != seq {
		r.Fatalf("event %d, not %d", got, seq)
	}
}

// outcomeOf writes an answer as generation, outcome and status.
func outcomeOf(a wire.AuditAnswer) string {
	return fmt.Sprintf("%d %s %d", a.Generation, a.Outcome, a.Status)
}

// list reads the rows of a query: each as its number, generation and outcome, with the outcomes at first and now.
func (r *recounted) list(view api.View, q api.AuditQuery) (string, api.AuditResult) {
	r.Helper()
	q.FromSeq = max(q.FromSeq, 1)
	if q.Newest && q.FromSeq == 1 {
		q.FromSeq = 0
	}
	if q.Limit == 0 {
		q.Limit = 10
	}
	page, err := view.Audit(r.ctx, q)
	r.must(err)
	var rows []string
	for _, a := range page.Items {
		row := fmt.Sprintf("%d: %d %s %d, was %s", a.Seq, a.Generation, a.Outcome, a.Status, outcomeOf(a.Was))
		if a.Now != nil {
			row += ", now " + outcomeOf(*a.Now)
		}
		rows = append(rows, row)
	}
	return strings.Join(rows, "\n"), page
}

// TestAuditLooksBack: a list as of an event has the outcomes that stood then, and nothing that came later.
func TestAuditLooksBack(t *testing.T) {
	r := newRecounted(t)
	view := r.view(api.Read{})
	first := ledgertest.Start.UnixNano()
	const before = "3: 1 accepted 200, was 1 accepted 200, now 2 accepted 200"
	const lateBefore = "4: 1 accepted 200, was 1 accepted 200, now 2 refused 403"
	const wrongBefore = "5: 1 escalated 202, was 1 escalated 202, now 2 refused 403"
	const now = "3: 2 accepted 200, was 1 accepted 200\n4: 2 refused 403, was 1 accepted 200\n" +
		"5: 2 refused 403, was 1 escalated 202\n9: 2 refused 403, was 2 refused 403"
	for name, c := range map[string]struct {
		q    api.AuditQuery
		want string
		asOf uint64
	}{
		"now":                   {api.AuditQuery{}, now, 0},
		"as of event 3":         {api.AuditQuery{Then: api.Then{AsOf: 3}}, before, 3},
		"as of event 4":         {api.AuditQuery{Then: api.Then{AsOf: 4}}, before + "\n" + lateBefore, 4},
		"before the activation": {api.AuditQuery{Then: api.Then{AsOf: 7}, FromSeq: 4}, lateBefore + "\n" + wrongBefore, 7},
		"at the activation": {api.AuditQuery{Then: api.Then{AsOf: 8}, FromSeq: 4, Limit: 1},
			"4: 2 refused 403, was 1 accepted 200, now 2 refused 403", 8},
		"accepted then":                  {api.AuditQuery{Then: api.Then{AsOf: 5}, Outcome: "accepted"}, before + "\n" + lateBefore, 5},
		"refused then":                   {api.AuditQuery{Then: api.Then{AsOf: 5}, Outcome: "refused"}, "", 5},
		"at the first time":              {api.AuditQuery{Then: api.Then{AsOfTime: first}}, before, 3},
		"a moment before the later time": {api.AuditQuery{Then: api.Then{AsOfTime: first + int64(time.Hour) - 1}}, before, 3},
		"generation 1":                   {api.AuditQuery{Then: api.Then{Generation: 1}, ToSeq: 4}, before + "\n" + lateBefore, 0},
		"generation 2":                   {api.AuditQuery{Then: api.Then{Generation: 2}}, now, 0},
		"newest first":                   {api.AuditQuery{Newest: true, Then: api.Then{AsOf: 4}}, lateBefore + "\n" + before, 4},
	} {
		got, page := r.list(view, c.q)
		if got != c.want || page.AsOf != c.asOf {
			t.Errorf("%s: as of %d\n%s\nwant as of %d\n%s", name, page.AsOf, got, c.asOf, c.want)
		}
	}
}

// TestAuditOfDroppedGeneration: of a generation that the log dropped a list has the last outcomes. What nothing has
// recorded is left out.
func TestAuditOfDroppedGeneration(t *testing.T) {
	r := newRecounted(t)
	r.await(func() bool { _, ok, err := r.ledger.Gens.Change(activated); return ok || err != nil })
	r.ledger.Add(event.GenerationDropped, &event.GenerationDroppedV1{Generation: 1})
	r.await(func() bool { g, _ := r.ledger.Gens.Get(1); return g == nil })
	got, page := r.list(r.view(api.Read{}), api.AuditQuery{Then: api.Then{Generation: 1}})
	want := "3: 2 accepted 200, was 1 accepted 0, now 2 accepted 200\n" +
		"4: 1 accepted 200, was 1 accepted 200, now 2 refused 403\n" +
		"5: 1 escalated 202, was 1 escalated 202, now 2 refused 403"
	if got != want || page.AsOf != activated-1 {
		t.Errorf("as of %d\n%s\nwant\n%s", page.AsOf, got, want)
	}
	for _, a := range page.Items {
		if (a.Was.ReasonCode == "") != (a.Seq == early) || (a.Was.Policy == "") != (a.Seq == early) {
			t.Errorf("event %d: %+v", a.Seq, a.Was)
		}
	}
}

// TestUnrecordedActivation: until its flips are recorded, an activation is looked up in the generation before it. A
// node that has neither asks the client to come back.
func TestUnrecordedActivation(t *testing.T) {
	r := newRecounted(t)
	r.gens.unrecorded = true
	want := "4: 1 accepted 200, was 1 accepted 200, now 2 refused 403"
	if got, _ := r.list(r.view(api.Read{}), api.AuditQuery{Then: api.Then{AsOf: 4}, FromSeq: 4}); got != want {
		t.Errorf("from the generation before it: %s", got)
	}
	r.gens.closed = 1
	_, err := r.view(api.Read{}).Audit(r.ctx, api.AuditQuery{Then: api.Then{AsOf: 4}, FromSeq: 4, Limit: 1})
	if p := problemOf(err); p.Code != wire.CodeNotReady || p.RetryAfterMS != 1000 ||
		!strings.Contains(p.Detail, "event 8") {
		t.Errorf("without either: %v", err)
	}
}

// TestAuditRefusals: what no list can have is refused, with the parameter that asks for it.
func TestAuditRefusals(t *testing.T) {
	r := newRecounted(t)
	view := r.view(api.Read{})
	for name, c := range map[string]struct {
		q     api.AuditQuery
		code  wire.Code
		field string
		text  string
	}{
		"an outcome that is none": {api.AuditQuery{Outcome: "lost"}, wire.CodeBadRequest, "outcome", "lost"},
		"a reason that is none":   {api.AuditQuery{Reason: "why"}, wire.CodeBadRequest, "reason", "why"},
		"an event to come":        {api.AuditQuery{Then: api.Then{AsOf: revoked + 1}}, wire.CodeBadRequest, "as_of", "10 is not there yet"},
		"a time before the first": {api.AuditQuery{Then: api.Then{AsOfTime: ledgertest.Start.UnixNano() - 1}}, wire.CodeBadRequest,
			"as_of", "before the first"},
		"a generation that is none": {api.AuditQuery{Then: api.Then{Generation: 3}}, wire.CodeNotFound, "generation", "it never answered"},
		"both, by the time":         {api.AuditQuery{Then: api.Then{AsOf: 1, AsOfTime: 1}}, wire.CodeBadRequest, "as_of", "before the first"},
	} {
		c.q.FromSeq, c.q.Limit = 1, 10
		_, err := view.Audit(r.ctx, c.q)
		if p := problemOf(err); p.Code != c.code || p.Field != c.field || !strings.Contains(p.Detail, c.text) {
			t.Errorf("%s: %v in %q", name, err, p.Field)
		}
	}
	if _, err := view.Audit(r.ctx, api.AuditQuery{FromSeq: 1, Limit: 1, Then: api.Then{AsOf: revoked}}); err != nil {
		t.Errorf("as of the last event: %v", err)
	}
	r.gens.closed = 1 // the log has not dropped it
	if _, err := view.Audit(r.ctx, api.AuditQuery{FromSeq: 1, Limit: 1, Then: api.Then{Generation: 1}}); err != reads.ErrRefolded {
		t.Errorf("a generation that is folded again: %v", err)
	}
}

// TestAuditFilters: each filter keeps its rows, and a page that is full names the row after it.
func TestAuditFilters(t *testing.T) {
	r := newRecounted(t)
	r.ledger.Add(event.ShardsKnown, &event.ShardsKnownV1{Patterns: []string{"a"},
		Op: &event.OpV1{Actor: "a", OpId: "known"}})
	view := r.view(api.Read{})
	policy := verify.DefaultPolicy()
	id := fmt.Sprintf("%x", policy.ID())
	hour := ledgertest.Start.Add(time.Hour).UnixNano()
	for name, c := range map[string]struct {
		q    api.AuditQuery
		want []uint64
		next uint64
	}{
		"a shard":                       {api.AuditQuery{Shard: "a"}, []uint64{early, late}, 0},
		"shards that nobody registered": {api.AuditQuery{UnknownShards: true}, []uint64{wrong, revoked}, 0},
		"the first of them":             {api.AuditQuery{UnknownShards: true, Limit: 1}, []uint64{wrong}, revoked},
		"an address": {api.AuditQuery{Remote: netip.MustParsePrefix("192.0.2.1/32")},
			[]uint64{early, late}, 0},
		"the first of an address": {api.AuditQuery{Remote: netip.MustParsePrefix("192.0.2.0/24"), Limit: 2},
			[]uint64{early, late}, wrong},
		"a network, of mapped addresses too": {api.AuditQuery{Remote: netip.MustParsePrefix("192.0.2.0/24")},
			[]uint64{early, late, revoked}, 0},
		"an IPv6 network":        {api.AuditQuery{Remote: netip.MustParsePrefix("2001:db8::/32")}, []uint64{wrong}, 0},
		"no such address":        {api.AuditQuery{Remote: netip.MustParsePrefix("198.51.100.0/24")}, nil, 0},
		"a key":                  {api.AuditQuery{Key: r.key.ID, Limit: 3}, []uint64{early, late, wrong}, revoked},
		"an outcome":             {api.AuditQuery{Outcome: "accepted"}, []uint64{early}, 0},
		"a reason":               {api.AuditQuery{Reason: "key_revoked"}, []uint64{late, wrong, revoked}, 0},
		"a policy":               {api.AuditQuery{Policy: id[:9], ToSeq: late}, []uint64{early, late}, 0},
		"another policy":         {api.AuditQuery{Policy: "0" + id}, nil, 0},
		"since":                  {api.AuditQuery{Since: hour, Limit: 2}, []uint64{late, wrong}, wrong + 1},
		"until":                  {api.AuditQuery{Until: hour}, []uint64{early}, 0},
		"a pcs_id":               {api.AuditQuery{PCS: r.ids[wrong][:8]}, []uint64{wrong}, 0},
		"from an event":          {api.AuditQuery{FromSeq: wrong}, []uint64{wrong, revoked}, 0},
		"newest first":           {api.AuditQuery{Newest: true, Limit: 2}, []uint64{revoked, wrong}, late},
		"newest first from late": {api.AuditQuery{Newest: true, FromSeq: late}, []uint64{late, early}, 0},
	} {
		_, page := r.list(view, c.q)
		var got []uint64
		for _, a := range page.Items {
			got = append(got, a.Seq)
		}
		if !slices.Equal(got, c.want) || page.Next != c.next {
			t.Errorf("%s: %v, then %d, want %v, then %d", name, got, page.Next, c.want, c.next)
		}
	}
}
