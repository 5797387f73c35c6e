package recount

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/projections"
)

// dirs lists what is in generations/.
func (r *testNode) dirs() []string {
	r.t.Helper()
	list, err := r.fs.List("n/generations")
	r.must(err)
	slices.Sort(list)
	return list
}

// rows is every row of the generations and of the history, as text.
func (r *testNode) rows() map[string]string {
	r.t.Helper()
	out := map[string]string{}
	r.must(r.m.EachRow(func(store string, k, v []byte) { out[store+" "+string(k)] = string(v) }))
	return out
}

// sameRows fails unless two nodes hold the same.
func sameRows(t *testing.T, when string, got, want map[string]string) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: row %q is %q, want %q", when, k, got[k], v)
			return
		}
	}
	t.Errorf("%s: %d rows, want %d", when, len(got), len(want))
}

// running returns an open generation.
func (r *testNode) running(number uint32) *Running {
	r.t.Helper()
	g, _ := r.m.Get(number)
	if g == nil {
		r.t.Fatalf("generation %d is not open", number)
	}
	return g
}

// outcome is the outcome of an event in the serving generation.
func (r *testNode) outcome(number uint32, seq uint64) string {
	r.t.Helper()
	v := r.running(number).View()
	defer v.Close()
	res, err := projections.Row(v, seq)
	r.must(err)
	return res.Outcome.String()
}

// damage overwrites the middle of the largest table of a stopped node's store.
func (r *testNode) damage(dir string) {
	r.t.Helper()
	list, err := r.disk.List(dir)
	r.must(err)
	var largest string
	var size int64
	for _, name := range list {
		st, err := r.disk.Stat(filepath.Join(dir, name))
		r.must(err)
		if strings.HasSuffix(name, ".sst") && st.Size() > size {
			largest, size = filepath.Join(dir, name), st.Size()
		}
	}
	if largest == "" {
		r.t.Fatalf("%s has no table", dir)
	}
	f, err := r.disk.Open(largest)
	r.must(err)
	b, err := io.ReadAll(f)
	r.must(errors.Join(err, f.Close()))
	copy(b[len(b)/4:len(b)/3], bytes.Repeat([]byte{0xa5}, len(b)))
	w, err := r.disk.Create(largest, vfs.WriteCategoryUnspecified)
	r.must(err)
	_, err = w.Write(b)
	r.must(errors.Join(err, w.Sync(), w.Close()))
}
