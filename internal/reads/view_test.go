package reads_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/corpus"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/ledgertest"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/internal/reads"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// viewed is a ledger in memory with some published records, and views of it.
type viewed struct {
	*testing.T
	*reads.Views
	ctx     context.Context
	ledger  *ledgertest.Ledger
	records []*pcs.Record // submitted, from event first on
	bodies  []string
	first   uint64
}

func newViewed(t *testing.T, records int) *viewed {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	testdata := filepath.Join("..", "..", "testdata")
	v := &viewed{T: t, ctx: ctx, ledger: ledgertest.New(t, publishedKey(t, filepath.Join(testdata, "keys.json")))}
	v.Views = &reads.Views{
		State:       v.ledger.State,
		Generations: v.ledger.Gens,
		Withheld:    func() *wire.Problem { return nil },
		Confirm:     v.ledger.Confirm,
	}
	v.first = v.ledger.State.Cursor().Seq + 1
	lines, err := corpus.Load(filepath.Join(testdata, "good-hmac.ndjson"))
	v.must(err)
	for _, line := range lines {
		body, err := line.Bytes()
		v.must(err)
		rec := pcs.Decode(body)
		facts, _ := v.ledger.Verifiers().Find(rec, verify.Facts{})
		if !facts.Valid() || slices.ContainsFunc(v.records, func(r *pcs.Record) bool { return r.PCSID == rec.PCSID }) {
			continue
		}
		v.submit(body, facts)
		v.records, v.bodies = append(v.records, rec), append(v.bodies, string(body))
		if len(v.records) == records {
			return v
		}
	}
	t.Fatalf("%d records of %d", len(v.records), records)
	return nil
}

// publishedKey returns the key that most published records are signed with.
func publishedKey(t *testing.T, file string) verify.Key {
	t.Helper()
	var keys struct {
		HMAC map[string]struct{ Text string }
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &keys); err != nil {
		t.Fatal(err)
	}
	key, err := verify.NewHMACKey([]byte(keys.HMAC["hmac-current"].Text))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (v *viewed) must(err error) {
	v.Helper()
	if err != nil {
		v.Fatal(err)
	}
}

func (v *viewed) submit(body []byte, f verify.Facts) {
	v.Helper()
	ev, err := propose.NewEvent(event.Submission, &event.SubmissionV1{
		Body:       body,
		ReceivedAt: v.ledger.Now().UnixNano(),
		Node:       ledgertest.Node,
		Remote:     "192.0.2.1",
		Facts: &event.SignatureFacts{
			KeyId:   f.KeyID,
			Alg:     uint32(f.Alg),
			Profile: uint32(f.Profile),
			Mode:    uint32(f.Mode),
		},
	})
	v.must(err)
	_, _, err = v.ledger.Packer.Submit(v.ctx, ev)
	v.must(err)
}

func (v *viewed) view(r api.Read) api.View {
	v.Helper()
	view, err := v.View(v.ctx, r)
	v.must(err)
	return view
}

// refused opens a view that must be refused.
func (v *viewed) refused(r api.Read) error {
	v.Helper()
	view, err := v.View(v.ctx, r)
	if err == nil {
		v.Fatalf("a view at %+v", view.Position())
	}
	return err
}

// TestViewReads: every read of a view gives what was submitted, and all of them agree with each other.
func TestViewReads(t *testing.T) {
	const n = 40
	v := newViewed(t, n)
	view := v.view(api.Read{Consistency: wire.ConsistencyLinearizable})
	end := v.first + n - 1
	if at := view.Position(); at != (api.Position{AppliedSeq: end, Generation: 1}) {
		t.Fatalf("position %+v", at)
	}
	page, err := view.Audit(v.ctx, api.AuditQuery{FromSeq: 1, Limit: n + 1})
	v.must(err)
	if len(page.Items) != n || page.Next != 0 {
		t.Fatalf("%d items, then %d", len(page.Items), page.Next)
	}
	shards := map[string]uint64{}
	for i, rec := range v.records {
		item, seq := page.Items[i], v.first+uint64(i)
		shards[rec.ShardID]++
		answer, err := view.Lookup(v.ctx, rec.PCSID, api.Then{})
		v.must(err)
		if item.Seq != seq || item.PCSID != rec.PCSID || item.Outcome != answer.Outcome || answer.Seq != seq ||
			!slices.Equal(answer.Events, []uint64{seq}) || len(answer.History) != 1 || item.Remote != "192.0.2.1" {
			t.Errorf("record %d: %+v, %+v", i, item, answer)
		}
		ids, err := view.Complete(v.ctx, rec.PCSID[:16], 2)
		v.must(err)
		one, err := view.Event(v.ctx, seq)
		v.must(err)
		if !slices.Equal(ids, []string{rec.PCSID}) || one.Summary["body"] != v.bodies[i] {
			t.Errorf("record %d: %v, %v", i, ids, one.Summary)
		}
	}
	list, err := view.Shards(v.ctx, api.ShardsQuery{Limit: n})
	v.must(err)
	for _, s := range list.Items {
		one, err := view.Shard(v.ctx, s.ShardID, api.Then{})
		v.must(err)
		events, err := view.Events(v.ctx, api.EventsQuery{From: 1, Shard: s.ShardID, Limit: n})
		v.must(err)
		if s.Submissions != shards[s.ShardID] || one.Submissions != s.Submissions ||
			uint64(len(events.Items)) != s.Submissions || events.Next != 0 {
			t.Errorf("shard %s: %+v, %d events, %d submitted", s.ShardID, one, len(events.Items), shards[s.ShardID])
		}
		delete(shards, s.ShardID)
	}
	if len(shards) != 0 || list.Next != "" {
		t.Errorf("no answer about the shards %v", shards)
	}
	for _, err := range []error{
		second(view.Lookup(v.ctx, "0000", api.Then{})), second(view.Event(v.ctx, end+1)), second(view.Shard(v.ctx, "none", api.Then{})),
		second(view.Digest(v.ctx, end+1, false)),
	} {
		if !errors.Is(err, api.ErrNotFound) {
			t.Errorf("what is not there: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestViewDigests: the digest at an event stays when events follow, and its edge leads to the log root of the head.
func TestViewDigests(t *testing.T) {
	v := newViewed(t, 3)
	view := v.view(api.Read{})
	head, err := view.Digest(v.ctx, 0, true)
	v.must(err)
	if head.Seq != view.Position().AppliedSeq || len(head.Edge) == 0 {
		t.Fatalf("%+v", head)
	}
	v.ledger.Add(event.RefusalsDropped, &event.RefusalsDroppedV1{Node: ledgertest.Node, Count: 1})
	later, err := view.Digest(v.ctx, 0, false)
	v.must(err)
	again, err := view.Digest(v.ctx, head.Seq, false)
	v.must(err)
	if later.Seq != head.Seq+1 || later.Log == head.Log || again.Log != head.Log || again.State != head.State ||
		again.Control != head.Control {
		t.Errorf("%+v, later %+v, again %+v", head, later, again)
	}
}

// TestViewKeepsItsGeneration: a view reads the generation that was active when it was opened. A later one reads the
// next, or the earlier one by its number, until the log drops it.
func TestViewKeepsItsGeneration(t *testing.T) {
	v := newViewed(t, 5)
	before := v.view(api.Read{})
	policy := verify.DefaultPolicy()
	id := policy.ID()
	v.ledger.Add(event.GenerationStarted, &event.GenerationStartedV1{Policy: id[:], FromSeq: 1})
	v.await(func() bool { r, _ := v.ledger.Gens.Get(2); return r != nil })
	v.ledger.Add(event.GenerationActivated, &event.GenerationActivatedV1{
		Generation: 2,
		From:       1,
		Position:   2,
		Diff:       make([]byte, 32),
	})
	after, earlier := v.view(api.Read{}), v.view(api.Read{Generation: 1})
	for number, views := range map[uint32][]api.View{1: {before, earlier}, 2: {after}} {
		for _, view := range views {
			a, err := view.Lookup(v.ctx, v.records[0].PCSID, api.Then{})
			v.must(err)
			page, err := view.Audit(v.ctx, api.AuditQuery{FromSeq: 1, Limit: 10})
			v.must(err)
			if view.Position().Generation != number || a.Generation != number || len(page.Items) != len(v.records) ||
				page.Items[0].Generation != number {
				t.Errorf("generation %d: position %+v, %+v, %d items", number, view.Position(), a, len(page.Items))
			}
		}
	}
	v.ledger.Add(event.GenerationDropped, &event.GenerationDroppedV1{Generation: 1})
	v.await(func() bool { r, _ := v.ledger.Gens.Get(1); return r == nil })
	for _, number := range []uint32{1, 3} {
		if err := v.refused(api.Read{Generation: number}); !errors.Is(err, api.ErrGenerationGone) {
			t.Errorf("generation %d: %v", number, err)
		}
	}
	var err error
	for err == nil { // it is closed a moment after it is taken from the open ones
		_, err = before.Audit(v.ctx, api.AuditQuery{FromSeq: 1, Limit: 10})
	}
	if !errors.Is(err, api.ErrGenerationGone) {
		t.Errorf("a view of a dropped generation: %v", err)
	}
	if _, err := before.Shards(v.ctx, api.ShardsQuery{Limit: 10}); !errors.Is(err, api.ErrGenerationGone) {
		t.Errorf("its shards: %v", err)
	}
}

// await waits until the open generations are as asked.
func (v *viewed) await(done func() bool) {
	v.Helper()
	for {
		_, changed := v.ledger.Gens.Get(0)
		if done() {
			return
		}
		select {
		case <-changed:
		case <-v.ctx.Done():
			v.Fatal("the generations do not become as asked")
		}
	}
}
