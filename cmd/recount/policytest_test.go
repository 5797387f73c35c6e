package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/trial"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// TestPolicyTestChecksSignatures: with the right keys, with another one and with none.
func TestPolicyTestChecksSignatures(t *testing.T) {
	dir := t.TempDir()
	text, err := os.ReadFile("../../testdata/keys.json")
	if err != nil {
		t.Fatal(err)
	}
	var known struct {
		HMAC    map[string]struct{ Text string }
		Ed25519 map[string]struct {
			Public string `json:"public_b64"`
		}
	}
	if err := json.Unmarshal(text, &known); err != nil {
		t.Fatal(err)
	}
	var trusted []string
	for name, k := range known.HMAC {
		trusted = append(trusted, "--hmac-key-file", write(t, filepath.Join(dir, name), k.Text+"\n"))
	}
	for name, k := range known.Ed25519 {
		trusted = append(trusted, "--ed25519-pub", write(t, filepath.Join(dir, name), k.Public+"\n"))
	}
	other := write(t, filepath.Join(dir, "other"), "another secret")
	unsigned := write(t, filepath.Join(dir, "unsigned.yaml"), "signature: {required: false}\n")
	narrow := write(t, filepath.Join(dir, "narrow.yaml"), "signature: {algorithms: [ed25519]}\n")
	for _, c := range []struct {
		policy, records string
		keys            []string
		how, changes    string
	}{
		{unsigned, "good-hmac", nil, trial.SignaturesAssumed, ""}, {unsigned, "good-hmac", trusted,
			trial.SignaturesChecked, ""},
		{unsigned, "good-ed25519", trusted, trial.SignaturesChecked, ""},
		{unsigned, "good-hmac", []string{"--hmac-key-file", other}, trial.SignaturesChecked, ""},
		{narrow, "good-hmac", trusted, trial.SignaturesChecked, "->refused"},
		{narrow, "good-hmac", nil, trial.SignaturesAssumed, "->refused"}, {narrow, "good-ed25519", nil,
			trial.SignaturesAssumed, ""},
		{narrow, "good-hmac", []string{"--hmac-key-file", other}, trial.SignaturesChecked, ""},
	} {
		r := run(t, "", append([]string{"policy", "test", c.policy, "-o", "json", "--records",
			"../../testdata/" + c.records + ".ndjson"}, c.keys...)...)
		var sums trial.Sums
		if err := json.Unmarshal([]byte(r.out), &sums); err != nil || r.code != exitOK || sums.Records == 0 ||
			sums.Signatures != c.how {
			t.Errorf("%+v: %+v %v\n%s", c, sums, err, r.err)
		}
		if (c.changes == "") != (len(sums.Changes) == 0) ||
			!strings.Contains(strings.Join(slices.Sorted(maps.Keys(sums.Changes)), " "), c.changes) {
			t.Errorf("%+v: %+v", c, sums)
		}
	}
	if r := run(t, "", "policy", "test", narrow, "--records", other, "--ed25519-pub",
		other); r.code != exitUsage || !strings.Contains(r.err, "neither base64 nor hex") {
		t.Errorf("%+v", r)
	}
}

// TestPolicyTestOverALedger judges the submissions of two pages with the recorded facts. Their events come in
// one answer for each page, operations between them are passed over, and an event that does not come is an error.
func TestPolicyTestOverALedger(t *testing.T) {
	body, err := os.ReadFile("../../testdata/good-hmac.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	j, err := parseRequest(1, []byte(strings.SplitN(string(body), "\n", 2)[0]))
	if err != nil {
		t.Fatal(err)
	}
	n, cut := newNode(t), false
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		q := r.URL.Query()
		switch {
		case r.URL.Path == "/v1/audit" && q.Get("to_seq") != "7":
			return false
		case r.URL.Path == "/v1/audit" && q.Get("cursor") == "":
			answer(w, wire.AuditPage{
				Items:      []wire.AuditItem{{Seq: 3, Outcome: "escalated"}, {Seq: 5, Outcome: "refused"}},
				NextCursor: "more",
				AppliedSeq: 9,
			})
		case r.URL.Path == "/v1/audit":
			answer(w, wire.AuditPage{Items: []wire.AuditItem{{Seq: 6, Outcome: "accepted"}}, AppliedSeq: 9})
		case r.URL.Path == "/v1/events":
			from, _ := strconv.ParseUint(q.Get("from"), 10, 64) // what is no number gives no event
			to, _ := strconv.ParseUint(q.Get("to"), 10, 64)
			if cut {
				to--
			}
			end := wire.Trailer{Trailer: true, Count: int(to + 1 - from)}
			for seq := from; seq <= to; seq++ {
				sub := event.Sub{Body: j.http.Body}
				if seq != 6 {
					sub.Facts = event.Facts{
						KeyID:   "hmac-1",
						Alg:     uint8(verify.HMACSHA256),
						Profile: uint8(pcs.F9),
						Mode:    uint8(verify.Raw),
					}
				}
				answer(w, wire.EventAnswer{Seq: seq, LogTime: "2026-01-02T03:04:05Z", Payload: sub.Payload()})
			}
			answer(w, end)
		default:
			return false
		}
		return true
	}
	fix := write(t, filepath.Join(t.TempDir(), "fix.yaml"), "kernel: 1\n")
	r := run(t, "", "policy", "test", fix, "--from-seq", "3", "--to-seq", "7", "--dev", dev(t, n))
	for _, want := range []string{"(judged) 3", "(signatures) as recorded", "accepted->refused 1",
		"refused->escalated 1"} {
		if !strings.Contains(strings.Join(strings.Fields(r.out), " "), want) || strings.Contains(r.out, "escalated->") {
			t.Errorf("no %q in\n%s%s", want, r.out, r.err)
		}
	}
	cut = true
	if r := run(t, "", "policy", "test", fix, "--from-seq", "3", "--to-seq", "7", "--dev",
		dev(t, n)); r.code == exitOK || !strings.Contains(r.err, "has not given 1 of their events") {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
}
