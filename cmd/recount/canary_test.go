package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// TestCanaryVerdicts: only a verifier's own refusal counts as one; what something in between says does not.
func TestCanaryVerdicts(t *testing.T) {
	for what, c := range map[string]struct {
		say  func(w http.ResponseWriter)
		exit int
		talk string
	}{
		"refused":             {func(w http.ResponseWriter) { answer(w, wire.NewProblem(wire.CodeBadSignature, "")) }, exitOK, "refused"},
		"a proxy's 403":       {func(w http.ResponseWriter) { http.Error(w, "forbidden", http.StatusForbidden) }, exitUnavailable, "no answer"},
		"a refusal of a role": {func(w http.ResponseWriter) { answer(w, wire.NewProblem(wire.CodeForbidden, "")) }, exitUnavailable, "no answer"},
		"frozen":              {func(w http.ResponseWriter) { answer(w, wire.NewProblem(wire.CodeFrozen, "").WithRetry(time.Minute)) }, exitVerify, "freeze alone"},
	} {
		n := newNode(t)
		n.override = func(w http.ResponseWriter, _ *http.Request) bool {
			c.say(w)
			return true
		}
		r := run(t, "", "canary", "--dev", dev(t, n), "--timeout", "5s")
		if r.code != c.exit || !strings.Contains(r.out+r.err, c.talk) {
			t.Errorf("%s: exit %d: %s%s", what, r.code, r.out, r.err)
		}
	}
}
