package pgscript

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/pgtest"
	"github.com/recount-ledger/recount/wire"
)

// fake is a cluster of rows, one page for each question, that another generation may answer from some question on.
type fake struct {
	rows        []wire.AuditItem
	generations wire.GenerationsPage
	flips       []uint64
	patterns    []string
	asked       []string
	on          func(asked string) error // before each answer
}

func (f *fake) ask(format string, args ...any) error {
	asked := fmt.Sprintf(format, args...)
	f.asked = append(f.asked, asked)
	if f.on != nil {
		return f.on(asked)
	}
	return nil
}

func (f *fake) AuditPage(_ context.Context, q client.AuditQuery) (*wire.AuditPage, error) {
	from := q.FromSeq
	if q.Cursor != "" {
		_, _ = fmt.Sscan(q.Cursor, &from)
	}
	if err := f.ask("audit %d", from); err != nil {
		return nil, err
	}
	page := &wire.AuditPage{Generation: f.generations.Active, AppliedSeq: uint64(len(f.rows)) + 1}
	for _, r := range f.rows {
		switch {
		case r.Seq < from || q.ToSeq != 0 && r.Seq > q.ToSeq:
		case len(page.Items) == q.Limit:
			page.NextCursor = fmt.Sprint(r.Seq)
			return page, nil
		default:
			r.Generation = page.Generation
			page.Items = append(page.Items, r)
		}
	}
	return page, nil
}

func (f *fake) FlipsPage(_ context.Context, q client.FlipsQuery) (*wire.FlipsPage, error) {
	if err := f.ask("flips %d up to %d", q.Generation, q.Position); err != nil {
		return nil, err
	}
	page := &wire.FlipsPage{Generation: q.Generation, Position: q.Position}
	for _, seq := range f.flips {
		page.Items = append(page.Items, wire.Flip{Seq: seq})
	}
	return page, nil
}

func (f *fake) Generations(context.Context) (*wire.GenerationsPage, error) {
	if err := f.ask("generations"); err != nil {
		return nil, err
	}
	page := f.generations
	return &page, nil
}

func (f *fake) KnownShards(context.Context) (*wire.KnownShardsPage, error) {
	return &wire.KnownShardsPage{Items: []wire.KnownShardsAnswer{{Patterns: f.patterns}}}, nil
}

func row(seq uint64) wire.AuditItem {
	const at = "2026-01-02T03:04:05.123456789Z"
	return wire.AuditItem{Seq: seq, LogTime: at, ReceivedAt: at, Node: "node-1", PCSID: strings.Repeat("ab", 32), ShardID: "s", Epoch: 1, Status: 200, Outcome: "accepted",
		Accepted: true, ReasonCode: "ok", Policy: strings.Repeat("cd", 32)}
}

// newFake has 9 rows that generation 1 says, or 2.
func newFake(active uint32) *fake {
	f := &fake{patterns: []string{"lab-*"}, generations: wire.GenerationsPage{Active: active, Items: []wire.GenerationAnswer{{Generation: 1, State: wire.GenerationPrevious},
		{Generation: 2, State: wire.GenerationActive, Activated: []uint64{10}}}}}
	for seq := range uint64(9) {
		f.rows = append(f.rows, row(seq+1))
	}
	return f
}

func (f *fake) feed(after Cursor) (*Feed, *bytes.Buffer) {
	var out bytes.Buffer
	return &Feed{Source: f, To: &out, Cluster: "c", After: after, Timeout: time.Minute, Said: func(string, ...any) {}}, &out
}

func TestCursor(t *testing.T) {
	for text, want := range map[string]Cursor{"0 0": {}, "1 4065": {1, 4065}, "1|4065\n": {1, 4065}, "2,9223372036854775807": {2, 1<<63 - 1}, " 4294967295\t1 ": {1<<32 - 1, 1}} {
		if got, err := ParseCursor(text); got != want || err != nil {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1", "1 2 3", "a 1", "-1 2", "1 -2", "0 7", "4294967296 1", "1 9223372036854775808", "1.0 2", "1;2"} {
		if got, err := ParseCursor(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestBatchMeetsASwitch: what is read while another generation takes over is thrown away and read again; nothing is loaded from
// a mixture.
func TestBatchMeetsASwitch(t *testing.T) {
	f := newFake(2)
	f.flips = []uint64{2, 5}
	switches := 0
	f.on = func(asked string) error {
		if asked == "audit 2" && switches == 0 {
			switches++
			f.generations.Items[1].Activated = []uint64{10, 12} // away and back
		}
		return nil
	}
	feed, out := f.feed(Cursor{1, 7})
	if err := feed.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	batches := strings.Split(out.String(), beginSQL)[1:]
	if len(batches) != 3 || strings.Contains(batches[0], loadSQL) || !strings.Contains(batches[1], "\nc\t1\t7\t2\t7\t2\t1\n") || !strings.Contains(batches[2], "\nc\t2\t7\t2\t10\t2\t1\n") ||
		!slices.Contains(f.asked, "flips 1 up to 7") {
		t.Errorf("%q: %s", f.asked, out)
	}
	if want := (Cursor{2, 10}); feed.After != want {
		t.Errorf("the feed is at %s", feed.After)
	}
	f.asked = nil
	if err := feed.Run(t.Context()); err != nil || strings.Count(out.String(), beginSQL) != 3 {
		t.Errorf("a batch without news, or %v", err)
	}
	if f.patterns = nil; feed.Run(t.Context()) != nil || strings.Count(out.String(), beginSQL) != 4 {
		t.Error("patterns that changed are no news")
	}
}

// TestBatchGivesUp: a cluster that never stands still, one that does not know the tables, and one whose list breaks.
func TestBatchGivesUp(t *testing.T) {
	broken := errors.New("broken")
	for name, x := range map[string]struct {
		after  Cursor
		change func(f *fake)
		want   string
	}{
		"switches all the time":      {Cursor{1, 7}, func(f *fake) { f.on = f.restless }, "another generation"},
		"stale all the time":         {Cursor{1, 7}, func(f *fake) { f.on = staleFlips }, "another generation"},
		"a generation it never had":  {Cursor{7, 7}, func(*fake) {}, "no generation 7"},
		"a flip that is in no list":  {Cursor{1, 7}, func(f *fake) { f.flips = []uint64{42} }, "event 42"},
		"an error among the rows":    {Cursor{}, func(f *fake) { f.on = failOn("audit 4", broken) }, "broken"},
		"a time that is none":        {Cursor{}, func(f *fake) { f.rows[3].LogTime = "yesterday" }, "event 4: log_time"},
		"an error among generations": {Cursor{1, 7}, func(f *fake) { f.on = failOn("generations", broken) }, "broken"},
	} {
		f := newFake(2)
		x.change(f)
		feed, out := f.feed(x.after)
		feed.batch = 3
		if err := feed.Run(t.Context()); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, tail, _ := strings.Cut(out.String(), loadSQL); strings.Contains(tail, loadSQL) || x.after.Seq != 0 && tail != "" {
			t.Errorf("%s: something was loaded: %s", name, out)
		}
		if n := strings.Count(out.String(), "FROM STDIN;\n"); n != strings.Count(out.String(), "\n\\.\n") {
			t.Errorf("%s: rows without an end: %s", name, out)
		}
	}
}

// restless has another generation active whenever the generations are asked for.
func (f *fake) restless(asked string) error {
	if f.generations.Active = 2; asked == "generations" {
		f.generations.Active = 1
	}
	return nil
}

func staleFlips(asked string) error {
	if strings.HasPrefix(asked, "flips") {
		return wire.NewProblem(wire.CodeStale, "dropped")
	}
	return nil
}

func failOn(what string, err error) func(string) error {
	return func(asked string) error {
		if asked == what {
			return err
		}
		return nil
	}
}

// TestPostgresHostile: whatever a record says arrives as it was, in its column. What PostgreSQL has no place for becomes U+FFFD.
func TestPostgresHostile(t *testing.T) {
	pg := pgtest.Start(t)
	pg.MustRun(Schema)
	texts := []string{"\\.", "\\N", "a\tb", "a\nb\r\nc\rd", `back\slash\t`, "'; drop table recount_audit; --", "$recount$", "\u202eabc", "字😀", "\x01\x02\x1b[31m\x7f\v\f\b", " ", "\\x41\\101"}
	want := map[string]string{"a\x00b": "a\uFFFDb", "\xff\xfea": "\uFFFDa", "\xed\xa0\x80": "\uFFFD"}
	for _, s := range texts {
		want[s] = s
	}
	f := newFake(1)
	f.rows = nil
	var sent []string
	for s := range want {
		r := row(uint64(len(f.rows) + 1))
		r.ShardID, r.Reason, r.RequestID, r.Node = s, s+"|"+s, s, s
		f.rows, sent = append(f.rows, r), append(sent, s)
	}
	f.patterns = sent
	feed, out := f.feed(Cursor{})
	if err := feed.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	pg.MustRun(out.String())
	for i, line := range pg.Ask("select json_build_array(shard_id, reason, request_id, node, exists (select from known_shards k where k.shard_id = a.shard_id)) from recount_audit a order by seq") {
		var got []any
		s := want[sent[i]]
		if err := json.Unmarshal([]byte(line), &got); err != nil || !slices.Equal(got, []any{s, s + "|" + s, s, s, true}) {
			t.Errorf("%q became %q %v", sent[i], got, err)
		}
	}
	if n := pg.Ask("select count(*) from recount_audit")[0]; n != fmt.Sprint(len(want)) {
		t.Errorf("%s rows of %d", n, len(want))
	}
	if out, err := pg.Run(strings.ReplaceAll(out.String(), "\nc\t", "\nother\t")); err == nil || !strings.Contains(out, "these tables hold cluster c, the script is of cluster other") {
		t.Errorf("another cluster: %v %s", err, out)
	}
	if got := pg.Ask("select distinct received_at from audit_log"); !slices.Equal(got, []string{"2026-01-02 03:04:05.123456"}) {
		t.Errorf("received_at %v", got)
	}
	// An audit log from which the rows of a shard must go.
	pg.MustRun("delete from audit_log where shard_id = '字😀'")
	if n := pg.Ask("select count(*) from recount_audit")[0]; n != fmt.Sprint(len(want)-1) {
		t.Errorf("%s rows after a deletion", n)
	}
}

// TestPostgresSchema: the tables go into no database that cannot hold what records say.
func TestPostgresSchema(t *testing.T) {
	pg := pgtest.Start(t)
	pg.MustRun("create database latin encoding 'LATIN1' locale 'C' template template0;")
	if out, err := pg.Run(Schema, "-d", "latin"); err == nil || !strings.Contains(out, "recount needs UTF8") {
		t.Errorf("%v %s", err, out)
	}
	f := newFake(1)
	feed, script := f.feed(Cursor{})
	if err := feed.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, err := pg.Run(script.String()); err == nil || !strings.Contains(out, `"recount_audit" does not exist`) {
		t.Errorf("without tables: %v %s", err, out)
	}
}
