package limit

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestTurnsRotate: one source with many pieces of work delays another by one piece, and each source keeps its own order.
func TestTurnsRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(10)
		first, ok := turns.Enter(t.Context(), "a", 10, time.Hour)
		if !ok {
			t.Fatal("a full space")
		}
		var mu sync.Mutex
		var got []string
		wait := func(source string) {
			go func() {
				leave, ok := turns.Enter(t.Context(), source, 10, time.Hour)
				if !ok {
					t.Error("it waited too long")
					return
				}
				mu.Lock()
				got = append(got, source)
				mu.Unlock()
				leave()
			}()
			synctest.Wait()
		}
		for _, source := range []string{"a", "a", "a", "b", "c", "c"} {
			wait(source)
		}
		first()
		synctest.Wait()
		if want := []string{"a", "b", "c", "a", "c", "a"}; !slices.Equal(got, want) {
			t.Errorf("%v, not %v", got, want)
		}
		if waiting, free := turns.Waiting(); waiting != 0 || free != 10 || len(turns.waiting) != 0 {
			t.Errorf("%d wait, %d free, %v", waiting, free, turns.waiting)
		}
	})
}

// TestTurnsEnd: who waits no longer leaves no trace, and smaller work behind it gets its turn.
func TestTurnsEnd(t *testing.T) {
	for _, end := range []string{"context", "time"} {
		t.Run(end, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { turnsEnd(t, end) }) })
	}
}

func turnsEnd(t *testing.T, end string) {
	longest := time.Hour
	turns := NewTurns(10)
	leave, ok := turns.Enter(t.Context(), "a", 6, time.Hour)
	if !ok {
		t.Fatal("an empty space")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if end == "time" {
		ctx, longest = t.Context(), time.Second
	}
	ended := make(chan bool, 1)
	go func() {
		_, ok := turns.Enter(ctx, "b", 8, longest)
		ended <- ok
	}()
	synctest.Wait()
	small := make(chan func(), 1)
	go func() {
		leave, _ := turns.Enter(t.Context(), "c", 4, time.Hour)
		small <- leave
	}()
	synctest.Wait()
	if waiting, free := turns.Waiting(); waiting != 2 || free != 4 {
		t.Errorf("%d wait, %d free: small work must not overtake", waiting, free)
	}
	if <-ended {
		t.Error("it entered")
	}
	(<-small)()
	leave()
	if waiting, free := turns.Waiting(); waiting != 0 || free != 10 || len(turns.waiting)+len(turns.order) != 0 {
		t.Errorf("%d wait, %d free, %v %v", waiting, free, turns.waiting, turns.order)
	}
}

// TestTurnsHoldTheSpace: at no time is more of the space taken than there is, and more than all of it is all of it.
func TestTurnsHoldTheSpace(t *testing.T) {
	turns := NewTurns(8)
	var mu sync.Mutex
	var taken int
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for j := range 50 {
				size := 1 + (i+j)%12
				leave, ok := turns.Enter(t.Context(), string(rune('a'+i%5)), size, time.Duration(1+j%3)*time.Millisecond)
				if !ok {
					continue
				}
				mu.Lock()
				if taken += min(size, 8); taken > 8 {
					t.Errorf("%d of 8 are taken", taken)
				}
				mu.Unlock()
				mu.Lock()
				taken -= min(size, 8)
				mu.Unlock()
				leave()
			}
		})
	}
	all.Wait()
	if waiting, free := turns.Waiting(); waiting != 0 || free != 8 || len(turns.waiting)+len(turns.order) != 0 {
		t.Errorf("%d wait, %d free, %v %v", waiting, free, turns.waiting, turns.order)
	}
}
