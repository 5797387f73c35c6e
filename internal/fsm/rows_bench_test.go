package fsm

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
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

// BenchmarkApply writes the rows of a long history in steps of one pack of 64 records and of more, into stores of
// their own. Times are those of writing rows into the step and of applying it, bytes those that the flush writes.
func BenchmarkApply(b *testing.B) {
	const n, packs = 32_768, 64
	derived, generation := recordedRows(b, longHistory(b, n, packs))
	for name, batches := range map[string][][]op{"derived": derived, "generation": generation} {
		b.Run(name, func(b *testing.B) {
			steps := []int{1, 4, 8, 32}
			spent, written := make([]time.Duration, len(steps)), make([]uint64, len(steps))
			for range b.N {
				for i, size := range steps {
					took, bytes := applyIn(b, batches, size)
					spent[i], written[i] = spent[i]+took, written[i]+bytes
				}
			}
			for i, size := range steps {
				b.ReportMetric(float64(spent[i].Nanoseconds())/float64(n*b.N), fmt.Sprintf("ns/event-%d", size))
				b.ReportMetric(float64(written[i])/float64(n*b.N), fmt.Sprintf("flushed-B/event-%d", size))
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// applyIn writes batches into a new store, so many of them in a step.
func applyIn(b *testing.B, batches [][]op, size int) (took time.Duration, flushed uint64) {
	s, err := OpenStore(vfs.NewMem(), "s", quiet, nil)
	if err != nil {
		b.Fatal(err)
	}
	s.step.bounds = never
	if err := s.settle(true); err != nil {
		b.Fatal(err)
	}
	for i, rows := range batches {
		began := time.Now()
		err := s.seal(64, func(tx *txn) {
			for _, o := range rows {
				tx.Set([]byte(o.key), o.value)
			}
		})
		if err == nil && i%size == size-1 {
			s.step.mu.Lock()
			err = s.applyStep()
			s.step.mu.Unlock()
		}
		if took += time.Since(began); err != nil {
			b.Fatal(err)
		}
	}
	if err := flushAll(s); err != nil {
		b.Fatal(err)
	}
	total := s.db.Metrics().Total()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return took, total.TableBytesFlushed
}
