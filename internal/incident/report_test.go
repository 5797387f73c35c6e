package incident

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// TestTally: numbers by shard, outcome, address and hour, with the first and the last record of each shard. Shards
// that nobody expects come first, then those with more records, then by name.
func TestTally(t *testing.T) {
	all := NewTally()
	for i, r := range []struct{ at, shard, remote, outcome string }{
		{"2026-01-19T10:00:00Z", "lab-b", "10.0.0.1", "accepted"},
		{"2026-01-19T10:59:59.999999999Z", "lab-a", "10.0.0.1", "accepted"},
		{"2026-01-19T11:00:00Z", "thief-2", "", "refused"},
		{"2026-01-19T12:30:00+01:00", "lab-b", "10.0.0.2", "escalated"}, // 11:30 in UTC
		{"2026-01-20T00:00:00Z", "thief-1", "10.0.0.2", "accepted"},
		{"2026-01-20T00:00:00Z", "lab-c", "10.0.0.2", "accepted"},
	} {
		item := wire.AuditItem{Seq: uint64(7 + i), LogTime: r.at, ShardID: r.shard, Remote: r.remote}
		if err := all.Add(&item, r.outcome); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the lists are made anew, and not longer
		all.Finish(func(shard string) bool { return strings.HasPrefix(shard, "lab-") })
	}
	var shards []string
	for _, s := range all.Shards {
		shards = append(shards, fmt.Sprintf("%s %d %v %d-%d", s.ShardID, s.Submissions, s.Known, s.FirstSeq, s.LastSeq))
	}
	want := "thief-1 1 false 11-11, thief-2 1 false 9-9, lab-b 2 true 7-10, lab-a 1 true 8-8, lab-c 1 true 12-12"
	if got := strings.Join(shards, ", "); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := fmt.Sprint(all.UnknownShards, all.FirstSeq, all.LastSeq, all.Submissions()); got != "[thief-1 thief-2] 7 12 6" {
		t.Error(got)
	}
	if got := fmt.Sprint(all.Addresses()); got != "[{10.0.0.2 3} {10.0.0.1 2} { 1}]" {
		t.Error(got)
	}
	var hours []string
	for _, h := range all.Hours {
		hours = append(hours, fmt.Sprint(h.Start[:13], h.ByOutcome))
	}
	want = "2026-01-19T10map[accepted:2] 2026-01-19T11map[escalated:1 refused:1] 2026-01-20T00map[accepted:2]"
	if got := strings.Join(hours, " "); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestTallyRefuses: a record whose log time is none is counted nowhere.
func TestTallyRefuses(t *testing.T) {
	all := NewTally()
	for _, at := range []string{"", "yesterday", "2026-02-30T00:00:00Z", "2026-01-19"} {
		if err := all.Add(&wire.AuditItem{Seq: 7, LogTime: at, ShardID: "s"}, "accepted"); err == nil {
			t.Errorf("%q is counted", at)
		}
	}
	all.Finish(func(string) bool { return true })
	if all.Submissions() != 0 || all.FirstSeq != 0 || len(all.ByShard)+len(all.Shards)+len(all.Hours)+len(all.ByOutcome) != 0 {
		t.Errorf("%+v", all)
	}
	text, err := json.Marshal(all)
	if err != nil || strings.Contains(string(text), "null") {
		t.Errorf("%v: an empty list is null: %s", err, text)
	}
}

// hoursOf are hours with one accepted record each, so many hours after the first.
func hoursOf(after ...int) (all []Hour) {
	start := time.Date(2026, 1, 19, 10, 0, 0, 0, time.UTC)
	for _, n := range after {
		all = append(all, Hour{wire.Time(start.Add(time.Duration(n) * time.Hour)), map[string]int{"accepted": 1}})
	}
	return all
}

// TestBinsEdges: the shortest span that needs at most so many bars, on both sides of each change, and every record in
// one of them.
func TestBinsEdges(t *testing.T) {
	for _, c := range []struct {
		last int // hours after the first
		name string
		bars int
	}{
		{0, "hour", 1},
		{1, "hour", 2},
		{mostBars - 1, "hour", mostBars},
		{mostBars, "3 hours", mostBars/3 + 1},
		{3*mostBars - 1, "3 hours", mostBars},
		{3 * mostBars, "6 hours", mostBars/2 + 1},
		{6*mostBars - 1, "6 hours", mostBars},
		{6 * mostBars, "day", mostBars/4 + 1},
		{24*mostBars - 1, "day", mostBars},
		{24 * mostBars, "week", mostBars/7 + 1},
		{168*mostBars - 1, "week", mostBars},
		{168 * mostBars, "4 weeks", mostBars/4 + 1},
		{672 * mostBars, "52 weeks", mostBars/13 + 1},
	} {
		b := binned(hoursOf(0, c.last))
		held := 0
		for _, counts := range b.counts {
			held += total(counts)
		}
		if b.name != c.name || len(b.counts) != c.bars || held != 2 || total(b.counts[0]) < 1 {
			t.Errorf("%d hours: %d bars per %s hold %d, want %d per %s", c.last, len(b.counts), b.name, held, c.bars, c.name)
		}
	}
	for name, hours := range map[string][]Hour{"none": nil, "no first": {{Start: "x"}}, "no last": {hoursOf(0)[0], {Start: "x"}},
		"no middle": {hoursOf(0)[0], {Start: "x"}, hoursOf(1)[0]}, "backwards": hoursOf(5, 0)} {
		if b := binned(hours); b != nil {
			t.Errorf("%s: %+v", name, b)
		}
	}
}

// TestPlotValues: bars stand on each other, the highest reaches the top, and the axis has its number.
func TestPlotValues(t *testing.T) {
	all := NewTally()
	for i, outcome := range []string{"accepted", "accepted", "refused", "accepted", "conflict"} {
		item := wire.AuditItem{Seq: uint64(i + 1), LogTime: hoursOf(i / 3)[0].Start, ShardID: "s"}
		if err := all.Add(&item, outcome); err != nil {
			t.Fatal(err)
		}
	}
	all.Finish(func(string) bool { return true })
	p := all.Plot()
	var bars []string
	for _, b := range p.Bars {
		bars = append(bars, fmt.Sprintf("%.0f+%.0f %.0f+%.0f c%d %s", b.X, b.Width, b.Y, b.Height, b.Color, b.Title))
	}
	want := strings.Join([]string{
		"46+336 59+103 c0 2026-01-19 10:00Z: 2 accepted",
		"46+336 8+51 c2 2026-01-19 10:00Z: 1 refused",
		"383+336 111+51 c0 2026-01-19 11:00Z: 1 accepted",
		"383+336 59+51 c1 2026-01-19 11:00Z: 1 conflict",
	}, "\n")
	if got := strings.Join(bars, "\n"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := fmt.Sprint(p.Legend, p.Ticks, p.Dates); got != "[{0 accepted 3} {1 conflict 1} {2 refused 1}] [{8 3} {162 0}] "+
		"[{46 2026-01-19 10:00Z} {720 2026-01-19 12:00Z}]" {
		t.Error(got)
	}
}

// TestWriteFails: a report that cannot be written is an error, and what was there before stays.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir, &Key{KeyID: "one", Tally: NewTally()}, nil); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, "incident.json"))
	if err != nil {
		t.Fatal(err)
	}
	lost := errors.New("no page")
	if err := Write(dir, noPage{lost}, nil); !errors.Is(err, lost) {
		t.Errorf("%v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(dir, &Key{KeyID: "two", Tally: NewTally()}, map[string][]byte{"taken": nil}); err == nil {
		t.Error("a directory is replaced by a file")
	}
	if after, err := os.ReadFile(filepath.Join(dir, "incident.json")); err != nil || string(after) != string(before) {
		t.Errorf("%v: %s", err, after)
	}
	if err := Write(filepath.Join(dir, "index.html", "x"), &Key{}, nil); err == nil {
		t.Error("a file is a directory")
	}
}

// noPage is a report whose page cannot be made.
type noPage struct{ err error }

func (n noPage) WritePage(io.Writer) error { return n.err }
