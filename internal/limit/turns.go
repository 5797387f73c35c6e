package limit

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Turns lets sources take turns at a space that is too small for all of them at once. Who finds no space waits. When
// space is given back, the sources that wait get it one after the other, each for its oldest piece of work. A source
// with a thousand pieces of work therefore delays another one by one piece. Turns is safe for concurrent use.
type Turns struct {
	space int

	mu      sync.Mutex
	free    int
	waiting map[string][]*turn // by source, oldest first
	order   []string           // the sources that wait, the next one first
}

// turn is a piece of work that waits for its space.
type turn struct {
	size int
	come chan struct{} // closed when it has its space
}

// NewTurns returns the turns at a space of that size.
func NewTurns(space int) *Turns {
	return &Turns{space: space, free: space, waiting: map[string][]*turn{}}
}

// Enter takes size of the space for a source, or waits for it, at most for the given time and until ctx ends. More than
// the whole space counts as the whole space. If ok, the caller gives it back with leave, once.
func (t *Turns) Enter(ctx context.Context, source string, size int, longest time.Duration) (leave func(), ok bool) {
	size = min(size, t.space)
	leave = func() { t.leave(size) }
	t.mu.Lock()
	if len(t.order) == 0 && t.free >= size {
		t.free -= size
		t.mu.Unlock()
		return leave, true
	}
	mine := &turn{size, make(chan struct{})}
	if len(t.waiting[source]) == 0 {
		t.order = append(t.order, source)
	}
	t.waiting[source] = append(t.waiting[source], mine)
	t.mu.Unlock()
	timer := time.NewTimer(longest)
	defer timer.Stop()
	select {
	case <-mine.come:
		return leave, true
	case <-timer.C:
	case <-ctx.Done():
	}
	if !t.withdraw(source, mine) { // its turn came at the same moment
		return leave, true
	}
	return nil, false
}

// leave gives space back and hands it to those whose turn it is.
func (t *Turns) leave(size int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free += size
	t.hand()
}

// hand gives the free space to those who wait. t.mu must be held.
func (t *Turns) hand() {
	for len(t.order) > 0 {
		source := t.order[0]
		next := t.waiting[source][0]
		if next.size > t.free {
			return
		}
		t.free -= next.size
		close(next.come)
		t.order = t.order[1:]
		if t.drop(source, 0) {
			t.order = append(t.order, source)
		}
	}
}

// withdraw removes a piece of work that does not wait any more. It returns false if it has its space already.
func (t *Turns) withdraw(source string, mine *turn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.waiting[source], mine)
	if i < 0 {
		return false
	}
	if !t.drop(source, i) {
		at := slices.Index(t.order, source)
		t.order = slices.Delete(t.order, at, at+1)
	}
	t.hand() // a smaller one behind it may fit
	return true
}

// drop removes the i-th waiting piece of a source. It reports whether the source still waits. t.mu must be held.
func (t *Turns) drop(source string, i int) bool {
	left := slices.Delete(t.waiting[source], i, i+1)
	if len(left) == 0 {
		delete(t.waiting, source)
		return false
	}
	t.waiting[source] = left
	return true
}

// Waiting returns the number of pieces of work that wait, and the space that is free.
func (t *Turns) Waiting() (waiting, free int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.waiting {
		waiting += len(w)
	}
	return waiting, t.free
}
