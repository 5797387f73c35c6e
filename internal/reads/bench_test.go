package reads_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/ledgertest"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/reads"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/test/harness"
	"github.com/recount-ledger/recount/wire"
)

// benchShards is the number of shards of a longList.
const benchShards = 256

// longList is a ledger of fresh records of many shards, in packs as a busy node makes them.
type longList struct {
	*reads.Views
	ids []string
}

func newLongList(b *testing.B, records int) longList {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	key, err := verify.NewHMACKey([]byte(harness.BenchKey))
	must(err)
	l := ledgertest.New(b, key)
	src, err := harness.NewSource(filepath.Join("..", ".."))
	must(err)
	out := longList{Views: &reads.Views{
		State:       l.State,
		Generations: l.Gens,
		Withheld:    func() *wire.Problem { return nil },
		Confirm:     l.Confirm,
	}}
	var pack []event.Event
	for i := range records {
		body, err := src.Next(fmt.Sprintf("shard-%03d", i%benchShards))
		must(err)
		rec := pcs.Decode(body)
		out.ids = append(out.ids, rec.PCSID)
		facts, _ := l.Verifiers().Find(rec, verify.Facts{})
		ev := event.Event{Kind: event.Submission, Payload: event.Sub{
			Salt:       [event.SaltSize]byte{byte(i), byte(i >> 8)},
			Body:       body,
			ReceivedAt: l.Now().UnixNano(),
			Node:       ledgertest.Node,
			Facts: event.Facts{
				KeyID:   facts.KeyID,
				Alg:     uint8(facts.Alg),
				Profile: uint8(facts.Profile),
				Mode:    uint8(facts.Mode),
			},
			Remote:    "192.0.2.1",
			RequestID: "0123456789abcdef",
		}.Payload()}
		if pack = append(pack, ev); len(pack) == 64 || i == records-1 {
			l.Pack(pack...)
			pack = nil
		}
	}
	must(l.Confirm(b.Context()))
	b.Logf("%d records in %d entries", records, l.Entries())
	return out
}

// BenchmarkPage reads, from a log that memory does not hold, what an auditor reads: pages of 100 submissions, in the order of the log and of one shard, and
// single records by their pcs_id.
func BenchmarkPage(b *testing.B) {
	const records = 120_000
	l := newLongList(b, records)
	view, err := l.View(b.Context(), api.Read{})
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		of   func(i int) api.AuditQuery
	}{
		{"all", func(i int) api.AuditQuery { return api.AuditQuery{FromSeq: uint64(1 + i*7919%(records-200))} }},
		{"newest", func(i int) api.AuditQuery {
			return api.AuditQuery{FromSeq: uint64(records - i*7919%(records/2)), Newest: true}
		}},
		{"shard", func(i int) api.AuditQuery {
			return api.AuditQuery{FromSeq: 1, Shard: fmt.Sprintf("shard-%03d", i%benchShards)}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				q := c.of(i)
				q.Limit = 100
				page, err := view.Audit(b.Context(), q)
				if err != nil || len(page.Items) != q.Limit {
					b.Fatal(len(page.Items), err)
				}
			}
		})
	}
	b.Run("record", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			if _, err := view.Lookup(b.Context(), l.ids[i*7919%records], api.Then{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
