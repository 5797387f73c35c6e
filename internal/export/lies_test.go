package export_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/export"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// rewrite changes the lines of an NDJSON file; nil takes one out.
func rewrite[T any](t *testing.T, dir, name string, change func(*T) *T) {
	t.Helper()
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, v := range lines[T](t, dir, name) {
		if w := change(&v); w != nil {
			must(t, enc.Encode(w))
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, name), []byte(b.String()), 0o600))
}

// testLies: a forger who makes hashes and manifest fit is found out by what the files say of each other.
func testLies(t *testing.T, dir string) {
	verdict := func(change func(*wire.AuditItem)) func(string) {
		return func(to string) {
			done := false
			rewrite(t, to, export.VerdictsFile, func(v *wire.AuditItem) *wire.AuditItem {
				if v.Outcome == "accepted" && !done {
					done = true
					change(v)
				}
				return v
			})
		}
	}
	event := func(kind string, change func(*export.Event) *export.Event) func(string) {
		return func(to string) {
			done := false
			rewrite(t, to, export.EventsFile, func(e *export.Event) *export.Event {
				if e.Kind != kind || done {
					return e
				}
				done = true
				return change(e)
			})
		}
	}
	for name, lie := range map[string]struct {
		check string // that must fail
		tell  func(to string)
	}{
		"another outcome": {export.CheckJudged, verdict(func(v *wire.AuditItem) {
			v.Outcome, v.Status, v.ReasonCode, v.Was.Outcome = "escalated", 202, "degraded", "escalated"
		})},
		"another reason":          {export.CheckJudged, verdict(func(v *wire.AuditItem) { v.ReasonCode, v.Was = "late", wire.AuditAnswer{} })},
		"another value":           {export.CheckJudged, verdict(func(v *wire.AuditItem) { v.RecomputedBudget++ })},
		"another shard":           {export.CheckAnswers, verdict(func(v *wire.AuditItem) { v.ShardID = "beta2" })},
		"another address":         {export.CheckAnswers, verdict(func(v *wire.AuditItem) { v.Remote = "10.0.0.1" })},
		"another signer":          {export.CheckAnswers, verdict(func(v *wire.AuditItem) { v.KeyID = "hmac-0123456789abcdef" })},
		"another status":          {export.CheckAnswers, verdict(func(v *wire.AuditItem) { v.Status = 202 })},
		"two answers":             {export.CheckAnswers, verdict(func(v *wire.AuditItem) { v.Was = wire.AuditAnswer{Generation: v.Generation, Outcome: "refused"} })},
		"an unknown policy":       {export.CheckPolicies, verdict(func(v *wire.AuditItem) { v.Policy = strings.Repeat("0", 64) })},
		"an answer is missing":    {export.CheckAnswers, func(to string) { dropLast(t, to, export.VerdictsFile) }},
		"an operation is missing": {export.CheckOperations, func(to string) { dropLast(t, to, export.OperationsFile) }},
		"an event is missing":     {export.CheckEvents, func(to string) { dropLast(t, to, export.EventsFile) }},
		"a gap":                   {export.CheckEvents, event("submission", func(*export.Event) *export.Event { return nil })},
		"another body": {export.CheckDigest, event("submission", func(e *export.Event) *export.Event {
			e.Payload = []byte(strings.Replace(string(e.Payload), "alpha", "alphb", 1))
			return e
		})},
		"another log time":   {export.CheckTime, event("policy_applied", func(e *export.Event) *export.Event { e.LogTime = "2031-01-01T00:00:00.000000000Z"; return e })},
		"a leaf of another":  {export.CheckEvents, event("submission", func(e *export.Event) *export.Event { e.LeafHash = strings.Repeat("0", 64); return e })},
		"a kind by its name": {export.CheckEvents, event("frozen", func(e *export.Event) *export.Event { e.Kind = "thawed"; return e })},
		"no protobuf":        {export.CheckEvents, event("frozen", func(e *export.Event) *export.Event { e.Payload = e.Payload[:len(e.Payload)-1]; return e })},
		"who did it":         {export.CheckOperations, func(to string) { edit(t, to, export.OperationsFile, `"actor":"test-operator"`, `"actor":"nobody"`) }},
		"a key of another": {export.CheckKeys, func(to string) {
			edit(t, to, export.KeysFile, `"public": "`, `"public": "`+base64.StdEncoding.EncodeToString(make([]byte, 32))[:4])
		}},
		"a key not revoked":   {export.CheckKeys, func(to string) { edit(t, to, export.KeysFile, `"status": "revoked"`, `"status": "active"`) }},
		"a key is gone":       {export.CheckKeys, func(to string) { edit(t, to, export.KeysFile, `"key_id": "ed-`, `"key_id": "ed-0`) }},
		"a policy rewritten":  {export.CheckPolicies, func(to string) { edit(t, to, policyFile(t, to), `"required":true`, `"required":false`) }},
		"a policy not listed": {export.CheckPolicies, func(to string) { must(t, os.WriteFile(filepath.Join(to, export.PoliciesFile), []byte("[]\n"), 0o600)) }},
		"the table":           {export.CheckTable, func(to string) { edit(t, to, export.RecordsFile, "accepted", "refused") }},
		"a number":            {export.CheckCounts, func(string) {}},
		"text behind a line":  {export.CheckAnswers, func(to string) { edit(t, to, export.VerdictsFile, "}\n", "} {}\n") }},
		"an answer twice": {export.CheckAnswers, func(to string) {
			edit(t, to, export.VerdictsFile, `"outcome":"accepted"`, `"outcome":"refused","outcome":"accepted"`)
		}},
		"an answer in capitals": {export.CheckAnswers, func(to string) {
			edit(t, to, export.VerdictsFile, `"outcome":"accepted"`, `"outcome":"refused","Outcome":"accepted"`)
		}},
		"a member more": {export.CheckKeys, func(to string) { edit(t, to, export.KeysFile, `"owner": "`, `"owner": "nobody", "OWNER": "`) }},
		"a list twice":  {export.CheckKeys, func(to string) { appendTo(t, to, export.KeysFile, "[]") }},
	} {
		to := copied(t, dir)
		lie.tell(to)
		must(t, export.Reseal(to, func(m *export.Manifest) {
			if lie.check == export.CheckCounts {
				m.Counts.Outcomes["accepted"]++
			}
		}))
		r, lines := check(t, to, export.CheckOptions{})
		if r.OK || lines[lie.check].Result != export.ResultFailed {
			t.Errorf("%s: %s did not fail: %+v", name, lie.check, r)
		}
		for _, files := range []string{export.CheckManifest, export.CheckFiles} {
			if lines[files].Result != export.ResultOK {
				t.Errorf("%s: %+v", name, lines[files])
			}
		}
	}
	forgedSignature(t, dir)
	noMAC(t, dir)
	historyLies(t, dir)
}

// historyLies: what follows from earlier events only is found out by folding them again.
func historyLies(t *testing.T, dir string) {
	for name, lie := range map[string]func(*wire.AuditItem) bool{
		"a conflict that is none": func(v *wire.AuditItem) bool {
			if v.Outcome != wire.OutcomeConflict {
				return false
			}
			v.Outcome, v.Status, v.ReasonCode = wire.OutcomeRefused, 403, "key_not_allowed"
			v.Was.Outcome, v.Was.Status, v.Was.ReasonCode = v.Outcome, v.Status, v.ReasonCode
			return true
		},
		"a replay that is none": func(v *wire.AuditItem) bool {
			v.Replayed = v.Outcome == wire.OutcomeAccepted
			return v.Replayed
		},
		"a conflict with another": func(v *wire.AuditItem) bool {
			v.FirstSeq++
			return v.Outcome == wire.OutcomeConflict
		},
	} {
		to, done := copied(t, dir), false
		rewrite(t, to, export.VerdictsFile, func(v *wire.AuditItem) *wire.AuditItem {
			if w := *v; !done && lie(&w) {
				done = true
				return &w
			}
			return v
		})
		must(t, export.Reseal(to, nil))
		if r, lines := check(t, to, export.CheckOptions{Recount: true}); !done || r.OK || lines[export.CheckHistory].Result != export.ResultFailed {
			t.Errorf("%s: %+v", name, lines[export.CheckHistory])
		}
	}
	for name, change := range map[string]func(*export.Manifest){
		"state": func(m *export.Manifest) { m.End.State = strings.Repeat("0", 64) }, "control": func(m *export.Manifest) { m.End.Control = strings.Repeat("0", 64) },
	} {
		to := copied(t, dir)
		must(t, export.Reseal(to, change))
		if _, lines := check(t, to, export.CheckOptions{Recount: true}); lines[export.CheckHistory].Result != export.ResultFailed {
			t.Errorf("%s: %+v", name, lines[export.CheckHistory])
		}
	}
}

// forgedSignature: a record whose signature is another's verifies with no exported key.
func forgedSignature(t *testing.T, dir string) {
	to, n := copied(t, dir), 0
	rewrite(t, to, export.EventsFile, func(e *export.Event) *export.Event {
		if i := strings.Index(string(e.Payload), `"sig":"`); i > 0 && strings.Contains(string(e.Payload), "==\"") && strings.Contains(string(e.Payload), "ed-") && n == 0 {
			n++
			e.Payload[i+12] ^= 1
		}
		return e
	})
	must(t, export.Reseal(to, nil))
	if _, lines := check(t, to, export.CheckOptions{}); n != 1 || lines[export.CheckEd25519].Result != export.ResultFailed {
		t.Errorf("%d, %+v", n, lines[export.CheckEd25519])
	}
}

// noMAC: facts that name an HMAC key do not stand for a record that has no MAC.
func noMAC(t *testing.T, dir string) {
	to, n := copied(t, dir), 0
	rewrite(t, to, export.EventsFile, func(e *export.Event) *export.Event {
		if sub, err := event.DecodeSubmission(e.Payload); n == 0 && e.Kind == event.Submission.String() && err == nil &&
			verify.Alg(sub.Facts.Alg) == verify.HMACSHA256 {
			n++
			sub.Body = regexp.MustCompile(`"sig":"[^"]*"`).ReplaceAll(sub.Body,
				[]byte(`"sig":"`+strings.Repeat("A", 86)+`=="`))
			e.Payload = sub.Payload()
		}
		return e
	})
	must(t, export.Reseal(to, nil))
	_, lines := check(t, to, export.CheckOptions{})
	if l := lines[export.CheckEd25519]; n != 1 || l.Result != export.ResultFailed || !strings.Contains(fmt.Sprint(l), "has no MAC") {
		t.Errorf("%d, %+v", n, l)
	}
}

// TestRandomLies: whatever a file holds, a check ends with a report, or with an error about the file.
func TestRandomLies(t *testing.T) {
	to := copied(t, filepath.Join("testdata", "format-1"))
	random := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		for _, name := range []string{export.EventsFile, export.VerdictsFile, export.OperationsFile, export.KeysFile, export.PoliciesFile, export.GenerationsFile, policyFile(t, to)} {
			path := filepath.Join(to, name)
			text, err := os.ReadFile(path)
			must(t, err)
			lie := bytes.Clone(text)
			for range 1 + random.IntN(3) {
				at := random.IntN(len(lie))
				lie[at] = "0123456789abcdef\"{}[],:-"[random.IntN(24)]
			}
			must(t, os.WriteFile(path, lie, 0o600))
			must(t, export.Reseal(to, nil))
			if _, err := export.Check(t.Context(), to, export.CheckOptions{Recount: true}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			must(t, os.WriteFile(path, text, 0o600))
		}
	}
	must(t, export.Reseal(to, nil))
	holds(t, to, export.CheckOptions{Recount: true}, export.CheckHMAC, export.CheckPage)
}

func policyFile(t *testing.T, dir string) string {
	t.Helper()
	for _, name := range files(t, dir) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		if strings.HasSuffix(name, ".json") && strings.HasPrefix(name, "policies/") && strings.Contains(string(text), `"required":true`) {
			return name
		}
	}
	t.Fatal("no such policy")
	return ""
}

// dropLast takes the last line of a file away.
func dropLast(t *testing.T, dir, name string) {
	t.Helper()
	path := filepath.Join(dir, name)
	text, err := os.ReadFile(path)
	must(t, err)
	all := strings.SplitAfter(string(text), "\n")
	must(t, os.WriteFile(path, []byte(strings.Join(all[:len(all)-2], "")), 0o600))
}

func appendTo(t *testing.T, dir, name, more string) {
	t.Helper()
	path := filepath.Join(dir, name)
	text, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, append(text, more...), 0o600))
}

// testStranger: somebody who has read docs/formats.md and docs/formats-export.md alone computes the log digest and finds the
// records.
func testStranger(t *testing.T, dir string) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3")
	}
	out, err := exec.Command("python3", "testdata/stranger.py", dir).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "11 records") {
		t.Errorf("%v\n%s", err, out)
	}
	to := copied(t, dir)
	edit(t, to, export.EventsFile, `"kind":2,"payload_sha256":"`, `"kind":3,"payload_sha256":"`)
	must(t, export.Reseal(to, nil))
	if out, err := exec.Command("python3", "testdata/stranger.py", to).CombinedOutput(); err == nil {
		t.Errorf("%s", out)
	}
}
