package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// TestGetSaysThatThereIsMore: who looks at a record with many submissions hears that the list is short.
func TestGetSaysThatThereIsMore(t *testing.T) {
	n := newNode(t)
	more := true
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/pcs/"+asOfID {
			return false
		}
		answer(w, wire.PCSAnswer{SubmitAnswer: wire.SubmitAnswer{PCSID: asOfID, Outcome: "refused", Generation: 3, Seq: 5}, More: more})
		return true
	}
	const said = "more submissions than are listed here. All of them: recount audit --pcs "
	if r := run(t, "", "get", asOfID, "--dev", dev(t, n)); r.code != exitOK || !strings.Contains(r.err, said+asOfID) {
		t.Errorf("%+v", r)
	}
	more = false
	if r := run(t, "", "get", asOfID, "--dev", dev(t, n)); r.code != exitOK || strings.Contains(r.err, said) {
		t.Errorf("%+v", r)
	}
}

var asOfID = strings.Repeat("ab", 32)

// TestAsOf: each command that looks back asks the node for the time that was meant, and refuses what is none.
func TestAsOf(t *testing.T) {
	n := newNode(t)
	var asked, path string
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		q := r.URL.Query()
		asked, path = strings.TrimSpace(q.Get("as_of")+" "+q.Get("generation")), r.URL.Path
		switch {
		case path == "/v1/pcs/"+asOfID:
			answer(w, wire.PCSAnswer{SubmitAnswer: wire.SubmitAnswer{PCSID: asOfID, Outcome: "refused", Generation: 3, Seq: 5},
				AsOf: 17, Then: &wire.AuditAnswer{Generation: 1, Outcome: "refused"}})
		case path == "/v1/shards":
			answer(w, wire.ShardsPage{})
		case path == "/v1/shards/s":
			answer(w, wire.ShardAnswer{ShardID: "s", AsOf: 17})
		case path == "/v1/keys":
			answer(w, wire.KeysPage{})
		case strings.HasPrefix(path, "/v1/keys/"):
			answer(w, wire.KeyAnswer{KeyID: "hmac-0123456789abcdef", AsOf: 17})
		case path == "/v1/policies":
			answer(w, wire.PoliciesPage{})
		case path == "/v1/freezes":
			answer(w, wire.FreezesPage{})
		case path == "/v1/known-shards":
			answer(w, wire.KnownShardsPage{})
		default:
			return false
		}
		return true
	}
	dir := dev(t, n)
	for args, want := range map[string]string{
		"get " + asOfID:                  "/v1/pcs/" + asOfID,
		"shard list":                     "/v1/shards",
		"shard show s":                   "/v1/shards/s",
		"key list":                       "/v1/keys",
		"key show hmac-0123456789abcdef": "/v1/keys/hmac-0123456789abcdef",
		"policy list":                    "/v1/policies",
		"freeze list":                    "/v1/freezes",
		"shard known list":               "/v1/known-shards",
	} {
		command := append(strings.Fields(args), "--dev", dir, "--quiet", "--as-of")
		for text, then := range map[string]string{"17": "17", "2026-01-02T15:04:05Z": "2026-01-02T15:04:05.000000000Z"} {
			if r := run(t, "", append(command, text)...); r.code != exitOK || asked != then || path != want {
				t.Errorf("%s --as-of %s: %s asked for %q: %+v", args, text, path, asked, r)
			}
		}
		if r := run(t, "", append(command, "some day")...); r.code != exitUsage {
			t.Errorf("%s: %+v", args, r)
		}
		generations := strings.HasPrefix(args, "get") || args == "shard list" || args == "shard show s"
		r := run(t, "", append(command, "generation 2")...)
		if ok := r.code == exitOK && asked == "2"; ok != generations || !generations && r.code != exitUsage {
			t.Errorf("%s --as-of generation 2: asked for %q: %+v", args, asked, r)
		}
	}
	r := run(t, "", "get", asOfID, "--dev", dir, "--as-of", "17")
	if got := strings.Join(strings.Fields(r.out), " "); !strings.Contains(got, "as of seq 17 answered by generation 1") ||
		!strings.Contains(r.err, "Generation 1 answered then, and its rows are gone.") {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "get", asOfID, "--dev", dir, "--as-of", "17", "--history"); r.code != exitUsage {
		t.Errorf("%+v", r)
	}
}
