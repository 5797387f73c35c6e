package fsm

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/projections"
)

// TestReadersSeeTheOpenStep: who has waited for an event finds it and its digests in everything that is read
// afterwards, while the folds go on and keep their steps open.
func TestReadersSeeTheOpenStep(t *testing.T) {
	logs := history(t, 3)
	n := uint64(len(logs))
	m := newMachine(t, vfs.NewMem(), 2_000)
	defer m.close()
	m.keepOpen(never)
	m.store(logs)
	ref := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
	defer ref.close()
	ref.store(logs)
	ref.foldTo(n)
	end := ref.gen.Cursor().Seq
	var wg sync.WaitGroup
	for reader := range uint64(4) {
		wg.Go(func() {
			for seq := 1 + reader; seq <= end; seq += 4 {
				if err := errors.Join(m.gen.WaitSeq(t.Context(), seq), sees(m, ref, seq)); err != nil {
					t.Errorf("event %d: %v", seq, err)
					return
				}
			}
		})
	}
	m.run(n)
	wg.Wait()
}

// sees compares what is read of an event with what another machine has, which has folded everything.
func sees(m, ref *machine, seq uint64) error {
	v := m.gen.View()
	defer v.Close()
	p, err := projections.ReadPosition(v)
	if err != nil || p.Seq < seq {
		return fmt.Errorf("the view ends at event %d, %w", p.Seq, err)
	}
	if _, err := projections.DigestAt(v, p.Seq); err != nil {
		return err
	}
	got, err := m.derived.DigestsAt(m.gen, seq)
	want, err2 := ref.derived.DigestsAt(ref.gen, seq)
	if err = errors.Join(err, err2); err != nil || got != want {
		return fmt.Errorf("digests %x, want %x, %w", got, want, err)
	}
	it, err := m.derived.Item(seq)
	leaf, err2 := m.derived.Leaf(seq)
	if err = errors.Join(err, err2); err != nil || leaf != it.Leaf().Hash() {
		return fmt.Errorf("leaf %x, %w", leaf, err)
	}
	return nil
}

// TestReadersAmongEvents: who reads while a large batch is folded gets the state before it, with a position that its rows
// explain.
func TestReadersAmongEvents(t *testing.T) {
	logs := history(t, 40)
	n := uint64(len(logs))
	m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
	defer m.close()
	m.keepOpen(never)
	m.store(logs)
	var wg sync.WaitGroup
	done, reads := make(chan struct{}), 0
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			v := m.gen.View()
			p, err := projections.ReadPosition(v)
			digest, err2 := projections.DigestAt(v, p.Seq)
			if err = errors.Join(err, err2, v.Close()); err != nil || p.Seq > 0 && digest != p.Digest {
				t.Errorf("position %+v, digest %x, %v", p, digest, err)
				return
			}
			root, err := m.derived.Root(m.derived.Cursor().Seq)
			if err != nil {
				t.Errorf("root %x, %v", root, err)
			}
			reads++
		}
	})
	m.run(n)
	close(done)
	if wg.Wait(); reads < 5 {
		t.Errorf("%d reads", reads)
	}
}
