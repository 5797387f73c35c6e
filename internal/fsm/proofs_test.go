package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/log"
)

// TestProofs: every event is proven in the trees after it, every tree in the later ones, and the tiles hold the leaves.
func TestProofs(t *testing.T) {
	m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
	defer m.close()
	logs := history(t, 100)
	m.store(logs)
	m.foldTo(uint64(len(logs)))
	d, last := m.derived, m.derived.Cursor().Seq
	sizes := []uint64{1, 2, 255, 256, 257, last - 1, last}
	for _, size := range sizes {
		root, err := d.Root(size)
		m.must(err)
		for _, seq := range append(sizes, 100) {
			if seq > size {
				_, err := d.Inclusion(seq, size)
				if !errors.Is(err, log.ErrProof) {
					t.Errorf("event %d of %d: %v", seq, size, err)
				}
				continue
			}
			it, err := d.Item(seq)
			m.must(err)
			p, err := d.Inclusion(seq, size)
			m.must(err)
			m.must(evidence.CheckInclusion(seq-1, size, it.Leaf().Hash(), root, p))
			old, err := d.Root(seq)
			m.must(err)
			p, err = d.Consistency(seq, size)
			m.must(err)
			m.must(evidence.CheckConsistency(seq, size, old, root, p))
		}
	}
	for _, err := range []error{
		failed(d.Inclusion(0, last)), failed(d.Inclusion(1, last+1)), failed(d.Consistency(1, last+1)),
		failed(d.Tile(log.Tile{N: last / 256}, int(last%256)+1)), failed(d.Tile(log.Tile{Level: 9}, 1)),
	} {
		if !errors.Is(err, ErrNoEvent) {
			t.Errorf("outside: %v", err)
		}
	}
	tile, err := d.Tile(log.Tile{N: 1}, 3)
	m.must(err)
	var want []byte
	for seq := uint64(257); seq < 260; seq++ {
		leaf, err := d.Leaf(seq)
		m.must(err)
		want = append(want, leaf[:]...)
	}
	if !bytes.Equal(tile, want) {
		t.Errorf("tile %x, want %x", tile, want)
	}
}

func failed[T any](_ T, err error) error { return err }

// BenchmarkProofs reads proofs out of a tree of 10,000,000 events on disk, from random places, and reports the slowest
// one in a hundred.
func BenchmarkProofs(b *testing.B) {
	const size = 10_000_000
	store, err := OpenStore(nil, b.TempDir(), quiet, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	d := &Derived{store: store, pos: newProgress(Cursor{Seq: size})}
	var e log.TileEdge
	set := func(t log.Tile, data []byte) {
		if err := store.db.Set(tileKey(t), data, pebble.NoSync); err != nil {
			b.Fatal(err)
		}
	}
	for n := range uint64(size) {
		if err := e.Append([32]byte(binary.BigEndian.AppendUint64(make([]byte, 24), n*n)), set); err != nil {
			b.Fatal(err)
		}
	}
	e.Flush(set)
	if err := store.db.Flush(); err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for name, prove := range map[string]func(uint64) error{
		"inclusion":   func(n uint64) error { return failed(d.Inclusion(n, size)) },
		"consistency": func(n uint64) error { return failed(d.Consistency(n, size)) },
	} {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				if err := prove(1 + rng.Uint64N(size)); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}
