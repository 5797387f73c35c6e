package export

import (
	"encoding/hex"
	"testing"

	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

// TestOtherwise: an answer of a generation is compared with the generation folded again in every member, and an
// answer of another one only in what that one must have kept.
func TestOtherwise(t *testing.T) {
	row := projections.Result{Seq: 9, FirstSeq: 9, Outcome: verify.Escalated, Reason: verify.ReasonDHatMismatch, PCSID: "p",
		ShardID: "s", Epoch: 3, KeyID: "k", HasDHat: true, DHat: 7, Budget: 8, Policy: [32]byte{1}}
	policy := hex.EncodeToString(row.Policy[:])
	short := wire.AuditAnswer{Generation: 2, Outcome: "escalated", Status: 202, ReasonCode: row.ReasonCode(), Policy: policy}
	whole := wire.AuditItem{Seq: 9, Outcome: "escalated", ReasonCode: row.ReasonCode(), Reasons: row.ReasonCodes(),
		Reason: row.ReasonText(), PCSID: "p", ShardID: "s", Epoch: 3, KeyID: "k", RecomputedDHat: nano.Ptr(7),
		RecomputedBudget: 8, Policy: policy, Generation: 2, Was: short, Now: &short}
	for name, c := range map[string]struct {
		change func(*wire.AuditItem)
		want   string
	}{
		"as folded":          {func(*wire.AuditItem) {}, ""},
		"an outcome":         {func(v *wire.AuditItem) { v.Outcome = "accepted" }, "outcome"},
		"accepted":           {func(v *wire.AuditItem) { v.Accepted = true }, "accepted"},
		"the first outcome":  {func(v *wire.AuditItem) { v.Was.Outcome = "refused" }, "first answer"},
		"the first accepted": {func(v *wire.AuditItem) { v.Was.Accepted = true }, "first answer"},
		"the first status":   {func(v *wire.AuditItem) { v.Was.Status = 200 }, "first answer"},
		"the first reason":   {func(v *wire.AuditItem) { v.Was.ReasonCode = "ok" }, "first answer"},
		"the first policy":   {func(v *wire.AuditItem) { v.Was.Policy = "" }, "first answer"},
		"half of the first":  {func(v *wire.AuditItem) { v.Was.Status, v.Was.ReasonCode = 0, "" }, "first answer"},
		"a first that is not known any more": {func(v *wire.AuditItem) {
			v.Was = wire.AuditAnswer{Generation: 2, Outcome: "escalated"}
		}, ""},
		"a first of another generation": {func(v *wire.AuditItem) {
			v.Was = wire.AuditAnswer{Generation: 1, Outcome: "refused"}
		}, ""},
		"the outcome of now": {func(v *wire.AuditItem) { v.Now = &wire.AuditAnswer{Generation: 2, Outcome: "refused"} },
			"answer of now"},
		"now, of another generation": {func(v *wire.AuditItem) { v.Now = &wire.AuditAnswer{Generation: 3} }, ""},
		"a reason":                   {func(v *wire.AuditItem) { v.ReasonCode = "ok" }, "reason"},
		"a reason more":              {func(v *wire.AuditItem) { v.Reasons = append(v.Reasons, "x") }, "reason"},
		"the text":                   {func(v *wire.AuditItem) { v.Reason += "." }, "text of its reason"},
		"a policy":                   {func(v *wire.AuditItem) { v.Policy = policy[1:] }, "policy"},
		"an id":                      {func(v *wire.AuditItem) { v.PCSID = "q" }, "identity"},
		"a shard":                    {func(v *wire.AuditItem) { v.ShardID = "q" }, "identity"},
		"an epoch":                   {func(v *wire.AuditItem) { v.Epoch++ }, "identity"},
		"a replay":                   {func(v *wire.AuditItem) { v.Replayed = true }, "place among the records of its id"},
		"a verification":             {func(v *wire.AuditItem) { v.Reverified = true }, "place among the records of its id"},
		"evidence":                   {func(v *wire.AuditItem) { v.Evidence = true }, "place among the records of its id"},
		"a first event":              {func(v *wire.AuditItem) { v.FirstSeq = 9 }, "place among the records of its id"},
		"a key":                      {func(v *wire.AuditItem) { v.KeyID = "" }, "key"},
		"no value":                   {func(v *wire.AuditItem) { v.RecomputedDHat = nil }, "value"},
		"a value":                    {func(v *wire.AuditItem) { v.RecomputedDHat = nano.Ptr(8) }, "value"},
		"a budget":                   {func(v *wire.AuditItem) { v.RecomputedBudget++ }, "value"},
	} {
		v, now := whole, short
		v.Now, v.Reasons = &now, append([]string{}, whole.Reasons...)
		c.change(&v)
		w := &walk{checker: &checker{m: &Manifest{Generation: 2}}}
		if got := w.otherwise(&row, &v, 2); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	foreign := whole
	foreign.Generation, foreign.Was.Generation, foreign.Now, foreign.Policy, foreign.KeyID = 1, 1, nil, "x", "x"
	w := &walk{checker: &checker{m: &Manifest{Generation: 2}}}
	if got := w.otherwise(&row, &foreign, 2); got != "" {
		t.Errorf("a row that another generation tells: %q", got)
	}
	if foreign.Accepted = true; w.otherwise(&row, &foreign, 2) != "accepted" {
		t.Error("another generation tells another outcome, and that is not seen")
	}
	if got := w.otherwise(&row, &foreign, 3); got != "" {
		t.Errorf("folded under a generation that nothing is told of: %q", got)
	}
}
