package auditor

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/export"
	"github.com/recount-ledger/recount/wire"
)

// TestAudit audits a ledger with two recounts, from a running cluster, an export, a backup and a stopped node.
func TestAudit(t *testing.T) {
	s := newScene(t)
	early := s.signed(20)
	dir := t.TempDir()
	r, err := Run(t.Context(), s.options(s.remote(), dir, early))
	must(t, err)
	d, err := s.Client.Digest(t.Context(), r.Events)
	must(t, err)
	if r.State != d.State || r.Log != d.Log || r.Control != d.Control || r.Generation != 3 ||
		r.ClusterID != "nodetest" {
		t.Errorf("%+v, the cluster has %+v", r, d)
	}
	if !slices.Equal(r.Generations, []uint32{1, 2, 3}) || r.Activations != 2 || r.Submissions != 50 {
		t.Errorf("%+v", r)
	}
	if len(r.Checkpoints) != 2 || r.Checkpoints[1].Size < 20 || len(r.NotChecked) < 1 {
		t.Errorf("checkpoints %+v, not checked %q", r.Checkpoints, r.NotChecked)
	}
	if want := "3 generations, all answers reproduced"; !strings.HasSuffix(r.Summary(), want) {
		t.Errorf("%q", r.Summary())
	}
	t.Run("it goes on", func(t *testing.T) { goesOn(t, s, dir, r) })
	t.Run("no checkpoint", func(t *testing.T) { noCheckpoint(t, s) })
	t.Run("lies", func(t *testing.T) { lies(t, s) })
	t.Run("never active", func(t *testing.T) { neverActive(t, s) })
	t.Run("hidden signatures", func(t *testing.T) { hiddenSignatures(t, s) })
	t.Run("interrupted", func(t *testing.T) { interrupted(t, s) })
	t.Run("an export", func(t *testing.T) { ofExport(t, s) })
	t.Run("a stopped node", func(t *testing.T) { ofStopped(t, s) })
}

// noCheckpoint: a key without anything that it signed verifies nothing, whatever the source is.
func noCheckpoint(t *testing.T, s *scene) {
	for _, from := range []Source{shown{events: s.events()}, open(t, exported(t, s))} {
		o := s.options(from, t.TempDir())
		o.Keys = []evidence.PublicKey{s.secret.Public()}
		if r, err := Run(t.Context(), o); !errors.Is(err, ErrNoCheckpoint) {
			t.Errorf("%s: %+v, %v", from.Name(), r, err)
		}
	}
}

// goesOn audits again with the work of an earlier run. Only new events are read, so one that was changed since is
// found by a checkpoint.
func goesOn(t *testing.T, s *scene, dir string, before *Report) {
	s.submit(5)
	r, err := Run(t.Context(), s.options(s.remote(), dir))
	must(t, err)
	if r.Events < before.Events+5 || r.Digests < before.Digests {
		t.Errorf("%+v after %+v", r, before)
	}
	copied := t.TempDir()
	changed := shown{events: s.events()}.with(func(l *shown) { forge(t, &l.events[9], l.events[9].Payload) })
	if _, err := Run(t.Context(), s.options(changed, copied)); err != nil {
		t.Fatal(err) // nothing is kept to compare with but digests before the change
	}
	r, err = Run(t.Context(), s.options(s.remote(), copied))
	if !errors.Is(err, ErrDiffers) || len(r.Differences) == 0 || r.Differences[0].From > 10 ||
		r.Differences[0].To < 10 {
		t.Errorf("%+v, %v", r, err)
	}
}

// forge gives an event another payload with a leaf that fits. Its last byte changes.
func forge(t *testing.T, e *export.Event, payload []byte) {
	t.Helper()
	e.Payload = slices.Clone(payload)
	e.Payload[3] ^= 1 // of the salt, so that the event stays one
	seal(e)
}

// seal makes the leaf of an event again.
func seal(e *export.Event) {
	leaf := event.Leaf{Format: event.LeafFormat, Seq: e.Seq, RawTime: e.Leaf.RawTimeNS, Kind: event.Kind(e.Leaf.Kind)}
	leaf.PayloadSHA256 = sum(e.Payload)
	h := leaf.Hash()
	e.Leaf = wire.Leaf{Format: event.LeafFormat, Seq: e.Seq, RawTimeNS: leaf.RawTime, Kind: e.Leaf.Kind,
		PayloadSHA256: hex.EncodeToString(leaf.PayloadSHA256[:])}
	e.LeafHash = hex.EncodeToString(h[:])
}

// message is an event with another message of its kind.
func message(t *testing.T, e *export.Event, change func(proto.Message)) {
	t.Helper()
	_, m, err := event.Event{Kind: event.Kind(e.Leaf.Kind), Payload: e.Payload}.Message()
	must(t, err)
	change(m)
	e.Payload, err = event.NewPayload([event.SaltSize]byte(e.Payload), m)
	must(t, err)
	seal(e)
}

// find returns the last event of a kind.
func find(t *testing.T, events []export.Event, kind event.Kind) *export.Event {
	t.Helper()
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Kind == kind.String() {
			return &events[i]
		}
	}
	t.Fatalf("the ledger has no %s", kind)
	return nil
}

// lies audits what a hostile operator shows. Every lie is found, at the first event where it shows.
func lies(t *testing.T, s *scene) {
	honest := shown{events: s.events()}
	n := uint64(len(honest.events))
	d, err := s.Client.Digest(t.Context(), n)
	must(t, err)
	honest.says = []claim{claimOf("the cluster", n, d.Log, d.State, d.Control, d.Generation)}
	notes := []Note{s.signed(20), s.signed(n)}
	if r, err := Run(t.Context(), s.options(honest, t.TempDir(), notes...)); err != nil {
		t.Fatalf("the honest ledger: %+v, %v", r, err)
	}
	r, err := Run(t.Context(), s.options(honest, t.TempDir(), notes[0]))
	if err != nil || !slices.ContainsFunc(r.NotChecked, func(line string) bool {
		return strings.HasPrefix(line, fmt.Sprint("events 21 to ", n, ": no checkpoint"))
	}) {
		t.Errorf("behind the checkpoint: %+v, %v", r, err)
	}
	activated := find(t, honest.events, event.GenerationActivated).Seq
	recorded := find(t, honest.events, event.HistoryRecorded).Seq
	digest := find(t, honest.events, event.StateDigest).Seq
	for name, c := range map[string]struct {
		change func(*shown)
		at, to uint64 // the event that was changed, and the last one of the difference
		words  string
	}{
		"payload": {func(l *shown) { l.events[9].Payload = append(slices.Clone(l.events[9].Payload), 0) }, 10, 10,
			"hash"},
		"leaf too": {func(l *shown) { forge(t, &l.events[9], l.events[9].Payload) }, 10, 20,
			"the checkpoint of kept-20"},
		"missing": {func(l *shown) { l.events = append(l.events[:6:6], l.events[7:]...) }, 7, 7,
			"event 8 stands in its place"},
		"swapped": {func(l *shown) { l.events[6], l.events[7] = l.events[7], l.events[6] }, 7, 7,
			"event 8 stands in its place"},
		"truncated": {func(l *shown) { l.events = l.events[:n-1] }, n, n, "and there are"},
		"no event":  {func(l *shown) { l.events[9].Payload = nil; seal(&l.events[9]) }, 10, 10, "no event"},
		"activation": {func(l *shown) {
			message(t, &l.events[activated-1], func(m proto.Message) { m.(*event.GenerationActivatedV1).Diff[0] ^= 1 })
			l.says = nil
		}, activated, activated, "differences"},
		"record": {func(l *shown) {
			message(t, &l.events[recorded-1], func(m proto.Message) { m.(*event.HistoryRecordedV1).Flips++ })
			l.says = nil
		}, recorded, recorded, "changes"},
		"outcomes": {func(l *shown) {
			message(t, &l.events[digest-1], func(m proto.Message) { m.(*event.StateDigestV1).State[0] ^= 1 })
			l.says = nil
		}, 0, 0, "the outcomes in generation"},
		"control": {func(l *shown) { l.says[0].control = make([]byte, 32) }, 0, 0, "the control state"},
		"answers": {func(l *shown) {
			l.says = []claim{{by: "it", at: n, state: make([]byte, 32), generation: 3}}
		}, 0, 0, "the outcomes in generation 3"},
	} {
		t.Run(name, func(t *testing.T) {
			kept := notes
			if name == "activation" || name == "record" || name == "outcomes" {
				kept = notes[:1] // the lie was told from the start
			}
			r, err := Run(t.Context(), s.options(honest.with(c.change), t.TempDir(), kept...))
			if !errors.Is(err, ErrDiffers) {
				t.Fatalf("%+v, %v", r, err)
			}
			first := r.Differences[0]
			if c.to != 0 && (first.From > c.at || first.To != c.to) || !strings.Contains(first.What, c.words) {
				t.Errorf("%+v, want event %d to %d and %q", r.Differences, c.at, c.to, c.words)
			}
		})
	}
}

// neverActive: what is said of a generation that never answered is compared too, and named if nothing is said of it.
func neverActive(t *testing.T, s *scene) {
	p, err := s.Client.PublishPolicy(t.Context(), wire.PolicyRequest{Document: "kernel: 1\nparams: {tol_d: \"50\"}\n"})
	must(t, err)
	_, err = s.Client.StartGeneration(t.Context(), wire.GenerationRequest{Policy: p.ID})
	must(t, err)
	honest := shown{events: s.events()}
	n := uint64(len(honest.events))
	dir := t.TempDir()
	r, err := Run(t.Context(), s.options(honest, dir))
	if err != nil || !slices.ContainsFunc(r.NotChecked, func(line string) bool {
		return strings.HasPrefix(line, "outcomes of generation") && strings.Contains(line, "4: no digest")
	}) {
		t.Errorf("nothing is said: %+v, %v", r, err)
	}
	says := func(c claim) (*Report, error) {
		return Run(t.Context(), s.options(honest.with(func(l *shown) { l.says = []claim{c} }), dir))
	}
	r, err = says(claim{by: "it", at: n, state: make([]byte, 32), generation: 4})
	if !errors.Is(err, ErrDiffers) {
		t.Fatalf("a wrong digest: %+v, %v", r, err)
	}
	has := regexp.MustCompile("the fold has ([0-9a-f]{64})").FindStringSubmatch(r.Differences[0].What)
	if has == nil {
		t.Fatalf("%+v", r.Differences)
	}
	if r, err := says(claimOf("it", n, r.Log, has[1], r.Control, 4)); err != nil {
		t.Errorf("the right digest: %+v, %v", r, err)
	}
	r, err = says(claim{by: "it", at: n, log: claimOf("", n, r.Log, "", "", 0).log, state: make([]byte, 32), generation: 9})
	if err != nil || !strings.Contains(strings.Join(r.NotChecked, "\n"), "starts this generation") {
		t.Errorf("a generation that is started later: %+v, %v", r, err)
	}
	at := find(t, honest.events, event.StateDigest).Seq
	r, err = Run(t.Context(), s.options(honest.with(func(l *shown) {
		message(t, &l.events[at-1], func(m proto.Message) { m.(*event.StateDigestV1).Generation = 9 })
	}), ""))
	if !errors.Is(err, ErrDiffers) || !strings.Contains(r.Differences[0].What, "no event starts") {
		t.Errorf("a generation that is none: %+v, %v", r, err)
	}
}

// interrupted ends an audit in the middle of the events, at several of them, and goes on.
func interrupted(t *testing.T, s *scene) {
	honest := shown{events: s.events()}
	n := uint64(len(honest.events))
	dir := t.TempDir()
	for _, at := range []int{1, 7, 20, 41} {
		part := honest.with(func(l *shown) { l.events[at].LeafHash = "" })
		if _, err := Run(t.Context(), s.options(part, dir)); !errors.Is(err, ErrDiffers) {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	o := s.options(honest, dir)
	o.Tell = func(stage string, _, _ uint64) {
		if stage == "generation 2" {
			cancel()
		}
	}
	if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), s.options(honest, dir, s.signed(n)))
	if err != nil || r.Events != n {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := Run(t.Context(), s.options(stoppedLog{dir: "elsewhere"}, dir)); !errors.Is(err, ErrOther) {
		t.Error(err)
	}
}
