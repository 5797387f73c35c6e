package limit

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// Sources are counted per window. A source's share is sharePart of the rate, divided by how many sources there are; the
// rest pays back what the shares took out of the reserve.
const (
	window    = int64(time.Second)
	sharePart = 0.9
)

// Fair is one token bucket for all sources that refuses first those that take more than their share. Each source has a
// share of the rate, equal for all that were seen in this or the last second, with a burst of two seconds. Within its share
// a source may empty the bucket; beyond it, only down to the reserve. So when too much arrives, the bucket stands at the
// reserve, the noisy ones get what the others leave, and whoever is within his share finds a token even when he comes once
// an hour. It is safe for concurrent use.
type Fair struct {
	start                time.Time
	rate, burst, reserve float64

	mu        sync.Mutex
	tokens    float64
	at        int64 // when tokens was true, nanoseconds since start
	window    int64 // which one is being counted
	last, now int   // sources seen in the window before, and in this one
	table     table
}

// NewFair makes a full bucket. rate is tokens per second; burst is what one source alone can take at once, reserve what is
// kept beyond that for sources within their share; slots bounds how many sources are told apart (SlotBytes each). It returns
// nil, which lets everything pass, when rate is 0.
func NewFair(slots int, rate, burst, reserve float64) *Fair {
	if rate <= 0 {
		return nil
	}
	f := &Fair{start: time.Now(), rate: rate, burst: burst + reserve, reserve: reserve, table: newTable(slots)}
	f.tokens = f.burst
	return f
}

// Take draws cost tokens for the source, or says after what time it is worth another try.
func (f *Fair) Take(source string, cost float64) (wait time.Duration, ok bool) {
	if f == nil {
		return 0, true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.take(source, cost, int64(time.Since(f.start)))
}

// Spare draws cost tokens of what the sources leave, for somebody who is none of them: he never gets at the reserve and takes
// nothing from anybody's share.
func (f *Fair) Spare(cost float64) (wait time.Duration, ok bool) {
	if f == nil {
		return 0, true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.spare(cost, int64(time.Since(f.start)))
}

func (f *Fair) spare(cost float64, now int64) (time.Duration, bool) {
	f.refill(now)
	return f.draw(cost, min(f.reserve+cost, f.burst))
}

func (f *Fair) take(source string, cost float64, now int64) (time.Duration, bool) {
	f.refill(now)
	f.turn(now / window)
	share := sharePart * f.rate / float64(max(1, f.last, f.now))
	_, within, fresh := f.table.draw(source, now, f.window, share, max(cost, 2*share), cost)
	if fresh {
		f.now++
	}
	need := cost
	if !within {
		need = min(f.reserve+cost, f.burst) // a full bucket is open to everybody
	}
	return f.draw(cost, need)
}

func (f *Fair) refill(now int64) {
	f.tokens = min(f.burst, f.tokens+f.rate*float64(now-f.at)/1e9)
	f.at = now
}

// draw takes cost when there are need tokens.
func (f *Fair) draw(cost, need float64) (time.Duration, bool) {
	if f.tokens < need {
		return waitFor(need-f.tokens, f.rate), false
	}
	f.tokens -= cost
	return 0, true
}

// turn begins another window when it is time.
func (f *Fair) turn(to int64) {
	if to == f.window {
		return
	}
	f.last = f.now
	if to > f.window+1 {
		f.last = 0
	}
	f.now, f.window = 0, to
}

// Shares bounds what one source holds of a common space by what is still free: one source alone gets at most half of it,
// and there is always room for another. Sources whose hashes fall together share a share. The zero value is not usable.
type Shares struct {
	seed maphash.Seed
	held [1024]atomic.Int64
}

// NewShares makes shares of which none is held; they take 8 KiB.
func NewShares() *Shares { return &Shares{seed: maphash.MakeSeed()} }

// Enter takes size bytes for the source when it then holds no more than is free, and returns what gives them back; nil
// when it may not.
func (s *Shares) Enter(source string, size, free int64) (leave func()) {
	held := &s.held[maphash.String(s.seed, source)%uint64(len(s.held))]
	if held.Add(size) > free {
		held.Add(-size)
		return nil
	}
	return func() { held.Add(-size) }
}
