package incident

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// hostile are texts that a page must show and never carry out.
var hostile = []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</title><svg onload=alert(1)>`, `]]>`, `&lt;b&gt;`, `'{{.Reason}}'`,
	"\u202egnp.exe", "a\x1b[31m", "x\x00y", "javascript:alert(1)", `</style><style>*{display:none}`, "<!--", "\u2028"}

// tally counts records of each hostile text as shard, address and outcome, an hour apart.
func tally(t *testing.T) Tally {
	t.Helper()
	all := NewTally()
	for i, text := range hostile {
		at := wire.Time(time.Date(2026, 1, 19, 10+i, 30, 0, 0, time.UTC))
		if err := all.Add(&wire.AuditItem{Seq: uint64(7 + i), LogTime: at, ShardID: text, Remote: text}, text); err != nil {
			t.Fatal(err)
		}
	}
	all.Finish(func(string) bool { return false })
	return all
}

func origin(text string) Origin {
	return Origin{Cluster: text, ClusterID: text, Author: text, Role: text, Credential: text, WrittenAt: text, LogSeq: 99, LogDigest: text, Reason: text, Ticket: text,
		Next: []string{text}}
}

func pageOf(t *testing.T, r report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WritePage(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// tags are the elements of the page itself; a hostile text may add none.
var tags = regexp.MustCompile(`<[!/]?[a-zA-Z-]+`)

// TestPagesWithHostileContent: whatever records, agents and operators bring is shown as text, with what nobody sees made visible. The page
// has no script, fetches nothing and has the same elements as with harmless texts.
func TestPagesWithHostileContent(t *testing.T) {
	for _, text := range hostile {
		pages := func(text string, all Tally) map[string]report {
			return map[string]report{
				"key": &Key{KeyID: text, Owner: text, Since: text, SignedSince: 3, Hindsight: 2, Origin: origin(text), Tally: all},
				"bypass": &Bypass{State: text, Canaries: []Canaries{{At: text}}, Freeze: &wire.FreezeAnswer{At: text, Reason: text}, Fix: text, Dangers: []string{text},
					Policies: []wire.PolicyAnswer{{ID: text, At: text, Actor: text, Reason: text}}, Operations: []Operation{{At: text, Actor: text, What: text, Reason: text, Ticket: text}},
					Diff: &wire.DiffAnswer{Digest: text}, Origin: origin(text), Tally: all}}
		}
		harmless := NewTally()
		for i := range hostile {
			at := wire.Time(time.Date(2026, 1, 19, 10+i, 30, 0, 0, time.UTC))
			if err := harmless.Add(&wire.AuditItem{Seq: uint64(7 + i), LogTime: at, ShardID: fmt.Sprint("lab-", i), Remote: fmt.Sprint("10.0.0.", i)}, fmt.Sprint("accepted", i)); err != nil {
				t.Fatal(err)
			}
		}
		harmless.Finish(func(string) bool { return false })
		want := pages("plain", harmless)
		for kind, r := range pages(text, tally(t)) {
			got := pageOf(t, r)
			if a, b := strings.Join(tags.FindAllString(got, -1), " "), strings.Join(tags.FindAllString(pageOf(t, want[kind]), -1), " "); a != b {
				t.Errorf("%s with %q has other elements:\n%s\n%s", kind, text, a, b)
			}
			for _, bad := range []string{"<script", "\u202e", "\x1b", "\x00", "\u2028", " src=", "http:", "https:", "url("} {
				if strings.Contains(strings.ReplaceAll(got, "&lt;img src=x", ""), bad) {
					t.Errorf("%s with %q has %q", kind, text, bad)
				}
			}
			if !strings.Contains(got, `content="default-src 'none'; style-src 'unsafe-inline'"`) || !strings.Contains(got, "@media print") {
				t.Errorf("%s forbids nothing, or has no rules for paper", kind)
			}
		}
	}
}

// TestKeyPage: a page says which cluster, who, when, at which state of the log, and from where and when the records came.
func TestKeyPage(t *testing.T) {
	all := NewTally()
	for i, at := range []string{"2026-01-19T10:05:00Z", "2026-01-19T10:55:00Z", "2026-01-19T13:00:00Z"} {
		item := wire.AuditItem{Seq: uint64(7 + i), LogTime: at, ShardID: []string{"thief", "lab", "lab"}[i], Remote: []string{"10.0.0.7", "", "10.0.0.7"}[i]}
		if err := all.Add(&item, []string{"accepted", "accepted", "escalated"}[i]); err != nil {
			t.Fatal(err)
		}
	}
	all.Finish(func(shard string) bool { return shard == "lab" })
	k := &Key{KeyID: "hmac-1", SignedSince: 3, Tally: all, Origin: Origin{Cluster: "context prod", ClusterID: "c-77", Author: "alice", Role: "responder",
		Credential: "token:abc", WrittenAt: "2026-01-20T00:00:00Z", LogSeq: 4065, LogDigest: "d1d1", Next: []string{"recount generation start --wait --diff"}}}
	page := pageOf(t, k)
	for _, want := range []string{"c-77 (context prod)", "alice, responder, token:abc", "<td>2026-01-20T00:00:00Z", "Log up to event 4065<td><code>d1d1</code>",
		`<tr class="unknown"><td>thief<td class="n">1<td>no<td>event 7, 2026-01-19T10:05:00Z<td>event 7, 2026-01-19T10:05:00Z`,
		`<tr><td>lab<td class="n">2<td>yes<td>event 8, 2026-01-19T10:55:00Z<td>event 9, 2026-01-19T13:00:00Z`,
		`<tr><td>10.0.0.7<td class="n">2`, `<tr><td>no address recorded<td class="n">1`, "Submissions per hour, by log time",
		"<title>2026-01-19 10:00Z: 2 accepted</title>", "<title>2026-01-19 13:00Z: 1 escalated</title>", "2026-01-19 14:00Z</text>", "accepted: 2", "1 of 2 were not registered"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	svg := page[strings.Index(page, "<svg") : strings.Index(page, "</svg>")+6]
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the plot is no XML: %v\n%s", err, svg)
		}
	}
}

// TestLongIncidents: months of records from many shards still give a page that a browser opens, with few enough bars that hold every record.
func TestLongIncidents(t *testing.T) {
	for span, per := range map[time.Duration]string{119 * time.Hour: "hour", 300 * time.Hour: "3 hours", 90 * 24 * time.Hour: "day", 700 * 24 * time.Hour: "week",
		60000 * 24 * time.Hour: "52 weeks"} {
		all := NewTally()
		start, n := time.Date(2026, 1, 19, 10, 0, 0, 0, time.UTC), 700
		for i := range n {
			item := wire.AuditItem{Seq: uint64(i + 1), LogTime: wire.Time(start.Add(span / time.Duration(n-1) * time.Duration(i))), ShardID: fmt.Sprint("s", i), Remote: fmt.Sprint(i)}
			if err := all.Add(&item, fmt.Sprint("o", i%9)); err != nil {
				t.Fatal(err)
			}
		}
		all.Finish(func(string) bool { return true })
		b := binned(all.Hours)
		held := 0
		for _, counts := range b.counts {
			held += total(counts)
		}
		p := all.Plot()
		if p.Per != per || len(b.counts) > mostBars || held != n {
			t.Errorf("%s: %d bars per %s hold %d", span, len(b.counts), p.Per, held)
		}
		for _, bar := range p.Bars {
			if bar.X < plotLeft || bar.X+bar.Width > plotWidth || bar.Y < plotTop-1e-6 || bar.Y+bar.Height > float64(p.Foot)+1e-6 || bar.Color >= mostColors {
				t.Fatalf("a bar beside the plot: %+v", bar)
			}
		}
		page := pageOf(t, &Key{Tally: all})
		if strings.Count(page, "<p>And 200 more, in incident.json.</p>") != 2 || strings.Contains(page, "<td>s699<") {
			t.Errorf("the page does not stop after %d rows", mostRows)
		}
	}
	if none := NewTally(); none.Plot() != nil || !strings.Contains(pageOf(t, &Key{Tally: none}), "0 of 0") {
		t.Error("nothing is plotted")
	}
	broken := NewTally()
	if broken.Add(&wire.AuditItem{LogTime: "yesterday"}, "accepted") == nil {
		t.Error("a log time that is none is counted")
	}
}

// TestWriteBundle writes twice into one directory: the second report replaces the first.
func TestWriteBundle(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	for _, id := range []string{"one", "<two>"} {
		if err := Write(dir, &Key{KeyID: id, Tally: NewTally()}, map[string][]byte{"submissions.ndjson": []byte(id)}); err != nil {
			t.Fatal(err)
		}
		var k Key
		text, err := os.ReadFile(filepath.Join(dir, "incident.json"))
		if err != nil || json.Unmarshal(text, &k) != nil || k.KeyID != id {
			t.Errorf("%v %s", err, text)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 3 {
		t.Errorf("%v %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f.Name(), info.Mode(), err)
		}
	}
}
