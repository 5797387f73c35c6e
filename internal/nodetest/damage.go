package nodetest

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// ForgetID removes the row of a pcs_id from the live fold of the stopped node i, as a bad disk or a stray hand
// might: the node then judges the next submission of that id as if it were the first.
func (c *Cluster) ForgetID(i int, pcsID string) {
	c.t.Helper()
	raw, err := hex.DecodeString(pcsID)
	must(c.t, err)
	key := append([]byte{'i'}, raw...) // the id rows of package projections
	c.ChangeRow(i, "generations/1", key, nil)
}

// ChangeRow changes a row in a store of the stopped node i, as a bad disk or a stray hand might; a nil value
// removes it. store is a path in the directory of the node, such as generations/2.
func (c *Cluster) ChangeRow(i int, store string, key, value []byte) {
	c.t.Helper()
	db := c.openStore(i, store)
	if value == nil {
		_, closer, err := db.Get(key)
		must(c.t, err)
		must(c.t, closer.Close())
		must(c.t, db.Delete(key, pebble.Sync))
	} else {
		must(c.t, db.Set(key, value, pebble.Sync))
	}
	must(c.t, db.Close())
}

// Row returns a row in a store of the stopped node i.
func (c *Cluster) Row(i int, store string, key []byte) []byte {
	c.t.Helper()
	db := c.openStore(i, store)
	value, closer, err := db.Get(key)
	must(c.t, err)
	value = append([]byte(nil), value...)
	must(c.t, closer.Close())
	must(c.t, db.Close())
	return value
}

func (c *Cluster) openStore(i int, store string) *pebble.DB {
	c.t.Helper()
	db, err := pebble.Open(filepath.Join(c.Dir(i), store), &pebble.Options{
		FormatMajorVersion: pebble.FormatTableFormatV6,
		Logger:             testLogger{c.t},
	})
	must(c.t, err)
	return db
}

// testLogger gives Pebble's errors to the test.
type testLogger struct{ t testing.TB }

func (l testLogger) Infof(string, ...any)              {}
func (l testLogger) Errorf(format string, args ...any) { l.t.Errorf(format, args...) }
func (l testLogger) Fatalf(format string, args ...any) { panic("pebble: " + format) }

// LargestTable is the largest table of a store of the stopped node i, such as "derived" or "generations/1".
func (c *Cluster) LargestTable(i int, store string) string {
	c.t.Helper()
	tables, err := filepath.Glob(filepath.Join(c.Dir(i), filepath.FromSlash(store), "*.sst"))
	must(c.t, err)
	var largest string
	var size int64
	for _, t := range tables {
		st, err := os.Stat(t)
		must(c.t, err)
		if st.Size() > size {
			largest, size = t, st.Size()
		}
	}
	if largest == "" {
		c.t.Fatalf("%s of node %d has no table", store, i)
	}
	return largest
}

// FlipBit flips one bit of a file, at such a part of its length.
func (c *Cluster) FlipBit(path string, part float64) {
	c.t.Helper()
	b, err := os.ReadFile(path)
	must(c.t, err)
	b[int(part*float64(len(b)))] ^= 0x10
	must(c.t, os.WriteFile(path, b, 0o600))
}
