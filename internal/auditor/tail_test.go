package auditor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/evidence"
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

// TestCheckpointInsideATail: a checkpoint that covers the numbers of a tail which nobody committed is of other events.
// That accuses nobody. It is no success either: the checkpoint was not compared. The report has what was reproduced.
func TestCheckpointInsideATail(t *testing.T) {
	s := clusterOf(t)
	s.submit(8)
	early := s.signed(6)
	s.Stop(0)
	at := crashed(t, s, 3)
	plain, err := Run(t.Context(), s.options(open(t, at), ""))
	must(t, err)
	end := plain.Events
	says(t, plain, fmt.Sprintf("that events %d to %d are in the ledger: no member", end-2, end))
	s.Restart(0)
	s.submit(12)
	within, beyond := s.signed(end-1), s.signed(end+5)
	s.Stop(0)
	dir := t.TempDir()
	for range 2 {
		r, err := Run(t.Context(), s.options(open(t, at), dir, early, within, beyond))
		if !errors.Is(err, ErrUnchecked) || errors.Is(err, ErrDiffers) {
			t.Fatalf("%+v, %v", r, err)
		}
		if r.Events != end-3 || len(r.Differences) != 0 || len(r.Checkpoints) != 1 || len(r.Unchecked) != 2 ||
			!strings.HasPrefix(r.Summary(), "not verified: ") {
			t.Errorf("%+v", r)
		}
		says(t, r, fmt.Sprintf("events %d to %d: no member is known to have committed them", end-2, end))
	}
	put(t, at, s.Dir(0))
	if r, err := Run(t.Context(), s.options(open(t, at), dir, early, within, beyond)); err != nil || r.Events < end+5 {
		t.Errorf("after the node came back: %+v, %v", r, err)
	}
}

// TestTailHidesNoDifference: events that the node knew to be committed are compared with every checkpoint of them, also
// when a tail is left out.
func TestTailHidesNoDifference(t *testing.T) {
	s := clusterOf(t)
	s.submit(8)
	s.Stop(0)
	at := crashed(t, s, 3)
	plain, err := Run(t.Context(), s.options(open(t, at), ""))
	must(t, err)
	wrong, within := s.forged(5), s.forged(plain.Events-1)
	r, err := Run(t.Context(), s.options(open(t, at), "", within, wrong))
	if !errors.Is(err, ErrDiffers) || len(r.Differences) != 1 || r.Differences[0].To != 5 {
		t.Errorf("%+v, %v", r, err)
	}
	whole, err := Run(t.Context(), s.options(open(t, at), "", s.rooted(plain.Events, plain.Log)))
	if err != nil || whole.Events != plain.Events {
		t.Errorf("a checkpoint that has the root of the tail: %+v, %v", whole, err)
	}
}

// rooted is a checkpoint that the ledger signs of any root.
func (s *scene) rooted(size uint64, root string) Note {
	s.t.Helper()
	text, err := evidence.SignCheckpoint(evidence.Checkpoint{Origin: evidence.OriginOf("nodetest"), Size: size,
		Root: [32]byte(claimOf("", size, root, "", "", 0).log)}, s.secret)
	must(s.t, err)
	return Note{From: fmt.Sprint("kept-", size), Text: text}
}

// forged is a checkpoint of events that no log has.
func (s *scene) forged(size uint64) Note { return s.rooted(size, strings.Repeat("ab", 32)) }
