package incident

import (
	"fmt"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// TestBypassPage: the page of a bypass shows how far the response is, what the canaries and the recount found, and
// who did what. Without a recount it names no files of it.
func TestBypassPage(t *testing.T) {
	b := &Bypass{
		State: StateBuilt,
		Canaries: []Canaries{
			{At: "2026-01-19T10:00:00Z", Sent: 24, Refused: 20, LetThrough: 1, Frozen: 2, NoAnswer: 1},
		},
		Freeze:   &wire.FreezeAnswer{Seq: 41, At: "2026-01-19T10:01:00Z", Reason: "canary"},
		Fix:      "f1f1",
		Dangers:  []string{"takes unsigned records"},
		Policies: []wire.PolicyAnswer{{ID: "p1", Seq: 3, At: "then", InForce: true, Actor: "bob", Reason: "start"}},
		Operations: []Operation{
			{Seq: 40, At: "now", Actor: "eve", What: "applied p1", Reason: "faster", Ticket: "T-1"},
		},
		Diff: &wire.DiffAnswer{
			Generation: 2, Against: 1, Position: 99, Events: 90, Flips: 7, Direct: 4, Indirect: 3, Digest: "d1",
		},
		Origin: Origin{Next: []string{"recount generation activate 2 --diff d1"}},
		Tally:  NewTally(),
	}
	page := pageOf(t, b)
	for _, want := range []string{
		"<tr><th>State<td>built",
		"<td>1 of 24 let through, 20 refused, 2 stopped only by the freeze, 1 without an answer, 2026-01-19T10:00:00Z",
		"<tr><th>Frozen after event<td>41, 2026-01-19T10:01:00Z: canary",
		"<tr><th>Fixed by policy<td><code>f1f1</code>",
		"<tr><th>Its danger<td>takes unsigned records",
		"<td>generation 2 against 1 up to event 99: 90 submissions, 7 change, 4 directly, 3 behind another one",
		"<tr><td><code>p1</code><td>yes<td>event 3, then<td>bob<td>start",
		`<tr><td class="n">40<td>now<td>eve<td>applied p1<td>faster<td>T-1`,
		"<li><code>recount generation activate 2 --diff d1</code>",
		`<a href="flips.ndjson">`,
		"nobody known: the nodes want no credentials",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if strings.Contains(page, "<h2>Shards</h2>") {
		t.Error("shards without a submission")
	}
	b.Diff, b.Freeze, b.Fix, b.Dangers, b.Next = nil, nil, "", nil, nil
	b.Author = "alice"
	page = pageOf(t, b)
	for _, none := range []string{
		"ndjson", "Frozen after", "Fixed by", "Its danger", "Recounted", "<h2>Next</h2>", "nobody known",
	} {
		if strings.Contains(page, none) {
			t.Errorf("%q in\n%s", none, page)
		}
	}
}

// TestLongLists: a page stops after so many rows of each list, and says how many it leaves out.
func TestLongLists(t *testing.T) {
	pages := map[string]func(n int) report{
		"shards and addresses": func(n int) report {
			all := NewTally()
			for i := range n {
				item := wire.AuditItem{
					Seq: uint64(i + 1), LogTime: "2026-01-19T10:00:00Z",
					ShardID: fmt.Sprint("s", i), Remote: fmt.Sprint("a", i),
				}
				if err := all.Add(&item, "accepted"); err != nil {
					t.Fatal(err)
				}
			}
			all.Finish(func(string) bool { return true })
			return &Key{Tally: all}
		},
		"policies":   func(n int) report { return &Bypass{Policies: make([]wire.PolicyAnswer, n), Tally: NewTally()} },
		"operations": func(n int) report { return &Bypass{Operations: make([]Operation, n), Tally: NewTally()} },
	}
	for name, page := range pages {
		lists := 1 + strings.Count(name, " and ")
		empty := strings.Count(pageOf(t, page(0)), "\n<tr>")
		for n, left := range map[int]string{
			mostRows:      "",
			mostRows + 1:  "<p>And 1 more, in incident.json.</p>",
			mostRows + 20: "<p>And 20 more, in incident.json.</p>",
		} {
			text := pageOf(t, page(n))
			said := strings.Count(text, "<p>And ")
			if left == "" && said != 0 || left != "" && strings.Count(text, left) != lists {
				t.Errorf("%d %s: %d of %q", n, name, said, left)
			}
			if rows := strings.Count(text, "\n<tr>") - empty; name != "shards and addresses" && rows != mostRows {
				t.Errorf("%d %s: %d rows", n, name, rows)
			}
		}
	}
}
