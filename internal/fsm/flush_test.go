package fsm

import (
	"fmt"
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
	end := m.gen.Cursor().Seq
	reached := func() error {
		after := newMachine(t, fs.Cut(vfs.CrashCloneCfg{}), 20_000)
		defer after.close()
		for _, seq := range []uint64{after.derived.Cursor().Seq, after.gen.Cursor().Seq} {
			if seq+100 < end {
				return fmt.Errorf("after a crash %d of %d events are folded", seq, end)
			}
		}
		return nil
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var err error
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); <-tick.C {
		if err = reached(); err == nil {
			break
		}
	}
	if err != nil {
		t.Error(err)
	}
	m.close()
}
