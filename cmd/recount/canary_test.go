package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/canary"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// TestCanaryVerdicts: only a verifier's own refusal counts as one. The refusal of something in between does
// not.
func TestCanaryVerdicts(t *testing.T) {
	for what, c := range map[string]struct {
		say  func(w http.ResponseWriter)
		exit int
		talk string
	}{
		"refused": {func(w http.ResponseWriter) {
			answer(w, wire.NewProblem(wire.CodeBadSignature, ""))
		}, exitOK, "refused"},
		"without a token": {func(w http.ResponseWriter) {
			answer(w, wire.NewProblem(wire.CodeUnauthorized, ""))
		}, exitUnavailable, "--submit"},
		"an older release": {func(w http.ResponseWriter) { answer(w, wire.NewProblem(wire.CodeNotFound, "")) },
			exitUnavailable, "--submit"},
		"a proxy's 403": {func(w http.ResponseWriter) { http.Error(w, "forbidden", http.StatusForbidden) },
			exitUnavailable, "no answer"},
		"a refusal of a role": {func(w http.ResponseWriter) { answer(w, wire.NewProblem(wire.CodeForbidden, "")) },
			exitUnavailable, "no answer"},
		"frozen": {func(w http.ResponseWriter) {
			answer(w, wire.NewProblem(wire.CodeFrozen, "").WithRetry(time.Minute))
		}, exitVerify, "only by a freeze"},
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

// TestCanaryOnNodes: the canary of every node is judged there and leaves no event. With --submit it needs no
// token, and leaves one.
func TestCanaryOnNodes(t *testing.T) {
	c := nodetest.Start(t, 3)
	flags := clusterFlags(t, c, wire.RoleMetrics)
	rows := func() (n int) {
		for _, err := range c.Client.Audit(t.Context(), client.AuditQuery{
			Read: client.Read{Consistency: wire.ConsistencyLinearizable},
		}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	var report canary.Report
	round := func(more ...string) {
		t.Helper()
		r := run(t, "", append(append([]string{"canary", "-o", "json"}, more...), flags...)...)
		report = canary.Report{}
		if err := json.Unmarshal([]byte(r.out), &report); err != nil || r.code != exitOK {
			t.Fatalf("exit %d: %v %s", r.code, err, r.err)
		}
		if report.Sent != 24 || report.Refused != 24 {
			t.Errorf("%+v", report)
		}
	}
	round()
	if n := rows(); n != 0 {
		t.Errorf("%d events of canaries that were only shown", n)
	}
	for i := range c.Size() {
		if _, page := c.Once(i, http.MethodGet, "/metrics", nil); strings.Contains(string(page),
			"flk_signature_errors_total 0\n") {
			t.Errorf("node %d counts no signature errors of its canaries", i)
		}
	}
	flags = flags[:len(flags)-2] // no token
	round("--submit")
	if n := rows(); n == 0 || !report.Lines[0].Logged {
		t.Errorf("%d events of canaries that were submitted", n)
	}
	if r := run(t, "", append([]string{"canary"}, flags...)...); r.code != exitUnavailable ||
		!strings.Contains(r.err, "turned away") {
		t.Errorf("without a token: exit %d: %s", r.code, r.err)
	}
}

// clusterFlags returns the flags that name a cluster of real nodes and one of its tokens. The last two are
// those of the token.
func clusterFlags(t *testing.T, c *nodetest.Cluster, role wire.Role) (flags []string) {
	t.Helper()
	dir := t.TempDir()
	for i := range c.Size() {
		flags = append(flags, "--endpoint", c.URL(i))
	}
	flags = append(flags, "--ca", write(t, filepath.Join(dir, "ca.pem"), string(c.CA.CertPEM())))
	return append(flags, "--token-file", write(t, filepath.Join(dir, "token"), c.Tokens[role]))
}
