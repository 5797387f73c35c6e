package log

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestStoresCompact: a store with this scheduler compacts what many flushes leave, with compactions that start while others
// run.
func TestStoresCompact(t *testing.T) {
	o := &pebble.Options{
		FS:                         vfs.NewMem(),
		L0CompactionThreshold:      2,
		CompactionConcurrencyRange: func() (int, int) { return 1, 1 },
		MemTableSize:               64 << 10,
	}
	o.Experimental.CompactionScheduler = Compactions()
	db, err := pebble.Open("db", o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	value := make([]byte, 1000)
	for i := range 5000 {
		key := binary.BigEndian.AppendUint64(nil, uint64(i*7919%5000))
		if err := db.Set(key, value, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; {
		m := db.Metrics()
		if m.Compact.NumInProgress == 0 && m.Levels[0].Sublevels < 2 {
			if m.Compact.Count < 3 {
				t.Errorf("%d compactions", m.Compact.Count)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d sublevels are left: %s", m.Levels[0].Sublevels, m)
		}
	}
}
