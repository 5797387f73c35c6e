package auditor

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
)

// crashed returns a copy of the directory of the stopped node with a tail, as a leader has that crashed before anybody
// had its last entries: n entries with the newest submission again.
func crashed(t *testing.T, s *scene, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "crashed")
	must(t, os.CopyFS(dir, os.DirFS(s.Dir(0))))
	store, err := log.Open(filepath.Join(dir, "events"), log.Options{Fatal: func(err error) { t.Error(err) }})
	must(t, err)
	last, err := store.LastIndex()
	must(t, err)
	store.CommittedTo(last)
	var raw []byte
	_, err = store.Read(1, 1<<30, func(e log.Entry) error {
		p, err := event.DecodePack(e.Data)
		if e.Command() && err == nil && len(p.Events) > 0 && p.Events[0].Kind == event.Submission {
			raw = bytes.Clone(e.Data)
		}
		return nil
	})
	must(t, err)
	tail := make([][]byte, n)
	for i := range tail {
		tail[i] = raw
	}
	must(t, store.Append(tail...))
	if store.Floor() != last {
		t.Fatalf("the floor is entry %d, and %d entries were committed", store.Floor(), last)
	}
	must(t, store.Close())
	return dir
}

// put replaces a directory by a copy of another one.
func put(t *testing.T, dir, from string) {
	t.Helper()
	must(t, os.RemoveAll(dir))
	must(t, os.CopyFS(dir, os.DirFS(from)))
}

// TestTailThatWasReplaced: events that only a crashed leader had may be replaced by others when it comes back. A newer
// checkpoint covers their numbers, and says nothing of them.
func TestTailThatWasReplaced(t *testing.T) {
	s := clusterOf(t)
	s.submit(8)
	s.Stop(0)
	at, dir := crashed(t, s, 3), t.TempDir()
	first, err := Run(t.Context(), s.options(open(t, at), dir))
	must(t, err)
	s.Restart(0)
	s.submit(12)
	newer := s.signed(first.Events + 6)
	s.Stop(0)
	put(t, at, s.Dir(0))
	r, err := Run(t.Context(), s.options(open(t, at), dir, newer))
	if err != nil || r.Events < first.Events+6 {
		t.Fatalf("%+v, %v", r, err)
	}
	says(t, r, "other ones are in their place now")
}
