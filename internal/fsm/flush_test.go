package fsm

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/test/crashfs"
)

// TestLittleIsFoldedAgain: both folded states reach the disk every so many events, long before their memory is full, so that
// little is folded again after a crash.
func TestLittleIsFoldedAgain(t *testing.T) {
	fs := crashfs.New()
	logs := history(t, 10)
	m := newMachine(t, fs, 20_000)
	m.derived.store.flusher.limit, m.gen.store.flusher.limit = 50, 50
	m.store(logs)
	m.run(uint64(len(logs)))
	m.untilFolded(100)
	m.close()
}

// TestLittleTimeIsFoldedAgain: fewer events than that reach the disk when their time is over, and none before it.
func TestLittleTimeIsFoldedAgain(t *testing.T) {
	fs := crashfs.New()
	logs := history(t, 10)
	m := newMachine(t, fs, 20_000)
	m.store(logs)
	m.run(uint64(len(logs)))
	if seq, _ := m.afterCrash(); seq != 0 {
		t.Errorf("after a crash at once %d events are folded", seq)
	}
	for _, s := range []*Store{m.derived.store, m.gen.store} {
		m.must(s.Snapshot().Close()) // has the open step applied
		s.flusher.mu.Lock()
		timer, ok := s.flusher.timer.(*time.Timer)
		s.flusher.mu.Unlock()
		if !ok || !timer.Reset(0) {
			t.Fatalf("%s: no timer runs for a flush", s.dir)
		}
	}
	m.untilFolded(0)
	m.close()
}

// afterCrash returns up to which event both states would be folded after a crash now.
func (m *machine) afterCrash() (derived, generation uint64) {
	m.t.Helper()
	after := newMachine(m.t, m.fs.(crashfs.FS).Cut(vfs.CrashCloneCfg{}), 20_000)
	defer after.close()
	return after.derived.Cursor().Seq, after.gen.Cursor().Seq
}

// untilFolded waits until a crash would leave at most so many events to fold again.
func (m *machine) untilFolded(behind uint64) {
	m.t.Helper()
	end := m.gen.Cursor().Seq
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var derived, generation uint64
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); <-tick.C {
		if derived, generation = m.afterCrash(); min(derived, generation)+behind >= end {
			return
		}
	}
	m.t.Errorf("after a crash %d and %d of %d events are folded", derived, generation, end)
}
