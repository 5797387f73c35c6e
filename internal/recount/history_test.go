package recount

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/fsm"
)

// recorded is a node, stopped, that has recorded what an activation changed, with the flips.
func recorded(t *testing.T) (r *testNode, activated uint64, ids []string) {
	t.Helper()
	r = newTestNode(t, 120)
	r.generation(tight())
	activated = r.activate(2, 1)
	r.start()
	r.settled()
	for _, f := range r.flips(2) {
		ids = append(ids, f.New.PCSID)
	}
	if len(ids) < 3 {
		t.Fatalf("%d flips", len(ids))
	}
	return r, activated, ids
}

// TestRecordedFlips: what an activation changed is found by pcs_id and by prefix, also after a restart.
func TestRecordedFlips(t *testing.T) {
	r, activated, ids := recorded(t)
	sorted := slices.Compact(slices.Sorted(slices.Values(ids)))
	for _, when := range []string{"at once", "after a restart"} {
		found, err := r.m.Recorded(ids[0], ^uint64(0), 10)
		if err != nil || len(found) == 0 || found[0].Activation != activated || found[0].Flip.New.PCSID != ids[0] {
			t.Errorf("%s: recorded of %s: %+v %v", when, ids[0], found, err)
		}
		if got, err := r.m.Complete("", 100); err != nil || !slices.Equal(got, sorted) {
			t.Errorf("%s: %d ids, %v, want %d", when, len(got), err, len(sorted))
		}
		if got, err := r.m.Complete(sorted[1][:40], 5); err != nil || !slices.Equal(got, sorted[1:2]) {
			t.Errorf("%s: %v %v", when, got, err)
		}
		if got, err := r.m.Complete("", 2); err != nil || !slices.Equal(got, sorted[:2]) {
			t.Errorf("%s: %v %v", when, got, err)
		}
		if got, err := r.m.Recorded("nothing", ^uint64(0), 5); err != nil || len(got) > 0 {
			t.Errorf("%s: of no id: %v %v", when, got, err)
		}
		v := r.m.History()
		for _, rec := range found {
			if f, ok, err := v.Flip(activated, rec.Flip.Seq); err != nil || !ok || f.Digest != rec.Flip.Digest {
				t.Errorf("%s: flip of event %d: %v %v", when, rec.Flip.Seq, ok, err)
			}
		}
		if _, ok, err := v.Flip(activated, 1); ok || err != nil {
			t.Errorf("%s: genesis is flipped, %v", when, err)
		}
		v.Close()
		r.stop()
		r.start()
		r.settled()
	}
	if _, ok, err := r.m.Change(activated + 1); ok || err != nil {
		t.Errorf("an event that is no activation: %v %v", ok, err)
	}
}

// TestLostHistory: a history that cannot be read quarantines the node, whatever reads it first. The activation
// counts as recorded then, so that no generation waits for it. Other nodes get an error.
func TestLostHistory(t *testing.T) {
	r, activated, ids := recorded(t)
	r.stop()
	r.truncate("n/history", "MANIFEST")
	for what, read := range map[string]func() error{
		"Open":   func() error { return fsm.ErrDamaged },
		"Change": func() error { _, ok, err := r.m.Change(activated); return errors.Join(err, missing(ok)) },
		"ReadChange": func() error {
			_, _, err := r.m.ReadChange(activated)
			return err
		},
		"Recorded": func() error { _, err := r.m.Recorded(ids[0], ^uint64(0), 1); return err },
		"Complete": func() error { _, err := r.m.Complete("", 1); return err },
		"EachRow":  func() error { return r.m.EachRow(func(string, []byte, []byte) {}) },
	} {
		r.must(r.open())
		r.host.note(func() {
			if what == "Open" && len(r.host.quarantined) == 0 {
				t.Error("a node opens, and nobody hears that its history is lost")
			}
			if what != "EachRow" && what != "Open" { // this one alone reads without telling
				r.host.quarantined = nil
			}
		})
		err := read()
		if errors.Is(err, fsm.ErrDamaged) == (what == "Change") {
			t.Errorf("%s: %v", what, err)
		}
		if got := r.host.quarantined; len(got) != 1 || !strings.Contains(got[0], "history/") {
			t.Errorf("%s: quarantined %q", what, got)
		}
		if r.m.HistoryBytes() != 0 {
			t.Errorf("%d bytes of a history that is lost", r.m.HistoryBytes())
		}
		r.stop()
	}
}

func missing(ok bool) error {
	if !ok {
		return errors.New("not recorded")
	}
	return nil
}

// TestBadBlockInHistory: a block that cannot be read any more is found by the check of a summary, and is told.
func TestBadBlockInHistory(t *testing.T) {
	r, activated, _ := recorded(t)
	r.stop()
	r.must(r.open()) // writes what was in its write-ahead log into a table
	r.stop()
	r.damage("n/history")
	r.must(r.open())
	t.Cleanup(r.stop)
	if _, ok, err := r.m.Change(activated); !ok || err != nil {
		t.Errorf("it does not count as recorded: %v %v", ok, err)
	}
	r.until("the quarantine", func() bool { return get(r.host, func() int { return len(r.host.quarantined) }) > 0 })
	if _, _, err := r.m.ReadChange(activated); !errors.Is(err, fsm.ErrDamaged) {
		t.Errorf("another node gets %v", err)
	}
}

// TestLostHistoryRecordsNothing: an activation on a node whose history is lost is served. What it changed is recorded
// nowhere, and the loop that would record it waits for the end.
func TestLostHistoryRecordsNothing(t *testing.T) {
	r := newTestNode(t, 60)
	r.start()
	r.settled()
	r.stop()
	r.truncate("n/history", "MANIFEST")
	r.generation(tight())
	activated := r.activate(2, 1)
	r.start()
	r.must(r.m.WaitSeq(r.ctx, activated))
	if r.m.Serving().Number() != 2 {
		t.Errorf("generation %d serves", r.m.Serving().Number())
	}
	if got := r.m.neededByHistory(); len(got) != 0 {
		t.Errorf("generations %v wait for a history that is lost", got)
	}
	if get(r.host, func() int { return len(r.host.failed) }) > 0 {
		t.Error(r.host.bad())
	}
}
