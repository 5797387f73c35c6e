package fsm

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// rowsOf reads a whole store.
func rowsOf(t *testing.T, s *Store) map[string]string {
	t.Helper()
	v, out := s.Snapshot(), map[string]string{}
	defer v.Close()
	if err := v.Scan(nil, nil, false, func(k, v []byte) bool { out[string(k)] = string(v); return true }); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestStepsInOneMemory: steps that share memory write what steps on their own write, whether small or large, committed
// or given up. What a step has kept does not change when the caller uses its buffers again.
func TestStepsInOneMemory(t *testing.T) {
	s, err := OpenStore(vfs.NewMem(), "s", quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rng, want := rand.New(rand.NewPCG(4, 2)), map[string]string{}
	var tx *txn
	kept := 0
	for step := range 200 {
		rows := []int{1, 20, 300}[rng.IntN(3)]
		if step == 190 {
			rows = 2 * keptRows
		}
		if tx != nil && tx.reset() {
			kept++
		} else {
			tx = s.begin(rows)
		}
		now := maps.Clone(want)
		if step%17 == 0 {
			tx.clear([]byte("b"), []byte("c"))
			maps.DeleteFunc(now, func(k, _ string) bool { return k[0] == 'b' })
		}
		var key, val []byte // used again for every row
		keys := max(500, rows)
		for range rows {
			key = fmt.Appendf(key[:0], "%c%d", 'a'+rune(rng.IntN(3)), rng.IntN(keys))
			if step%17 == 0 && key[0] == 'b' {
				continue // a step does not write where it clears
			}
			if rng.IntN(4) == 0 {
				tx.Delete(key)
				delete(now, string(key))
				continue
			}
			val = append(val[:0], bytes.Repeat([]byte{byte(rng.Uint32())}, rng.IntN(1000))...)
			tx.Set(key, val)
			now[string(key)] = string(val)
		}
		for k := range 500 { // point reads see the step's own writes
			key = fmt.Appendf(key[:0], "a%d", k)
			if got, err := tx.Get(key); err != nil || string(got) != now[string(key)] {
				t.Fatalf("step %d: row %s is %x, want %x, %v", step, key, got, now[string(key)], err)
			}
		}
		if step%5 == 4 {
			continue // given up
		}
		if err := tx.commit(); err != nil {
			t.Fatal(err)
		}
		if want = now; !maps.Equal(rowsOf(t, s), want) {
			t.Fatalf("step %d: other rows than without sharing", step)
		}
	}
	if kept != 198 { // all but the first and the one after the large one
		t.Errorf("%d of 200 steps had the memory of the one before", kept)
	}
}

// TestSmallStepsAllocateLittle: a step in the memory of the one before allocates no block.
func TestSmallStepsAllocateLittle(t *testing.T) {
	s, err := OpenStore(vfs.NewMem(), "s", quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tx := s.begin(100)
	key := []byte("a0")
	step := func() {
		tx.reset()
		for i := range 100 {
			key[1] = byte(i)
			tx.Set(key, key)
		}
	}
	step()
	if n := testing.AllocsPerRun(20, step); n > 0 {
		t.Errorf("%.0f allocations", n)
	}
}

// TestMuchMemoryIsGivenUp: after many rows a step of few begins in little memory, and keeps it.
func TestMuchMemoryIsGivenUp(t *testing.T) {
	s, err := OpenStore(vfs.NewMem(), "s", quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tx := s.begin(0)
	for _, c := range []struct {
		rows int
		kept bool
	}{{300, true}, {1, true}, {keptRows, true}, {keptRows / smallPart, true}, {keptRows/smallPart - 1, false}, {1, true}, {keptRows + 1, false}} {
		for i := range c.rows {
			tx.Set(fmt.Appendf(nil, "a%d", i), nil)
		}
		kept := tx.reset()
		if kept != c.kept {
			t.Errorf("%d rows: memory kept %v, want %v", c.rows, kept, c.kept)
		}
		if !kept {
			tx = s.begin(0)
		}
	}
}
