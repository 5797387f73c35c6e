package fsm

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/test/harness"
)

// longHistory is a log of n fresh records of 256 shards in packs of the given size.
func longHistory(b testing.TB, n, size int) []*raft.Log {
	b.Helper()
	src, err := harness.NewSource(filepath.Join("..", ".."))
	if err != nil {
		b.Fatal(err)
	}
	c := published(b)
	h := &builder{logs: history(b, 64)[:5]}
	events := make([]event.Event, n)
	for i := range events {
		body, err := src.Next(fmt.Sprintf("bench-%03d", i%256))
		if err != nil {
			b.Fatal(err)
		}
		events[i] = c.submission(string(body), i)
	}
	for i := 0; i < n; i += size {
		h.pack(events[i:min(i+size, n)]...)
	}
	return h.logs
}

// cpuTime returns the processor time that this process has used so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFold folds a long history into a new generation at once, as a rebuild does, beside decoding and checking
// alone.
func BenchmarkFold(b *testing.B) {
	const n = 60_000
	logs := longHistory(b, n, 256)
	b.Run("rebuild", func(b *testing.B) {
		var cpu time.Duration
		for range b.N {
			b.StopTimer()
			m := &machine{t: b, fs: vfs.Default, batch: 128 << 10}
			dir := b.TempDir()
			var err error
			m.log, err = log.Open(filepath.Join(dir, "events"), log.Options{})
			m.must(err)
			m.store(logs)
			m.derived, err = OpenDerived(nil, filepath.Join(dir, "derived"), m.log, m.batch, quiet, nil)
			m.must(err)
			m.log.CommittedTo(uint64(len(logs)))
			m.must(m.derived.CatchUp(b.Context()))
			m.gen, err = OpenGeneration(nil, filepath.Join(dir, "1"), 1, m.log, m.derived, published(b).held, Observer{}, m.batch, quiet)
			m.must(err)
			b.StartTimer()
			before := cpuTime()
			m.must(catchUp(b.Context(), m.gen, uint64(len(logs))))
			b.StopTimer()
			cpu += cpuTime() - before
			m.close()
		}
		b.ReportMetric(float64(cpu.Microseconds())/float64(n*b.N), "cpu-us/event")
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("check", func(b *testing.B) {
		m := newMachine(b, vfs.NewMem(), DefaultBatchBytes)
		defer m.close()
		m.store(logs[:5])
		m.run(5)
		keySet, view := verify.NewKeySet(published(b).keys), m.derived.Control().For(1)
		b.ResetTimer()
		for range b.N {
			var cur Cursor
			for _, l := range logs {
				items, err := cur.items(nil, log.Entry{Index: l.Index, Term: l.Term, Type: l.Type, Data: l.Data})
				m.must(err)
				for i := range items {
					projections.Prepare(&items[i], keySet, view)
				}
			}
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
}

// BenchmarkLive folds at the head, as a node that serves does: every entry by derived/ and then by the generation.
func BenchmarkLive(b *testing.B) {
	const n = 8192
	for _, size := range []int{16, 64} {
		b.Run(fmt.Sprintf("packs of %d", size), func(b *testing.B) {
			logs := longHistory(b, n, size)
			b.ResetTimer()
			var cost headCost
			for range b.N {
				cost.add(foldAtHead(b, logs, headBytes, 512))
			}
			events := float64(n * b.N)
			b.ReportMetric(float64(cost.cpu.Nanoseconds())/events, "cpu-ns/event")
			b.ReportMetric(float64(cost.allocs)/events, "allocs/event")
			b.ReportMetric(float64(cost.bytes)/events, "B/event")
			b.ReportMetric(float64(cost.written)/events, "written/event")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkSteps folds at the head in packs of 64, and applies a step after each pack or after some hundreds of events, as
// a window of a busy node does. It reports each as a figure of its own and processor time as a ratio. Written are the
// bytes that a flush at the end writes.
func BenchmarkSteps(b *testing.B) {
	const n = 16_384
	logs := longHistory(b, n, 64)
	steps := []int{1, 256, 512, 2048}
	costs := make([]headCost, len(steps))
	for range b.N {
		for i, events := range steps {
			costs[i].add(foldAtHead(b, logs, headBytes, events))
		}
	}
	total := float64(n * b.N)
	for i, events := range steps {
		b.ReportMetric(float64(costs[i].cpu.Nanoseconds())/total, fmt.Sprintf("cpu-ns/event-%d", events))
		b.ReportMetric(float64(costs[i].bytes)/total, fmt.Sprintf("B/event-%d", events))
		b.ReportMetric(float64(costs[i].written)/total, fmt.Sprintf("written/event-%d", events))
		b.ReportMetric(float64(costs[i].cpu)/float64(costs[0].cpu), fmt.Sprintf("cpu-ratio-%d", events))
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkHead folds a history at the head, entry by entry: derived/ and then the serving generation. It does so
// twice, with the entries that derived/ has decoded and without, and reports the second as a multiple of the first:
// processor time, bytes allocated and entries read by both loops.
func BenchmarkHead(b *testing.B) {
	const n = 8192
	for _, size := range []int{1, 32, 256} {
		b.Run(fmt.Sprintf("packs of %d", size), func(b *testing.B) {
			logs := longHistory(b, n, size)
			var shared, alone headCost
			for range b.N {
				shared.add(foldAtHead(b, logs, headBytes, 512))
				alone.add(foldAtHead(b, logs, 0, 512))
			}
			events := float64(n * b.N)
			b.ReportMetric(float64(shared.cpu.Nanoseconds())/events, "shared-cpu-ns/event")
			b.ReportMetric(float64(alone.cpu.Nanoseconds())/events, "alone-cpu-ns/event")
			b.ReportMetric(float64(alone.cpu)/float64(shared.cpu), "cpu-ratio")
			b.ReportMetric(float64(alone.bytes)/float64(shared.bytes), "alloc-ratio")
			b.ReportMetric(float64(alone.read)/float64(shared.read), "read-ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// headCost is the cost of one run of foldAtHead.
type headCost struct {
	cpu     time.Duration // of both loops
	bytes   uint64        // allocated by them
	allocs  uint64        // number of allocations
	read    uint64        // entries read from the log
	written uint64        // bytes flushed to tables
}

func (c *headCost) add(d headCost) {
	c.cpu, c.bytes, c.allocs, c.read = c.cpu+d.cpu, c.bytes+d.bytes, c.allocs+d.allocs, c.read+d.read
	c.written += d.written
}

// foldAtHead folds logs as they are committed, entry by entry, with a head of limit bytes and in steps of some events.
func foldAtHead(b *testing.B, logs []*raft.Log, limit, events int) headCost {
	m := newMachine(b, vfs.NewMem(), DefaultBatchBytes)
	defer m.close()
	m.derived.head.limit = limit
	m.keepOpen(bounds{events: events, bytes: 8 << 20, millis: 1 << 30})
	m.store(logs)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := cpuTime()
	derived, generation := m.folded(1, uint64(len(logs)), m.gen)
	c := headCost{cpu: cpuTime() - began, read: derived + generation}
	runtime.ReadMemStats(&after)
	c.bytes, c.allocs = after.TotalAlloc-before.TotalAlloc, after.Mallocs-before.Mallocs
	m.must(errors.Join(flushAll(m.derived.store), flushAll(m.gen.store)))
	d, g := m.derived.store.db.Metrics().Total(), m.gen.store.db.Metrics().Total()
	c.written = d.TableBytesFlushed + g.TableBytesFlushed
	return c
}

// BenchmarkRead is the work that sharing saves for one entry: to take it from the head, or to read, decode and hash it.
func BenchmarkRead(b *testing.B) {
	logs := longHistory(b, 4096, 32)
	m := newMachine(b, vfs.NewMem(), DefaultBatchBytes)
	defer m.close()
	m.store(logs)
	last := uint64(len(logs))
	m.folded(1, last-1, m.gen)
	m.log.CommittedTo(last)
	m.must(catchUp(b.Context(), m.derived, last))
	at := m.gen.Cursor()
	for range b.N {
		began := time.Now()
		for range 100 {
			if m.derived.head.take(at, last, m.batch) == nil {
				b.Fatal("the head does not hold the entry")
			}
		}
		shared := time.Since(began)
		began = time.Now()
		for range 100 {
			batch, err := readBatch(newBatch(at), m.log, last, m.batch)
			if err != nil {
				b.Fatal(err)
			}
			hash(batch.items)
		}
		b.ReportMetric(float64(time.Since(began))/float64(shared), "ratio")
		b.ReportMetric(float64(shared.Nanoseconds())/100, "shared-ns/entry")
	}
}
