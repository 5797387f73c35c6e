package limit

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// Sources are counted per window. The share of a source is sharePart of the rate divided by the number of
// sources. The remaining rate refills the reserve.
const (
	window    = int64(time.Second)
	sharePart = 0.9
)

// Fair is one token bucket for all sources that throttles sources above their share first. Each source has an
// equal share of the rate, with a burst of two seconds. The number of sources is the number seen in this or the
// last second. Within its share a source may empty the bucket. Beyond its share it may draw only down to the
// reserve. Under overload the bucket therefore stands at the reserve: sources above their share get what the
// others leave, and a source within its share finds a token even if it comes once an hour. A source that
// appears with a flood uses the reserve up with its burst. In the second after that, another source can find no
// token. Fair is safe for concurrent use.
type Fair struct {
	start                time.Time
	rate, burst, reserve float64

	mu        sync.Mutex
	tokens    float64
	at        int64 // time at which tokens was true, nanoseconds since start
	window    int64 // number of the current window
	last, now int   // sources seen in the previous window and in this one
	table     table
}

// NewFair returns a full bucket. rate is in tokens per second. burst is the number of tokens that one source
// alone can take at once. reserve is kept beyond that for sources within their share. slots bounds the number
// of sources that are told apart (SlotBytes each). If rate is 0, NewFair returns nil, which allows everything.
func NewFair(slots int, rate, burst, reserve float64) *Fair {
	if rate <= 0 {
		return nil
	}
	f := &Fair{start: time.Now(), rate: rate, burst: burst + reserve, reserve: reserve, table: newTable(slots)}
	f.tokens = f.burst
	return f
}

// Take draws cost tokens for the source. If it fails, wait is the time after which another try can succeed.
func (f *Fair) Take(source string, cost float64) (wait time.Duration, ok bool) {
	if f == nil {
		return 0, true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.take(source, cost, int64(time.Since(f.start)))
}

// Spare draws cost tokens that the sources leave, for work that belongs to none of them. It never touches the
// reserve and takes nothing from any share.
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

// draw takes cost tokens if the bucket holds at least need.
func (f *Fair) draw(cost, need float64) (time.Duration, bool) {
	if f.tokens < need {
		return waitFor(need-f.tokens, f.rate), false
	}
	f.tokens -= cost
	return 0, true
}

// turn starts another window when the current one is over.
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

// Shares limits the part of a common space that one source holds, by comparing it with what is still free. One
// source alone gets at most half of the space, and there is always space for another. Sources whose hashes
// collide share one share. The zero value is not usable.
type Shares struct {
	seed maphash.Seed
	held [1024]atomic.Int64
}

// NewShares returns shares of which none is held. They use 8 KiB.
func NewShares() *Shares { return &Shares{seed: maphash.MakeSeed()} }

// Enter takes size bytes for the source if it then holds no more than is free. The caller gives them back with
// Leave. ok is false if the source may not have them.
func (s *Shares) Enter(source string, size, free int64) (share Share, ok bool) {
	held := &s.held[maphash.String(s.seed, source)%uint64(len(s.held))]
	if held.Add(size) > free {
		held.Add(-size)
		return Share{}, false
	}
	return Share{held, size}, true
}

// Share holds what one Enter has taken.
type Share struct {
	held *atomic.Int64
	size int64
}

// Leave gives the share back. It must be called once.
func (s Share) Leave() { s.held.Add(-s.size) }
