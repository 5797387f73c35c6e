package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// submissionEvent is event 40 of the node of these tests.
func submissionEvent() wire.EventAnswer {
	root := strings.Repeat("ab", 32)
	body := `{"version":"0.1","pcs_id":"` + someID + `","merkle_root":"` + root + `","epoch":209,"shard_id":"shard-002",
		"D_hat":1.4123456789,"coh_star":0.75,"r":0.87,"budget":0.42,"sig":"x"}`
	return wire.EventAnswer{Seq: 40, Kind: "submission", Index: 17, Term: 2, LeafHash: strings.Repeat("cd", 32),
		Summary: map[string]any{
			"body":      body,
			"key_id":    "hmac-0123456789abcdef",
			"algorithm": "hmac-sha256",
			"profile":   "py",
			"mode":      "raw",
			"remote":    "192.0.2.7",
		}}
}

// TestGetShowsTheSubmission: with a credential, get shows who signed, what was claimed, from where it came and
// where it is in the log. Without one it asks for nothing that it may not read, and says what is left out.
func TestGetShowsTheSubmission(t *testing.T) {
	n := newNode(t)
	dir := dev(t, n)
	token := write(t, filepath.Join(t.TempDir(), "token"), "secret\n")
	r := run(t, "", "get", someID, "--dev", dir, "--token-file", token)
	if r.code != exitOK || r.err != "" {
		t.Fatalf("%+v", r)
	}
	golden(t, "get-token", r.out)
	var doc struct{ Submission submissionFacts }
	r = run(t, "", "get", someID, "-o", "json", "--dev", dir, "--token-file", token)
	if err := json.Unmarshal([]byte(r.out), &doc); err != nil || doc.Submission.Claimed == nil ||
		doc.Submission.Claimed.DHat.String() != "1.412345679" || doc.Submission.KeyID != "hmac-0123456789abcdef" ||
		doc.Submission.Scheme != "pcs/1" || doc.Submission.LeafIndex != 39 {
		t.Errorf("%v %+v", err, r)
	}
	events := 0
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/v1/events/") {
			return false
		}
		events++
		answer(w, wire.NewProblem(wire.CodeForbidden, ""))
		return true
	}
	if r := run(t, "", "get", someID, "--dev", dir); r.code != exitOK || events != 0 ||
		!strings.Contains(r.err, "was not read: no token was given") {
		t.Errorf("%d events asked for without a token, %+v", events, r)
	}
	if r := run(t, "", "get", someID, "--dev", dir, "--token-file", token); r.code != exitOK || events != 1 ||
		!strings.Contains(r.err, "was not read: ") {
		t.Errorf("%d events asked for, %+v", events, r)
	}
}

// TestGetOfARefusedID: an id that only refused submissions carry has no answer. get counts them when it may
// look, and says how to look when it may not or when it takes long.
func TestGetOfARefusedID(t *testing.T) {
	n := newNode(t)
	page, asked := wire.AuditPage{}, ""
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v1/audit" {
			asked = r.URL.Query().Get("pcs_id") + " " + r.URL.Query().Get("outcome")
			answer(w, page)
			return true
		}
		answer(w, wire.NewProblem(wire.CodeNotFound, ""))
		return true
	}
	dir, token := dev(t, n), write(t, filepath.Join(t.TempDir(), "token"), "secret\n")
	two := []wire.AuditItem{{Seq: 7, Outcome: "refused"}, {Seq: 9, Outcome: "refused"}}
	for says, p := range map[string]wire.AuditPage{
		"\n  2 refused submissions carry this id, the first in event 7;":          {Items: two},
		"\n  1 refused submission carries this id, the first in event 7;":         {Items: two[:1]},
		"\n  at least 2 refused submissions carry this id, the first in event 7;": {Items: two, NextCursor: "x"},
		"\n  No refused submission carries this id either.":                       {},
		"reads every submission for this id":                                      {NextCursor: "x"},
	} {
		page = p
		r := run(t, "", "get", strings.ToUpper(someID), "--dev", dir, "--token-file", token)
		if r.code != exitNotFound || !strings.Contains(r.err, says) || asked != someID+" refused" {
			t.Errorf("%q: asked for %q: %+v", says, asked, r)
		}
	}
	asked = ""
	if r := run(t, "", "get", someID, "--dev", dir); r.code != exitNotFound || asked != "" ||
		!strings.Contains(r.err, `"recount audit --pcs `+someID[:16]+`"`) {
		t.Errorf("asked for %q without a token: %+v", asked, r)
	}
}

// TestGetOfASubmissionWithoutFacts: no key, and a node that records no addresses.
func TestGetOfASubmissionWithoutFacts(t *testing.T) {
	n := newNode(t)
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/v1/events/") {
			return false
		}
		e := submissionEvent()
		e.Summary = map[string]any{
			"body":      "{",
			"key_id":    "",
			"algorithm": "unknown",
			"profile":   "unknown",
			"mode":      "unknown",
			"remote":    "",
		}
		answer(w, e)
		return true
	}
	token := write(t, filepath.Join(t.TempDir(), "token"), "secret\n")
	r := run(t, "", "get", someID, "--dev", dev(t, n), "--token-file", token)
	for name, value := range map[string]string{
		"claimed D_hat": "-",
		"key":           "-",
		"signature":     "-",
		"address":       "not recorded",
	} {
		if !strings.Contains("\n"+spaces.ReplaceAllString(r.out, "  "), "\n"+name+"  "+value+"\n") {
			t.Errorf("%s is not %q: %s", name, value, r.out)
		}
	}
}
