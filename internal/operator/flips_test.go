package operator_test

import (
	"reflect"
	"testing"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// TestFlipsAfterActivation: what an activation changed is answered as before it, by the active generation and by one
// that is dropped, whole or page by page. The digest stays the one that was reviewed.
func TestFlipsAfterActivation(t *testing.T) {
	b := newReviewed(t)
	for i := range 4 {
		b.submit(nodetest.Record{Shard: "b", Epoch: int64(i + 1), Root: "r", Near: i%2 == 0})
	}
	before := b.review()
	list, err := b.Generations.Flips(t.Context(), api.FlipsQuery{Generation: 2, FromSeq: 1, Limit: 10})
	b.is("flips before", err, "")
	if before.ActivatedSeq != 0 || before.Flips != 3 || len(list.Items) != 3 {
		t.Fatalf("%+v, %+v", before, list)
	}
	activation, err := b.activate("go", nil, false)
	b.is("the activation", err, "")
	b.recorded(activation.Seq)
	check := func(when string) {
		t.Helper()
		after, err := b.Generations.Diff(t.Context(), 2, 0)
		b.is(when, err, "")
		want := *before
		want.ActivatedSeq, want.Position = activation.Seq, activation.Seq
		if !reflect.DeepEqual(after, &want) {
			t.Errorf("%s: %+v\nwant %+v", when, after, want)
		}
		var items []wire.Flip
		for from, position := uint64(1), uint64(0); from != 0; {
			page, err := b.Generations.Flips(t.Context(), api.FlipsQuery{Generation: 2, FromSeq: from, Position: position, Limit: 2})
			b.is(when, err, "")
			items = append(items, page.Items...)
			from, position = page.Next, page.Position
		}
		if !reflect.DeepEqual(items, list.Items) {
			t.Errorf("%s: %+v\nwant %+v", when, items, list.Items)
		}
		some, err := b.Generations.Diff(t.Context(), 2, list.Items[1].Seq)
		b.is(when, err, "")
		if some.Flips != 2 || some.Position != list.Items[1].Seq {
			t.Errorf("%s, up to the second flip: %+v", when, some)
		}
		_, err = b.Generations.Diff(t.Context(), 2, activation.Seq+1)
		b.is("behind the activation", err, wire.CodeStale)
	}
	check("the active generation")
	_, err = b.Generations.Diff(t.Context(), 9, 0)
	if err != api.ErrNotFound {
		t.Errorf("a generation that never was: %v", err)
	}
	_, err = b.Generations.Rollback(t.Context(), wire.RollbackRequest{Op: wire.Op{OpID: "back"}}, as("alice"))
	b.is("the rollback", err, "")
	_, err = b.Generations.DropGeneration(t.Context(), 2, wire.Op{OpID: "drop"}, as("alice"))
	b.is("the drop", err, "")
	check("a generation that is dropped")
}

// recorded waits until an activation has recorded what it changed.
func (b *reviewed) recorded(activation uint64) {
	b.Helper()
	for {
		_, changed := b.ledger.Gens.Get(0)
		if _, ok, err := b.ledger.Gens.Change(activation); ok || err != nil {
			b.is("the record of the activation", err, "")
			return
		}
		select {
		case <-changed:
		case <-b.Context().Done():
			b.Fatal("it is not recorded")
		}
	}
}
