package auditor

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/witness"
)

// TestResume: a run that goes on with the work of an earlier one finds out when the source is not the one of before.
func TestResume(t *testing.T) {
	s := newScene(t)
	t.Run("list", func(t *testing.T) { otherList(t, s) })
	t.Run("directory", func(t *testing.T) { otherFiles(t, s) })
	t.Run("rolled back", func(t *testing.T) { rolledBack(t, s) })
}

// differsAt wants a difference that begins with an event.
func differsAt(t *testing.T, r *Report, err error, from, to uint64, words string) {
	t.Helper()
	if !errors.Is(err, ErrDiffers) {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, d := range r.Differences {
		if d.From == from && d.To == to && strings.Contains(d.What, words) {
			return
		}
	}
	t.Errorf("no difference in events %d to %d with %q: %v", from, to, words, r.Differences)
}

// otherList: a source that has another old event, or fewer, is not taken for the one of the earlier run.
func otherList(t *testing.T, s *scene) {
	honest := shown{events: s.events()}
	n := uint64(len(honest.events))
	dir := t.TempDir()
	first, err := Run(t.Context(), s.options(honest, dir))
	must(t, err)
	for name, c := range map[string]struct {
		change   func(*shown)
		from, to uint64
		words    string
	}{
		"tampered": {func(l *shown) { forge(t, &l.events[9], l.events[9].Payload) }, 10, 10, "another event"},
		"broken":   {func(l *shown) { l.events[9].LeafHash = "" }, 10, 10, "hash"},
		"shorter":  {func(l *shown) { l.events = l.events[:n-5] }, n - 4, n, "missing"},
		"left out": {func(l *shown) { l.events = append(l.events[:6:6], l.events[7:]...) }, 7, 7, "event 8 stands"},
	} {
		r, err := Run(t.Context(), s.options(honest.with(c.change), dir))
		t.Log(name)
		differsAt(t, r, err, c.from, c.to, c.words)
	}
	again, err := Run(t.Context(), s.options(honest, dir))
	if err != nil || again.State != first.State || again.Events != first.Events {
		t.Errorf("the same ledger again: %+v, %v", again, err)
	}
}

// otherFiles: events that were changed in the directory are not taken for those that were folded.
func otherFiles(t *testing.T, s *scene) {
	honest := shown{events: s.events()}
	dir, other := t.TempDir(), t.TempDir()
	_, err := Run(t.Context(), s.options(honest, dir))
	must(t, err)
	forged := honest.with(func(l *shown) { forge(t, &l.events[9], l.events[9].Payload) })
	_, err = Run(t.Context(), s.options(forged, other))
	must(t, err)
	mine := filepath.Join(dir, eventsDir)
	must(t, os.RemoveAll(mine))
	must(t, os.CopyFS(mine, os.DirFS(filepath.Join(other, eventsDir))))
	if r, err := Run(t.Context(), s.options(honest, dir)); !errors.Is(err, ErrChanged) {
		t.Errorf("other events: %+v, %v", r, err)
	}
	damage(t, mine, "nodetest")
	if r, err := Run(t.Context(), s.options(honest, dir)); !errors.Is(err, ErrChanged) {
		t.Errorf("a flipped bit: %+v, %v", r, err)
	}
}

// rolledBack puts an older copy of a node's directory in the place of the newer one, and lets it go on from there.
func rolledBack(t *testing.T, s *scene) {
	dir, stopped := t.TempDir(), t.TempDir()
	saved := filepath.Join(t.TempDir(), "saved")
	s.Stop(0)
	must(t, os.CopyFS(saved, os.DirFS(s.Dir(0))))
	before, err := Run(t.Context(), s.options(open(t, s.Dir(0)), stopped))
	must(t, err)
	s.Restart(0)
	s.submit(9)
	kept := s.signed(before.Events + 7)
	first, err := Run(t.Context(), s.options(s.remote(), dir, kept))
	must(t, err)
	s.Stop(0)
	grown, err := Run(t.Context(), s.options(open(t, s.Dir(0)), stopped, kept))
	if err != nil || grown.Events < first.Events {
		t.Fatalf("the stopped node has grown: %+v, %v", grown, err)
	}
	must(t, os.RemoveAll(s.Dir(0)))
	must(t, os.CopyFS(s.Dir(0), os.DirFS(saved)))
	r, err := Run(t.Context(), s.options(open(t, s.Dir(0)), stopped, kept))
	if !errors.Is(err, ErrDiffers) {
		t.Errorf("an older log of a stopped node: %+v, %v", r, err)
	}
	s.Restart(0)
	r, err = Run(t.Context(), s.options(s.remote(), dir))
	if !errors.Is(err, ErrDiffers) || len(r.Contradictions) == 0 {
		t.Fatalf("behind the earlier run: %+v, %v", r, err)
	}
	if !slices.ContainsFunc(r.Differences, func(d Difference) bool {
		// after its new term begins, the old log is another history
		return strings.Contains(d.What, "rolled back: ") || strings.Contains(d.What, "a fork: ")
	}) {
		t.Errorf("%v", r.Differences)
	}
	s.submit(30)
	s.shows(before.Events + 30)
	r, err = Run(t.Context(), s.options(s.remote(), dir))
	if !errors.Is(err, ErrDiffers) || len(r.Contradictions) == 0 {
		t.Fatalf("another history: %+v, %v", r, err)
	}
	t.Log(r.Differences)
	list, err := witness.List(dir)
	if err != nil || len(list) != 1 || list[0].Forks+list[0].Unproven < 2 || list[0].Size < newest(first) {
		t.Errorf("%+v, %v", list, err)
	}
	for _, f := range list[0].Files {
		fork, err := witness.ReadFork(f.Path)
		must(t, err)
		if f.Proven {
			must(t, fork.Check(s.secret.Public()))
		}
	}
}

// newest is the size of the newest checkpoint of a report.
func newest(r *Report) (size uint64) {
	for _, c := range r.Checkpoints {
		size = max(size, c.Size)
	}
	return size
}

// TestKilledAtFirst: a run that was killed while it wrote the first file can go on.
func TestKilledAtFirst(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, markFile+".new"), []byte(`{"for`), 0o600))
	if _, err := newWork(dir, shown{}, quiet); err != nil {
		t.Error(err)
	}
}
