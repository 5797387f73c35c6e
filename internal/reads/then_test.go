package reads_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/ledgertest"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/reads"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// diary is a ledger that notes after each event what it answers, as the node whose log ended there did.
type diary struct {
	*recounted
	records []nodetest.Record // one for each id
	shards  []string
	notes   map[uint64]map[string]string // by event, by what was read
	ops     int
}

func newDiary(t *testing.T) *diary {
	t.Helper()
	key, err := verify.NewHMACKey([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	l := ledgertest.New(t, key)
	d := &diary{recounted: &recounted{viewed: &viewed{T: t, ctx: t.Context(), ledger: l}, ids: map[uint64]string{}, key: key},
		shards: []string{"a", "b", "c", "none"}, notes: map[uint64]map[string]string{}}
	d.gens = &heldBack{Generations: l.Gens}
	d.Views = &reads.Views{State: l.State, Generations: d.gens, Withheld: func() *wire.Problem { return nil },
		Confirm: l.Confirm}
	for _, shard := range d.shards {
		for epoch := range 4 {
			d.records = append(d.records, nodetest.Record{Shard: shard, Epoch: int64(epoch), Root: "r"})
		}
	}
	return d
}

// text reads everything, as of t.
func (d *diary) text(t api.Then) map[string]string {
	d.Helper()
	out, view := map[string]string{}, d.view(api.Read{})
	note := func(what string, v any, err error) {
		if err != nil {
			v = err.Error()
		}
		text, err := json.Marshal(v)
		d.must(err)
		out[what] = string(text)
	}
	for _, r := range d.records {
		a, err := view.Lookup(d.ctx, r.ID(), t)
		if err == nil {
			a.AsOf, a.Then = 0, nil
		}
		note(fmt.Sprintf("record %s/%d", r.Shard, r.Epoch), a, err)
	}
	for _, shard := range d.shards {
		a, err := view.Shard(d.ctx, shard, t)
		if err == nil {
			a.AsOf = 0
		}
		note("shard "+shard, a, err)
	}
	for _, silent := range []time.Duration{0, time.Hour} {
		page, err := view.Shards(d.ctx, api.ShardsQuery{Limit: 10, Silent: silent, Then: t})
		page.AsOf = 0
		note(fmt.Sprintf("shards silent for %v", silent), page, err)
	}
	return out
}

// note notes the answers after the last event.
func (d *diary) note() uint64 {
	d.Helper()
	seq := d.ledger.State.Cursor().Seq
	d.notes[seq] = d.text(api.Then{})
	return seq
}

func (d *diary) submit(records ...nodetest.Record) {
	d.Helper()
	for _, r := range records {
		d.send(d.ledger.State.Cursor().Seq+1, "192.0.2.1", r)
		d.note()
	}
}

func (d *diary) add(kind event.Kind, m proto.Message) uint64 {
	d.Helper()
	d.ledger.Add(kind, m)
	return d.note()
}

// later moves the log time. It moves by an hour at most from entry to entry.
func (d *diary) later(hours int) {
	for range hours {
		d.ledger.Advance(time.Hour)
		d.ledger.Add(event.RefusalsDropped, &event.RefusalsDroppedV1{Node: ledgertest.Node, Count: 1})
	}
}

func (d *diary) op() *event.OpV1 {
	d.ops++
	return &event.OpV1{Actor: "alice", OpId: fmt.Sprint(d.ops)}
}

// recount starts a generation and activates it, with the changes of the activation recorded.
func (d *diary) recount(number uint32, policy verify.Policy, keys uint32) {
	d.Helper()
	id := policy.ID()
	started := d.add(event.GenerationStarted, &event.GenerationStartedV1{Policy: id[:], FromSeq: 1, Keys: keys, Op: d.op()})
	d.await(func() bool { g, _ := d.ledger.Gens.Get(number); return g != nil })
	g, _ := d.ledger.Gens.Get(number)
	d.must(g.WaitSeq(d.ctx, started))
	d.activate(number, number-1, false)
}

func (d *diary) activate(number, from uint32, back bool) {
	d.Helper()
	head := d.ledger.State.Cursor().Seq
	d.ledger.Add(event.GenerationActivated, &event.GenerationActivatedV1{Generation: number, From: from, Position: head,
		Diff: make([]byte, 32), Rollback: back, Op: d.op()})
	d.await(func() bool { _, ok, err := d.ledger.Gens.Change(head + 1); return ok || err != nil })
	d.note()
}

// lived is a diary of submissions of every outcome, a recount in hindsight, and another policy.
func lived(t *testing.T) *diary {
	d := newDiary(t)
	d.note()
	one := func(shard string, epoch int64) nodetest.Record {
		return nodetest.Record{Shard: shard, Epoch: epoch, Root: "r"}
	}
	wrong := func(r nodetest.Record) nodetest.Record { r.Wrong = true; return r }
	d.submit(one("a", 1), one("b", 2), one("a", 1), wrong(one("a", 1)), wrong(one("b", 3)), one("b", 1))
	d.later(2)
	d.submit(one("a", 3), one("a", 2), wrong(one("c", 0)))
	d.later(15 * 24)
	d.submit(one("a", 2), one("b", 2), one("b", 1), one("a", 1))
	since := ledgertest.Start.Add(time.Hour).UnixNano()
	d.add(event.KeyRevoked, &event.KeyRevokedV1{KeyId: d.key.ID, Since: since, Op: d.op()})
	d.submit(one("c", 1))
	d.recount(2, verify.DefaultPolicy(), 1)
	d.submit(one("c", 2))
	return d
}

// compare compares the answers as of each event with those of then.
func (d *diary) compare(when string, skip func(seq uint64) bool) (compared int) {
	d.Helper()
	for seq, want := range d.notes {
		if skip != nil && skip(seq) {
			continue
		}
		for what, got := range d.text(api.Then{AsOf: seq}) {
			if compared++; got != want[what] {
				d.Errorf("%s, as of event %d: %s\n%s\nthen:\n%s", when, seq, what, got, want[what])
			}
		}
	}
	return compared
}

// TestAnswersAsOf: as of each event a node answers what it answered when the log ended there, across a recount, a
// rollback and another recount back, as long as the generation of then is kept.
func TestAnswersAsOf(t *testing.T) {
	d := lived(t)
	if n := d.compare("after a recount", nil); n < 400 {
		t.Errorf("%d answers", n)
	}
	d.activate(1, 2, true)
	d.submit(nodetest.Record{Shard: "c", Epoch: 3, Root: "r"})
	d.compare("after a rollback", nil)
	d.activate(2, 1, true)
	d.compare("after another one", nil)
	outcomes := map[string]bool{}
	for _, note := range d.notes {
		for _, text := range note {
			for _, word := range []string{"accepted", "escalated", "refused"} {
				if strings.Contains(text, `"outcome":"`+word) {
					outcomes[word] = true
				}
			}
		}
	}
	if len(outcomes) != 3 {
		t.Errorf("only %v", outcomes)
	}
}

// TestAnswersOfGoneGeneration: of a generation that is dropped, outcome and accepted of each record are those of then. Its
// shards are gone, and the problem names the list that has its outcomes.
func TestAnswersOfGoneGeneration(t *testing.T) {
	d := lived(t)
	policy := verify.DefaultPolicy()
	policy.Params.TolD *= 2
	d.add(event.PolicyPublished, &event.PolicyPublishedV1{Policy: policy.Canonical(), Op: d.op()})
	id := policy.ID()
	d.add(event.PolicyApplied, &event.PolicyAppliedV1{Policy: id[:], Op: d.op()})
	d.recount(3, policy, 0)
	d.await(func() bool { g, _ := d.ledger.Gens.Get(1); return g == nil })
	gone := func(seq uint64) bool { return d.ledger.State.Control().ActiveAfter(seq) == 1 }
	if n := d.compare("after two recounts", gone); n == 0 {
		t.Error("nothing was compared")
	}
	view := d.view(api.Read{})
	for seq, note := range d.notes {
		if !gone(seq) {
			continue
		}
		for _, r := range d.records {
			d.compareGone(view, r, seq, note[fmt.Sprintf("record %s/%d", r.Shard, r.Epoch)])
		}
		_, err := view.Shard(d.ctx, "a", api.Then{AsOf: seq})
		if p := problemOf(err); p.Code != wire.CodeReplaced || !strings.Contains(p.Detail, fmt.Sprintf("as_of=%d", seq)) {
			t.Errorf("a shard as of event %d: %v", seq, err)
		}
		_, err = view.Shards(d.ctx, api.ShardsQuery{Limit: 1, Then: api.Then{AsOf: seq}})
		if p := problemOf(err); p.Code != wire.CodeReplaced {
			t.Errorf("the shards as of event %d: %v", seq, err)
		}
	}
}

func (d *diary) compareGone(view api.View, r nodetest.Record, seq uint64, note string) {
	d.Helper()
	var want wire.PCSAnswer
	found := json.Unmarshal([]byte(note), &want) == nil
	a, err := view.Lookup(d.ctx, r.ID(), api.Then{AsOf: seq})
	if !found && errors.Is(err, api.ErrNotFound) {
		return
	}
	if err != nil || !found {
		d.Errorf("%s/%d as of event %d: %v, then %s", r.Shard, r.Epoch, seq, err, note)
		return
	}
	if a.Outcome != want.Outcome || a.Accepted != want.Accepted || a.Seq != want.Seq ||
		fmt.Sprint(a.Events) != fmt.Sprint(want.Events) || a.AsOf != seq || a.Then == nil || a.Then.Generation != 1 ||
		a.Then.Outcome != want.Outcome || a.Then.Accepted != want.Accepted {
		d.Errorf("%s/%d as of event %d: %+v, then %s", r.Shard, r.Epoch, seq, a, note)
	}
	known := a.Generation == 1
	if (a.Then.ReasonCode != "") != known || known && a.ReasonCode != want.ReasonCode {
		d.Errorf("%s/%d as of event %d: %+v of generation %d, then %s", r.Shard, r.Epoch, seq, a.Then, a.Generation, note)
	}
}

// TestAnswersOfAGeneration: a generation that is kept answers with its own rows, and one that is dropped as it did last.
func TestAnswersOfAGeneration(t *testing.T) {
	d := lived(t)
	view := d.view(api.Read{})
	last := d.ledger.State.Control().Activations()[0].Seq - 1
	id := nodetest.Record{Shard: "a", Epoch: 3, Root: "r"}.ID() // refused in hindsight
	for generation, want := range map[uint32]string{1: "accepted 1", 2: "refused 2"} {
		a, err := view.Lookup(d.ctx, id, api.Then{Generation: generation})
		if d.must(err); fmt.Sprint(a.Outcome, " ", a.Generation) != want || a.AsOf != 0 || a.Then != nil {
			t.Errorf("generation %d: %+v", generation, a)
		}
		page, err := view.Shards(d.ctx, api.ShardsQuery{Limit: 9, Then: api.Then{Generation: generation}})
		if d.must(err); page.Generation != generation || page.AsOf != 0 {
			t.Errorf("generation %d: %+v", generation, page)
		}
	}
	d.ledger.Add(event.GenerationDropped, &event.GenerationDroppedV1{Generation: 1})
	d.await(func() bool { g, _ := d.ledger.Gens.Get(1); return g == nil })
	a, err := view.Lookup(d.ctx, id, api.Then{Generation: 1})
	if d.must(err); a.Outcome != wire.OutcomeAccepted || a.AsOf != last || a.Then.Generation != 1 {
		t.Errorf("generation 1, dropped: %+v", a)
	}
	_, err = view.Shard(d.ctx, "a", api.Then{Generation: 1})
	if p := problemOf(err); p.Code != wire.CodeReplaced {
		t.Errorf("a shard of it: %v", err)
	}
}

// TestAnswersAsOfRefusals: an event that this node has not folded, a time before the first one, a generation that never
// answered and one that is folded again are refused as the audit list refuses them.
func TestAnswersAsOfRefusals(t *testing.T) {
	d := lived(t)
	view := d.view(api.Read{})
	head := d.ledger.State.Cursor().Seq
	id := d.records[0].ID()
	reads := map[string]func(api.Then) error{
		"record": func(t api.Then) error { _, err := view.Lookup(d.ctx, id, t); return err },
		"shard":  func(t api.Then) error { _, err := view.Shard(d.ctx, "a", t); return err },
		"shards": func(t api.Then) error { _, err := view.Shards(d.ctx, api.ShardsQuery{Limit: 1, Then: t}); return err },
		"audit": func(t api.Then) error {
			_, err := view.Audit(d.ctx, api.AuditQuery{FromSeq: 1, Limit: 1, Then: t})
			return err
		},
		"control": func(t api.Then) error { _, err := view.AsOf(d.ctx, t); return err },
	}
	for what, read := range reads {
		for name, c := range map[string]struct {
			t     api.Then
			code  wire.Code
			field string
			text  string
		}{
			"an event to come": {api.Then{AsOf: head + 1}, wire.CodeBadRequest, "as_of", "is not there yet"},
			"a time before the first": {api.Then{AsOfTime: ledgertest.Start.UnixNano() - 1}, wire.CodeBadRequest, "as_of",
				"before the first event"},
			"a time that nobody has reached": {api.Then{AsOfTime: time.Now().Add(time.Hour).UnixNano()}, wire.CodeBadRequest, "as_of",
				"later than the newest event (2026-"},
			"a generation that is none": {api.Then{Generation: 9}, wire.CodeNotFound, "generation", "it never answered"},
		} {
			if what == "control" && c.t.Generation != 0 {
				continue
			}
			if p := problemOf(read(c.t)); p.Code != c.code || p.Field != c.field || !strings.Contains(p.Detail, c.text) {
				t.Errorf("%s, %s: %+v", what, name, p)
			}
		}
	}
	d.gens.closed = 1 // the log has not dropped it
	for what, read := range reads {
		if what == "audit" || what == "control" {
			continue
		}
		if err := read(api.Then{AsOf: 3}); !errors.Is(err, errRefolded) {
			t.Errorf("%s of a generation that is folded again: %v", what, err)
		}
	}
}

var errRefolded = reads.ErrRefolded
