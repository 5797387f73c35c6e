package export_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/export"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// lie describes what a forger changes in an export, and the check that must find it out.
type lie struct {
	check   string
	recount bool // found out only when all is folded again
	tell    func(to string)
}

// answerLies are about the first submission that was accepted, which no later event touches.
func answerLies(t *testing.T) map[string]lie {
	of := func(check string, recount bool, change func(*wire.AuditItem)) lie {
		return lie{check, recount, func(to string) {
			done := false
			rewrite(t, to, export.VerdictsFile, func(v *wire.AuditItem) *wire.AuditItem {
				if !done && v.Outcome == wire.OutcomeAccepted {
					done = true
					change(v)
				}
				return v
			})
			must(t, export.Retable(to))
		}}
	}
	return map[string]lie{
		"no name, so another shard": of(export.CheckAnswers, false, func(v *wire.AuditItem) { v.PCSID, v.ShardID = "", "victim" }),
		"no name at all":            of(export.CheckAnswers, false, func(v *wire.AuditItem) { v.PCSID, v.ShardID, v.Epoch = "", "", 0 }),
		"no claimed D_hat":          of(export.CheckAnswers, false, func(v *wire.AuditItem) { v.DHat = nil }),
		"another text":              of(export.CheckJudged, false, func(v *wire.AuditItem) { v.Reason = "paid for" }),
		"a generation that is none": of(export.CheckAnswers, false, func(v *wire.AuditItem) { v.Generation = 9 }),
		"first answered by another": of(export.CheckAnswers, false, func(v *wire.AuditItem) { v.Was.Generation = 2 }),
		"another first answer":      of(export.CheckHistory, true, func(v *wire.AuditItem) { v.Was.Outcome, v.Was.Accepted = wire.OutcomeRefused, false }),
		"another first status":      of(export.CheckHistory, true, func(v *wire.AuditItem) { v.Was.Status = 500 }),
		"another answer of now":     of(export.CheckHistory, true, func(v *wire.AuditItem) { v.Now.Outcome, v.Now.Accepted = wire.OutcomeRefused, false }),
	}
}

// listLies are about what is beside the answers.
func listLies(t *testing.T) map[string]lie {
	in := func(check string, recount bool, name, old, replacement string) lie {
		return lie{check, recount, func(to string) { edit(t, to, name, old, replacement) }}
	}
	return map[string]lie{
		"another owner":       in(export.CheckKeys, false, export.KeysFile, `"owner": "\"`, `"owner": "\"mallory`),
		"a key for one shard": in(export.CheckKeys, false, export.KeysFile, `"scope": []`, "\"scope\": [\n      \"x\"\n    ]"),
		"registered later":    in(export.CheckKeys, false, export.KeysFile, "\"seq\": 5,\n    \"terms_seq\": 5", "\"seq\": 6,\n    \"terms_seq\": 6"),
		"revoked earlier":     in(export.CheckKeys, false, export.KeysFile, `"revoked_seq": 19`, `"revoked_seq": 18`),
		"since another time":  in(export.CheckKeys, true, export.KeysFile, `"revoked_since": "2026`, `"revoked_since": "2025`),
		"another publisher":   in(export.CheckPolicies, false, export.PoliciesFile, `"actor": "test-operator"`, `"actor": "mallory"`),
		"another text": {export.CheckPolicies, false, func(to string) {
			sources, err := filepath.Glob(filepath.Join(to, export.PoliciesDir, "b136738e*.yaml"))
			if must(t, err); len(sources) != 1 {
				t.Fatal(sources)
			}
			must(t, os.WriteFile(sources[0], []byte("signature: {required: true}\n"), 0o600))
		}},
		"answered earlier":            in(export.CheckGenerations, false, export.GenerationsFile, `      23`, `      20`),
		"never answered":              in(export.CheckGenerations, false, export.GenerationsFile, "[\n      23\n    ]", "[]"),
		"another starter":             in(export.CheckGenerations, false, export.GenerationsFile, `"test-operator"`, `"mallory"`),
		"another schedule":            in(export.CheckAnswers, false, export.GenerationsFile, `"from_seq": 1,`+"\n        \"policy\": \"5656", `"from_seq": 9,`+"\n        \"policy\": \"5656"),
		"a step of no event":          in(export.CheckGenerations, true, export.GenerationsFile, `"from_seq": 15`, `"from_seq": 14`),
		"an operation of another":     in(export.CheckOperations, false, export.OperationsFile, `"scope":"shard","subject":"alpha"`, `"scope":"shard","subject":"beta"`),
		"an operation that hides":     in(export.CheckOperations, false, export.OperationsFile, `,"subject":"alpha"`, ``),
		"an operation without effect": in(export.CheckOperations, true, export.OperationsFile, `"kind":"frozen","effect":"applied"`, `"kind":"frozen","effect":"ignored"`),
	}
}

// TestLiesBesideTheEvents: with true events, so with the log digest of the ledger, nothing else can say other things than they do.
func TestLiesBesideTheEvents(t *testing.T) {
	dir := filepath.Join("testdata", "format-1")
	manifest := map[string]lie{"an earlier generation": {check: export.CheckGenerations}, "an earlier end": {check: export.CheckManifest},
		"begun earlier": {check: export.CheckTime}, "asked for less": {check: export.CheckManifest}, "a digest of nobody": {check: export.CheckGenerations}}
	changes := map[string]func(*export.Manifest){
		"an earlier generation": func(m *export.Manifest) { m.Generation = 1 },
		"an earlier end":        func(m *export.Manifest) { m.Head = m.Range.ToSeq - 1 },
		"begun earlier":         func(m *export.Manifest) { m.Range.FirstTime = "2020-01-01T00:00:00.000000000Z" },
		"asked for less":        func(m *export.Manifest) { m.Range.Until = m.Range.LastTime },
		"a digest of nobody":    func(m *export.Manifest) { m.End.Generation = 7 },
	}
	for _, lies := range []map[string]lie{answerLies(t), listLies(t), manifest} {
		for name, l := range lies {
			to := copied(t, dir)
			if l.tell != nil {
				l.tell(to)
			}
			must(t, export.Reseal(to, changes[name]))
			if r, lines := check(t, to, export.CheckOptions{Recount: l.recount}); r.OK || lines[l.check].Result != export.ResultFailed {
				t.Errorf("%s: %s did not fail: %+v", name, l.check, r)
			}
		}
	}
}

// TestIntervals: when a policy was in force follows from the events.
func TestIntervals(t *testing.T) {
	s := newScene(t)
	s.play()
	dir, _ := s.write(export.Options{})
	for old, replacement := range map[string]string{`"generation": 2,`: `"generation": 1,`, `"to_seq": 15,`: `"to_seq": 23,`} {
		to := copied(t, dir)
		edit(t, to, export.PoliciesFile, old, replacement)
		must(t, export.Reseal(to, nil))
		if r, lines := check(t, to, export.CheckOptions{Recount: true}); r.OK || lines[export.CheckPolicies].Result != export.ResultFailed {
			t.Errorf("%s: %+v", replacement, r)
		}
	}
}

// TestPage: a page that is not made of the other files is not called checked.
func TestPage(t *testing.T) {
	s := newScene(t)
	s.submit(200, s.f.Sign(nodetest.Record{Shard: htmlShard, Epoch: 1, Root: "a"}))
	dir, _ := s.write(export.Options{})
	holds(t, dir, export.CheckOptions{Recount: true}, export.CheckHMAC)
	edit(t, dir, export.PageFile, "</html>", "<script>alert(1)</script></html>")
	must(t, export.Reseal(dir, nil))
	lines := holds(t, dir, export.CheckOptions{Recount: true}, export.CheckHMAC, export.CheckPage)
	if l := lines[export.CheckPage]; !strings.Contains(l.Says, "do not open it") {
		t.Errorf("%+v", l)
	}
}
