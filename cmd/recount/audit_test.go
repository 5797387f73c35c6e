package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// TestAuditCounts: rows of all pages are counted by what was asked for, and nothing is counted by a word that
// means nothing.
func TestAuditCounts(t *testing.T) {
	n := newNode(t)
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/audit" {
			return false
		}
		row := func(seq uint64, key, outcome, was string) wire.AuditItem {
			return wire.AuditItem{
				Seq:     seq,
				LogTime: "2026-01-0" + string(rune('0'+seq)) + "T03:04:05Z",
				KeyID:   key,
				Outcome: outcome,
				Was:     wire.AuditAnswer{Outcome: was},
			}
		}
		page := wire.AuditPage{
			AppliedSeq: 9,
			Generation: 2,
			Items:      []wire.AuditItem{row(1, "k1", "accepted", "accepted"), row(2, "k1", "refused", "accepted")},
			NextCursor: "more",
		}
		if r.URL.Query().Get("cursor") != "" {
			page.Items, page.NextCursor = []wire.AuditItem{row(3, "k2", "accepted", "accepted"),
				row(4, "k1", "refused", "accepted")}, ""
		}
		answer(w, page)
		return true
	}
	dir := dev(t, n)
	for args, want := range map[string]string{
		"--count-by key": "KEY ROWS FIRST SEQ LAST SEQ k1 3 1 4 k2 1 3 3",
		"--count-by outcome,key": "OUTCOME KEY ROWS FIRST SEQ LAST SEQ refused k1 2 2 4 accepted k1 1 1 1 " +
			"accepted k2 1 3 3",
		"--count-by was": "WAS ROWS FIRST SEQ LAST SEQ accepted 4 1 4",
		"--count-by day": "DAY ROWS FIRST SEQ LAST SEQ 2026-01-01 1 1 1 2026-01-02 1 2 2 2026-01-03 1 3 3 " +
			"2026-01-04 1 4 4",
	} {
		r := run(t, "", append([]string{"audit", "--dev", dir}, strings.Fields(args)...)...)
		if got := strings.Join(strings.Fields(r.out), " "); got != want || r.code != exitOK ||
			!strings.Contains(r.err, "4 rows counted, up to event 9, as generation 2 answers") {
			t.Errorf("%s: %d\n%s\nwant\n%s\n%s", args, r.code, got, want, r.err)
		}
	}
	var counts []auditCount
	r := run(t, "", "audit", "--dev", dir, "--count-by", "key", "-o", "json")
	if err := json.Unmarshal([]byte(r.out), &counts); err != nil || len(counts) != 2 ||
		counts[0].By["key"] != "k1" || counts[0].Rows != 3 {
		t.Errorf("%v %s", err, r.out)
	}
	for _, bad := range []string{"--count-by colour", "--count-by key,key", "--count-by key --limit 3"} {
		if r := run(t, "", append([]string{"audit", "--dev", dir},
			strings.Fields(bad)...)...); r.code != exitUsage || r.out != "" {
			t.Errorf("%s: %+v", bad, r)
		}
	}
}

// TestAuditAsOf: --as-of is asked of the node as it is meant, and the list has what was said then beside what
// is said now.
func TestAuditAsOf(t *testing.T) {
	n := newNode(t)
	var asked string
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/audit" {
			return false
		}
		q := r.URL.Query()
		asked = strings.TrimSpace(q.Get("as_of") + " " + q.Get("generation"))
		answer(w, wire.AuditPage{
			Items: []wire.AuditItem{{
				Seq:     5,
				Outcome: "escalated",
				Was:     wire.AuditAnswer{Outcome: "accepted"},
				Now:     &wire.AuditAnswer{Outcome: "refused"},
			}},
			Generation: 3,
		})
		return true
	}
	dir := dev(t, n)
	for text, want := range map[string]string{
		"17":                   "17",
		"2026-01-02T15:04:05Z": "2026-01-02T15:04:05.000000000Z",
		"generation 2":         "2",
		"generation:2":         "2",
	} {
		r := run(t, "", "audit", "--dev", dir, "--as-of", text)
		if got := strings.Join(strings.Fields(r.out), " "); asked != want || r.code != exitOK ||
			!strings.Contains(got, "WAS THEN NOW STATUS THEN") || !strings.Contains(got, "accepted escalated refused") {
			t.Errorf("%s: asked for %q: %s%s", text, asked, r.out, r.err)
		}
	}
	for _, text := range []string{"0", "generation", "generation 0", "some day"} {
		if r := run(t, "", "audit", "--dev", dir, "--as-of", text); r.code != exitUsage {
			t.Errorf("%s: %+v", text, r)
		}
	}
}

// TestAuditWithoutAMajority: a list that one node of many gives on its own says that nobody confirmed it.
func TestAuditWithoutAMajority(t *testing.T) {
	n := newNode(t)
	dir := dev(t, n)
	const word = "Nobody confirmed that this is all"
	if r := run(t, "", "audit", "--dev", dir, "--consistency", "linearizable"); strings.Contains(r.err, word) {
		t.Errorf("%+v", r)
	}
	n.noLead = true
	for _, args := range []string{"audit", "audit --count-by key", "shard list"} {
		if r := run(t, "", append(strings.Fields(args), "--dev", dir)...); !strings.Contains(r.err, word) ||
			r.code != exitOK {
			t.Errorf("%s: %+v", args, r)
		}
	}
}
