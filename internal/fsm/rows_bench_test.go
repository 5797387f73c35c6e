package fsm

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/projections"
)

// recordedRows folds a history and returns the rows that each batch of derived/ and of the generation writes.
func recordedRows(b *testing.B, logs []*raft.Log) (derived, generation [][]op) {
	m := newMachine(b, vfs.NewMem(), DefaultBatchBytes)
	defer m.close()
	m.keepOpen(never)
	m.store(logs)
	var seen [2][256]int
	for to := range uint64(len(logs)) {
		m.foldTo(to + 1)
		for i, s := range []*Store{m.derived.store, m.gen.store} {
			var rows []op
			for space := range s.step.tx.spaces {
				ops := s.step.tx.spaces[space].ops
				rows = append(rows, ops[seen[i][space]:]...)
				seen[i][space] = len(ops)
			}
			if i == 0 {
				derived = append(derived, rows)
			} else {
				generation = append(generation, rows)
			}
		}
	}
	return derived, generation
}

// BenchmarkApply writes the rows of a long history into stores of their own, in steps of one pack of 64 records or of more,
// each row by itself or in the layout of its space. Times are processor time for writing rows
// into the step, applying it and flushing, bytes those that the flush writes.
func BenchmarkApply(b *testing.B) {
	const n, packs = 32_768, 64
	derived, generation := recordedRows(b, longHistory(b, n, packs))
	laid := layouts
	defer func() { layouts = laid }()
	for name, batches := range map[string][][]op{"derived": derived, "generation": generation} {
		b.Run(name, func(b *testing.B) {
			var took, flushed [6]float64
			steps := []int{1, 8, 32}
			for range b.N {
				for i, size := range steps {
					layouts = [256]layout{}
					applyIn(b, batches, size, &took[i], &flushed[i])
					layouts = laid
					applyIn(b, batches, size, &took[3+i], &flushed[3+i])
				}
			}
			for i, size := range steps {
				for j, how := range []string{"rows", "blocks"} {
					b.ReportMetric(took[3*j+i]/float64(n*b.N), fmt.Sprintf("cpu-ns/event-%d-%s", size, how))
					b.ReportMetric(flushed[3*j+i]/float64(n*b.N), fmt.Sprintf("flushed-B/event-%d-%s", size, how))
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// applyIn writes batches into a new store, so many of them in a step, and adds nanoseconds and bytes.
func applyIn(b *testing.B, batches [][]op, size int, took, flushed *float64) {
	s, err := OpenStore(vfs.NewMem(), "s", quiet, nil)
	if err != nil {
		b.Fatal(err)
	}
	s.step.bounds = never
	if err := s.settle(true); err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	began := cpuTime()
	for i, rows := range batches {
		err := s.seal(64, func(tx *txn) {
			for _, o := range rows {
				tx.Set(o.bytes(), o.value)
			}
		})
		if err == nil && i%size == size-1 {
			s.step.mu.Lock()
			err = s.applyStep()
			s.step.mu.Unlock()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := flushAll(s); err != nil {
		b.Fatal(err)
	}
	*took += float64(cpuTime() - began)
	*flushed += float64(s.db.Metrics().Total().TableBytesFlushed)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkReadRows reads rows as the API does, from rows that are each stored by itself and from blocks and lists.
func BenchmarkReadRows(b *testing.B) {
	const n = 16_384
	logs := longHistory(b, n, 64)
	laid := layouts
	defer func() { layouts = laid }()
	for _, how := range []string{"rows", "blocks"} {
		if layouts = laid; how == "rows" {
			layouts = [256]layout{}
		}
		m := newMachine(b, vfs.NewMem(), DefaultBatchBytes)
		m.store(logs)
		m.keepOpen(bounds{events: 512, bytes: 8 << 20, millis: 1 << 30})
		m.folded(1, uint64(len(logs)), m.gen)
		m.must(flushAll(m.gen.store))
		v := m.gen.View()
		page := func(q projections.Query) func(*testing.B) {
			return func(b *testing.B) {
				b.ReportAllocs()
				for range b.N {
					if p, err := projections.Audit(v, q); err != nil || len(p.Rows) == 0 {
						b.Fatal(len(p.Rows), err)
					}
				}
			}
		}
		b.Run("page/"+how, page(projections.Query{FromSeq: n / 2}))
		b.Run("last page/"+how, page(projections.Query{Reverse: true}))
		b.Run("page of a shard/"+how, page(projections.Query{Shard: "bench-007"}))
		b.Run("row/"+how, func(b *testing.B) {
			b.ReportAllocs()
			for i := range uint64(b.N) {
				if _, err := projections.Row(v, 100+i*7919%(n-100)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("digest/"+how, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if _, err := projections.DigestAt(v, n-130); err != nil {
					b.Fatal(err)
				}
			}
		})
		m.must(v.Close())
		m.close()
	}
}
