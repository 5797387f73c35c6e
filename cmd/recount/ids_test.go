package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// TestShortIDsAreTaken where ids are asked for: what a table shows can be given back, and more than one meaning
// is an error that names them.
func TestShortIDsAreTaken(t *testing.T) {
	n := newNode(t)
	other := someID[:20] + strings.Repeat("0", 44)
	asked := map[string]bool{}
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		asked[r.Method+" "+r.URL.Path] = true
		switch r.URL.Path {
		case "/v1/pcs":
			page := wire.IDsPage{Items: []string{}}
			for _, id := range []string{other, someID} {
				if strings.HasPrefix(id, r.URL.Query().Get("prefix")) {
					page.Items = append(page.Items, id)
				}
			}
			answer(w, page)
		case "/v1/keys":
			answer(w, wire.KeysPage{
				Items: []wire.KeyAnswer{{KeyID: "hmac-0123456789abcdef"}, {KeyID: "hmac-0123456799abcdef"},
					{KeyID: "ed-aa23456789abcdef"}},
			})
		case "/v1/keys/hmac-0123456789abcdef", "/v1/keys/hmac-0123456789abcdef/retire":
			answer(w, wire.KeyAnswer{KeyID: "hmac-0123456789abcdef"})
		case "/v1/keys/ed-aa23456789abcdef/revoke":
			answer(w, wire.RevokeAnswer{KeyID: "ed-aa23456789abcdef"})
		case "/v1/tokens":
			answer(w, wire.TokensPage{Items: []wire.TokenAnswer{{ID: "abcdefghij234567"}}})
		case "/v1/tokens/abcdefghij234567/revoke":
			answer(w, wire.TokenAnswer{ID: "abcdefghij234567"})
		case "/v1/approvals":
			if r.Method == http.MethodGet {
				answer(w, wire.ApprovalsPage{Items: []wire.ApprovalAnswer{{OpID: "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}}})
			} else {
				answer(w, wire.ApprovalAnswer{OpID: "ABCDEFGHIJKLMNOPQRSTUVWXYZ"})
			}
		case "/v1/audit":
			page := wire.AuditPage{AppliedSeq: 42, Items: []wire.AuditItem{}}
			if r.URL.Query().Get("from_seq") == "40" && r.URL.Query().Get("to_seq") == "40" {
				page.Items = append(page.Items, wire.AuditItem{Seq: 40, PCSID: someID})
			}
			if r.URL.Query().Get("from_seq") == "39" {
				page.Items = append(page.Items, wire.AuditItem{
					Seq:        39,
					PCSID:      strings.Repeat("7", 64),
					Outcome:    "refused",
					ReasonCode: "bad_signature",
				})
			}
			answer(w, page)
		case "/v1/events/40":
			answer(w, wire.EventAnswer{Seq: 40})
		default:
			return false
		}
		return true
	}
	dir := dev(t, n)
	for _, c := range []struct {
		args, want string
		code       int
	}{
		{"get " + someID[:24], someID, exitOK}, {"get " + strings.ToUpper(someID), someID, exitOK},
		{"get SEQ:40", someID, exitOK}, {"get seq:40", someID, exitOK}, {"get " + someID[:12], other, exitUsage},
		{"get " + someID[:12], "Give more digits", exitUsage},
		{"get " + someID[:7], "at least the first 8", exitUsage}, {"get ffffffff", "recount audit", exitNotFound},
		{"get SEQ:41", "is no submission", exitNotFound}, {"get SEQ:0", "whole number", exitUsage},
		{"get SEQ:39", "event 39, which was refused: bad_signature", exitNotFound},
		{"event " + someID[:24], "40", exitOK}, {"event SEQ:40", "40", exitOK},
		{"event SEQ:x", "whole number", exitUsage}, {"key show hmac-0123456789", "hmac-0123456789abcdef", exitOK},
		{"key show 0123456789", "hmac-0123456789abcdef", exitOK},
		{"key show hmac-01234567", "hmac-0123456799abcdef", exitUsage},
		{"key show hmac-0123456", "at least 8 digits", exitNotFound},
		{"key show hmac-ffffffff", "recount key list", exitNotFound},
		{"key retire 0123456789 --reason x --yes", "hmac-0123456789abcdef", exitOK},
		{"key revoke ed-aa234567 --yes", "ed-aa23456789abcdef", exitOK},
		{"token revoke abcdefgh --yes", "abcdefghij234567", exitOK},
		{"token revoke abcdefg --yes", "at least 8 digits", exitNotFound},
		{"approve ABCDEFGHIJKLM", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", exitOK},
		{"approve show fix-2026-1", "in full", exitNotFound},
	} {
		r := run(t, "", append(strings.Fields(c.args), "--dev", dir)...)
		if r.code != c.code || !strings.Contains(r.out+r.err, c.want) {
			t.Errorf("%s: exit %d, want %d and %q:\n%s%s", c.args, r.code, c.code, c.want, r.out, r.err)
		}
	}
	for _, operation := range []string{"POST /v1/keys/hmac-0123456789abcdef/retire",
		"POST /v1/keys/ed-aa23456789abcdef/revoke", "POST /v1/approvals"} {
		if !asked[operation] {
			t.Errorf("nobody asked %s", operation)
		}
	}
}

func TestChosen(t *testing.T) {
	all := []string{"hmac-0123456789abcdef", "ed-0123456789abcdef", "plain-name", strings.Repeat("ab", 32)}
	for given, want := range map[string]string{
		"hmac-01234567": all[0],
		"ed-01234567":   all[1],
		"plain-name":    all[2],
		"abababab":      all[3],
		"ABABABAB":      all[3],
	} {
		if got, err := chosen("thing", given, "list", all); got != want || err != nil {
			t.Errorf("%s: %q %v", given, got, err)
		}
	}
	for _, given := range []string{"01234567", "hmac-0123456", "hmac-", "h", "", "abababa", "ffffffff"} {
		if got, err := chosen("thing", given, "list", all); got != "" || err == nil {
			t.Errorf("%s: %q %v", given, got, err)
		}
	}
}

// TestChosenRequest: an op_id that a person chose is never found by its beginning, which may be the op_id of
// another incident.
func TestChosenRequest(t *testing.T) {
	all := []string{"thaw-inc-2026-12", "Activate-INC-7", "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
		"BBCDEFGHIJKLMNOPQRSTUVWXY2", "BBCDEFGHIJKLMNOPQRSTUVWXY3"}
	for given, want := range map[string]string{
		all[0]:            all[0],
		all[1]:            all[1],
		"ABCDEFGH":        all[2],
		"abcdefgh":        all[2],
		"thaw-inc-2026-1": "",
		"2026-12":         "",
		"inc-2026-1":      "",
		"activate-inc-7":  "",
		"ABCDEFG":         "",
		"BBCDEFGH":        "",
		"":                "",
	} {
		if got, err := chosenRequest(given, "list", all); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q %v, want %q", given, got, err, want)
		}
	}
}
