package auditor

import (
	"errors"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/evidence"
)

// TestCheckpointOfAnotherKey: an auditor may not have the newest key of a ledger. A checkpoint that it signed accuses
// nobody and verifies nothing. It hides no difference from the checkpoints that the auditor kept.
func TestCheckpointOfAnotherKey(t *testing.T) {
	s := clusterOf(t)
	s.submit(6)
	honest := shown{events: s.events()}
	n := uint64(len(honest.events))
	kept, newest := s.signed(4), s.signed(n)
	_, next, err := evidence.NewSecretKey(evidence.OriginOf("nodetest"))
	must(t, err)
	c, _, err := evidence.OpenCheckpoint(newest.Text, s.secret.Public())
	must(t, err)
	honest.note, err = evidence.SignCheckpoint(c, next)
	must(t, err)
	r, err := Run(t.Context(), s.options(honest, "", kept))
	if !errors.Is(err, ErrUnchecked) || errors.Is(err, ErrDiffers) || len(r.Unchecked) != 1 || len(r.Differences) != 0 ||
		r.Events != n || !strings.Contains(r.Summary(), "give that public key too") {
		t.Errorf("with a kept checkpoint: %+v, %v", r, err)
	}
	if r, err := Run(t.Context(), s.options(honest, "")); !errors.Is(err, ErrNoCheckpoint) ||
		!strings.Contains(err.Error(), "no key that you trust signed") {
		t.Errorf("with nothing else: %+v, %v", r, err)
	}
	changed := honest.with(func(l *shown) { forge(t, &l.events[2], l.events[2].Payload) })
	r, err = Run(t.Context(), s.options(changed, "", kept))
	differsTo(t, r, err, 4)
	o := s.options(honest, "", kept)
	o.Keys = append(o.Keys, next.Public())
	if r, err := Run(t.Context(), o); err != nil || len(r.Checkpoints) != 2 {
		t.Errorf("with both keys: %+v, %v", r, err)
	}
	// the signature of another text under the name and the hash of the trusted key
	text, _, _ := strings.Cut(string(newest.Text), "\n\n")
	_, signature, _ := strings.Cut(string(kept.Text), "\n\n")
	honest.note = []byte(text + "\n\n" + signature)
	if r, err := Run(t.Context(), s.options(honest, "", kept)); !errors.Is(err, ErrDiffers) {
		t.Errorf("a wrong signature of the trusted key: %+v, %v", r, err)
	}
}

// differsTo wants a difference that ends with an event.
func differsTo(t *testing.T, r *Report, err error, to uint64) {
	t.Helper()
	if !errors.Is(err, ErrDiffers) || r.Differences[0].To != to {
		t.Errorf("%+v, %v", r, err)
	}
}
