package auditor

import (
	"fmt"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
)

// TestOldDigests: a digest says nothing of what comes behind it, and the report says up to where there was one.
func TestOldDigests(t *testing.T) {
	s := clusterOf(t)
	s.submit(12)
	all := s.events()
	last := find(t, all, event.Submission).Seq
	honest := shown{events: all[:last]}
	told := func(says ...claim) string {
		r, err := Run(t.Context(), s.options(honest.with(func(l *shown) { l.says = says }), ""))
		must(t, err)
		return strings.Join(r.NotChecked, "\n")
	}
	_, m, err := event.Event{Kind: event.StateDigest, Payload: find(t, honest.events, event.StateDigest).Payload}.Message()
	must(t, err)
	logged := m.(*event.StateDigestV1).Seq
	if text := told(); !strings.Contains(text, fmt.Sprintf("the control state behind event %d: ", logged)) ||
		!strings.Contains(text, fmt.Sprintf("outcomes of generation 1 behind event %d: ", logged)) {
		t.Errorf("only a digest in the log of event %d: %s", logged, text)
	}
	for _, at := range []uint64{last - 4, last} {
		d, err := s.Client.Digest(t.Context(), at)
		must(t, err)
		text := told(claimOf("it", d.Seq, d.Log, d.State, d.Control, d.Generation))
		line := fmt.Sprintf("outcomes of generation 1 behind event %d: ", max(at, logged))
		if strings.Contains(text, line) != (at < last) || strings.Contains(text, "control state") {
			t.Errorf("a digest at event %d of %d: %s", at, last, text)
		}
	}
}
