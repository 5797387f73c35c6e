package notary

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// folds holds the outcomes of two generations for the record of event 7, which depends on event 3.
type folds struct {
	answered []uint32
	active   uint32
	stands   map[uint32]bool // in which generation the record stands
	missing  map[uint32]bool // generations that have not folded so far
	needed   []uint64
}

func (f *folds) Answered() []uint32 { return f.answered }

func (f *folds) Judged(generation uint32, _ string, seq uint64) (s projections.Stated, causes []projections.Stated, err error) {
	if f.missing[generation] || seq == 0 && !f.stands[generation] || seq != 0 && seq != 7 {
		return s, nil, projections.ErrNotFound
	}
	state := func(seq uint64) projections.Stated {
		return projections.Stated{Result: projections.Result{Seq: seq}, Core: []byte{byte(generation)}}
	}
	return state(7), []projections.Stated{state(3)}, nil
}

func (f *folds) Needed(projections.Judged, uint64) []uint64 { return f.needed }

func (f *folds) Stated(pcsID string, seq uint64) (projections.Stated, uint32, error) {
	s, _, err := f.Judged(f.active, pcsID, seq)
	return s, f.active, err
}

// withPayloads is a tree whose events are submissions that can be read.
type withPayloads struct{ *tree }

func (w withPayloads) Items() func(uint64) (projections.Item, error) {
	return func(seq uint64) (projections.Item, error) {
		it := *w.item(seq)
		it.Event = event.Event{Kind: event.Submission, Payload: event.Sub{Node: "n1"}.Payload()}
		return it, nil
	}
}

func newBundles(t *testing.T) (*bench, *folds) {
	b := newBench(t, 20)
	f := &folds{answered: []uint32{2, 1}, active: 2, stands: map[uint32]bool{1: true}, missing: map[uint32]bool{},
		needed: []uint64{9, 1, 3}}
	b.Outcomes, b.Folds, b.Tree = f, f, withPayloads{b.tree}
	b.Head = func() (uint32, uint64) { return 2, b.head }
	must(t, b.sign(t.Context()))
	return b, f
}

// TestBundleParts: a bundle has the events and statements of both generations, in order and once each, and a majority was
// asked about the one that is not active.
func TestBundleParts(t *testing.T) {
	b, f := newBundles(t)
	read := func() (seqs []uint64, statements []string) {
		t.Helper()
		asked := b.asked
		text, err := b.Bundle(t.Context(), "id", 0) // stands in the generation before only
		must(t, err)
		got, err := evidence.ParseBundle(text)
		must(t, err)
		if got.Receipt.Generation != 2 || got.Receipt.Leaf.Seq != 7 || b.asked != asked+len(f.answered)-len(f.missing)-1 {
			t.Errorf("%+v, %d questions", got.Receipt.Statement, b.asked-asked)
		}
		for _, e := range got.Events {
			seqs = append(seqs, e.Leaf.Seq)
		}
		for _, s := range got.Statements {
			lines := strings.Split(string(s), "\n")
			statements = append(statements, lines[2]+" "+lines[5])
		}
		return seqs, statements
	}
	seqs, statements := read()
	want := []string{"generation 1 row AQ==", "generation 2 row Ag==", "generation 1 row AQ=="}
	if !slices.Equal(seqs, []uint64{1, 3, 7, 9}) || !slices.Equal(statements, want) {
		t.Errorf("events %v, statements %q", seqs, statements)
	}
	f.stands[2], f.missing[1] = true, true
	if seqs, statements = read(); !slices.Equal(seqs, []uint64{1, 3, 7, 9}) || !slices.Equal(statements, want[1:2]) {
		t.Errorf("without the generation before: events %v, statements %q", seqs, statements)
	}
}

// TestNoBundle: when a node gives no bundle, and in which words.
func TestNoBundle(t *testing.T) {
	code := func(want wire.Code, change func(b *bench, f *folds)) {
		t.Helper()
		b, f := newBundles(t)
		change(b, f)
		_, err := b.Bundle(t.Context(), "id", 7)
		var p *wire.Problem
		if !errors.As(err, &p) || p.Code != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	code(wire.CodeNotFound, func(b *bench, _ *folds) { b.KeyFile = "" })
	code(wire.CodeOverloaded, func(b *bench, _ *folds) {
		for range bundlesAtOnce {
			b.bundles <- struct{}{}
		}
	})
	code(wire.CodeNotReady, func(b *bench, _ *folds) { b.disagree = errors.New("no majority") })
	code(wire.CodeNotReady, func(_ *bench, f *folds) { f.answered = []uint32{3, 1} })
	b, f := newBundles(t)
	f.stands = nil
	if _, err := b.Bundle(t.Context(), "id", 0); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("a record that stands nowhere: %v", err)
	}
	if _, err := b.Bundle(t.Context(), "id", 8); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("an event of another record: %v", err)
	}
	if len(b.bundles) != 0 {
		t.Errorf("%d places are not given back", len(b.bundles))
	}
}
