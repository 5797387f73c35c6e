package fsm

import (
	"path/filepath"
	"testing"

	"github.com/recount-ledger/recount/internal/log"
)

// BenchmarkItems reads 100 events from a log that is no longer in memory, as a page of the audit list does: neighbours,
// neighbours from the newest on, and every 64th event, as one shard among many has.
func BenchmarkItems(b *testing.B) {
	const n, page = 20_000, 100
	m := &machine{t: b, batch: DefaultBatchBytes}
	dir := b.TempDir()
	var err error
	m.log, err = log.Open(filepath.Join(dir, "events"), log.Options{TailBytes: 1 << 20, MemTableBytes: 4 << 20})
	m.must(err)
	logs := longHistory(b, n, 64)
	for i := 0; i < len(logs); i += 16 {
		m.must(m.log.StoreLogs(logs[i:min(i+16, len(logs))]))
	}
	m.derived, err = OpenDerived(nil, filepath.Join(dir, "derived"), m.log, m.batch, quiet, nil)
	m.must(err)
	m.log.CommittedTo(uint64(len(logs)))
	m.must(m.derived.CatchUp(b.Context()))
	defer func() { m.must(m.derived.Close()); m.must(m.log.Close()) }()
	for _, c := range []struct {
		name       string
		step, from int
	}{{"neighbours", 1, 0}, {"newest first", -1, 10_000}, {"one shard", 64, 0}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				read := m.derived.Items()
				first := c.from + 10 + i*7919%(n/4)
				for k := range page {
					if _, err := read(uint64(first + k*c.step)); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
