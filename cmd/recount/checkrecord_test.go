package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// TestCheckOfRecords: check says of one record what a submission is answered, and of several how many would get
// which. Nothing is submitted by it: the same records are new to a submission afterwards.
func TestCheckOfRecords(t *testing.T) {
	c := nodetest.Start(t, 1)
	flags := clusterFlags(t, c, wire.RoleMetrics)
	f := nodetest.NewRecords(t)
	good := string(f.Sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"}))
	doubtful := string(f.Sign(nodetest.Record{Shard: "a", Epoch: 2, Root: "r", Wrong: true}))
	forged := string(f.Sign(nodetest.Record{Shard: "a", Epoch: 3, Root: "r", Forged: true}))
	check := func(in string, more ...string) ran {
		return run(t, in, append(append([]string{"check", "-"}, more...), flags...)...)
	}
	for range 2 {
		for _, x := range []struct {
			in   string
			code int
			says []string
		}{
			{good, exitOK, []string{"accepted", "every check passed", "logged            no"}},
			{doubtful, exitOK, []string{"escalated", "202"}},
			{forged, exitRejected,
				[]string{"bad_signature", "401", "1 of 1 records would be rejected; nothing was submitted"}},
			{good + doubtful + forged, exitRejected,
				[]string{"accepted", "escalated", "refused", "1 of 3 records would be rejected"}},
			{"no record", exitUsage, []string{"no JSON object"}},
		} {
			r := check(x.in)
			for _, s := range x.says {
				if !strings.Contains(r.out+r.err, s) {
					t.Errorf("%.60s: no %q in\n%s%s", x.in, s, r.out, r.err)
				}
			}
			if r.code != x.code || strings.Contains(r.out, "seq ") {
				t.Errorf("%.60s: exit %d: %s%s", x.in, r.code, r.out, r.err)
			}
		}
	}
	var a wire.CheckAnswer
	r := check(good, "-o", "json")
	if err := json.Unmarshal([]byte(r.out), &a); err != nil || !a.DryRun || a.Outcome != "accepted" ||
		strings.Contains(r.out, `"seq"`) {
		t.Errorf("%v %s", err, r.out)
	}
	if r := run(t, good+doubtful,
		append([]string{"submit", "-", "-o", "ndjson"}, flags...)...); r.code != exitOK ||
		strings.Contains(r.out, `"replayed":true`) {
		t.Errorf("submitted after the checks: %d %s%s", r.code, r.out, r.err)
	}
	var again wire.CheckAnswer
	r = check(good, "-o", "json")
	if err := json.Unmarshal([]byte(r.out), &again); err != nil || !again.Replayed || again.Seq == 0 {
		t.Errorf("a check of what is there: %v %s", err, r.out)
	}
	path := write(t, filepath.Join(t.TempDir(), "record.json"), good)
	if r := run(t, "", append([]string{"check", path}, flags[:len(flags)-2]...)...); r.code != exitRejected ||
		!strings.Contains(r.err, "No token was given") {
		t.Errorf("without a token: exit %d: %s", r.code, r.err)
	}
	c.Stop(0)
	if r := check(good, "--timeout", "1s"); r.code != exitUnavailable ||
		!strings.Contains(r.err, "Nothing was submitted") {
		t.Errorf("no node: exit %d: %s", r.code, r.err)
	}
}
