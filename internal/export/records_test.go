package export

import (
	"bytes"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

// TestRecordsTable: every column of a full row, and of one that has only what every row has.
func TestRecordsTable(t *testing.T) {
	claimed, computed := nano.Nano(-1_500_000_000), nano.Nano(2_250_000_000)
	var b bytes.Buffer
	table := newRecords(&b)
	for _, v := range []wire.AuditItem{
		{Seq: 7, LogTime: "T1", ReceivedAt: "T2", Node: "n1", Remote: "10.0.0.1", RequestID: "R", ShardID: "=cmd", Epoch: -3,
			PCSID: "p", KeyID: "k", Status: 202, Outcome: "escalated", Accepted: true, ReasonCode: "c", Reasons: []string{"c", "d"},
			Reason: "why, \"so\"", DHat: &claimed, RecomputedDHat: &computed, RecomputedBudget: 10_000_000, Policy: "pol",
			Replayed: true, Reverified: true, InputsSigned: true, Evidence: true, FirstSeq: 3, Generation: 4,
			Was: wire.AuditAnswer{Generation: 1, Outcome: "accepted", Accepted: true, ReasonCode: "ok", Policy: "old"},
			Now: &wire.AuditAnswer{Generation: 5, Outcome: "refused", ReasonCode: "r", Policy: "new"}},
		{Seq: 18446744073709551615},
	} {
		must(t, table.add(&v))
	}
	must(t, table.flush())
	want := strings.Join(recordColumns, ",") + "\n" +
		"7,T1,T2,n1,10.0.0.1,R,'=cmd,'-3,p,k,accepted,true,ok,old,1,escalated,true,202,c,c d,\"why, \"\"so\"\"\",pol,4," +
		"refused,false,r,new,5,-1.5,2.25,0.01,true,true,true,true,3\n" +
		"18446744073709551615,,,,,,,0,,,,false,,,0,,false,0,,,,,0,,,,,,,,0,false,false,false,false,\n"
	if got := b.String(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
