// Package limit implements rate limiters with bounded memory. Buckets has one token bucket per source, Fair has
// one bucket that sources share fairly, and Shares divides a common space.
//
// Memory does not grow with the number of sources. When a table is full, the source with the fullest bucket is
// dropped from a small set of candidates: a full bucket holds no more information than a new one. The names of
// sources are hashed and not kept, and no goroutine is started.
package limit

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// SlotBytes is the memory per slot of a table, including its part of a lock.
const SlotBytes = 33

// ways is the number of slots in which a source can be. A search reads all of them.
const ways = 8

// slot is one source's bucket.
type slot struct {
	name   uint64 // hash of the source's name, 0 for an empty slot
	tokens float64
	at     int64 // when tokens was true, nanoseconds
	window int64 // window in which the source was last counted
}

type set struct {
	mu    sync.Mutex
	slots [ways]slot
}

// table holds the buckets of the most recent sources. To make space it drops the fullest bucket of a set. A
// full bucket says no more than a new one would, and a crowd of new sources cannot displace a source above its
// rate.
type table struct {
	seed maphash.Seed
	sets []set
}

func newTable(slots int) table {
	return table{seed: maphash.MakeSeed(), sets: make([]set, max(1, slots/ways))}
}

// draw refills the bucket of a source and takes cost from it if it holds as much. fresh reports whether the
// source had not been seen in this window.
func (t *table) draw(source string, now, window int64, rate, burst, cost float64) (left float64, ok, fresh bool) {
	h := maphash.String(t.seed, source)
	s := &t.sets[h%uint64(len(t.sets))]
	h |= 1 // never the name of an empty slot
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.find(h)
	if b == nil {
		b = s.evict(h, now, rate, burst)
	}
	b.refill(now, rate, burst)
	if ok = b.tokens >= cost; ok {
		b.tokens -= cost
	}
	fresh = b.window != window
	b.window = window
	return b.tokens, ok, fresh
}

// peek returns the tokens that a draw would find in the bucket of a source. It changes nothing.
func (t *table) peek(source string, now int64, rate, burst float64) float64 {
	h := maphash.String(t.seed, source)
	s := &t.sets[h%uint64(len(t.sets))]
	h |= 1
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.find(h); b != nil {
		return b.level(now, rate, burst)
	}
	return burst
}

// find returns the source's slot, or nil if there is none.
func (s *set) find(name uint64) *slot {
	for i := range s.slots {
		if s.slots[i].name == name {
			return &s.slots[i]
		}
	}
	return nil
}

// evict gives an empty slot, or the one with the fullest bucket, to another source and fills its bucket.
func (s *set) evict(name uint64, now int64, rate, burst float64) *slot {
	fullest, most := 0, -1.0
	for i := range s.slots {
		b := &s.slots[i]
		tokens := burst + 1 // an empty slot is taken first
		if b.name != 0 {
			tokens = b.level(now, rate, burst)
		}
		if tokens > most {
			fullest, most = i, tokens
		}
	}
	s.slots[fullest] = slot{name: name, tokens: burst, at: now, window: -1}
	return &s.slots[fullest]
}

func (b *slot) level(now int64, rate, burst float64) float64 {
	return min(burst, b.tokens+rate*float64(max(0, now-b.at))/1e9)
}

func (b *slot) refill(now int64, rate, burst float64) {
	b.tokens, b.at = b.level(now, rate, burst), max(b.at, now)
}

// waitFor returns the time in which a bucket of that rate gains the missing tokens.
func waitFor(missing, rate float64) time.Duration {
	return time.Duration(max(0, missing) / rate * float64(time.Second))
}

// Burst returns the size of the bucket for a rate per second: what comes in two seconds, and at least 1.
func Burst(rate float64) float64 { return max(1, 2*rate) }

// Buckets gives every source its own bucket. A nil Buckets allows everything. It is safe for concurrent use.
type Buckets struct {
	table
	start       time.Time
	rate, burst float64
}

// NewBuckets returns buckets for the most recent sources, SlotBytes for each. rate is in tokens per second, and
// burst is the number of tokens that a full bucket holds. It returns nil if rate is 0.
func NewBuckets(slots int, rate, burst float64) *Buckets {
	if rate <= 0 {
		return nil
	}
	return &Buckets{table: newTable(slots), start: time.Now(), rate: rate, burst: burst}
}

// Take draws one token from the source's bucket. If it fails, wait is the time until there will be one.
func (b *Buckets) Take(source string) (wait time.Duration, ok bool) {
	if b == nil {
		return 0, true
	}
	return b.take(source, int64(time.Since(b.start)))
}

func (b *Buckets) take(source string, now int64) (time.Duration, bool) {
	left, ok, _ := b.draw(source, now, 0, b.rate, b.burst, 1)
	if ok {
		return 0, true
	}
	return waitFor(1-left, b.rate), false
}

// Peek reports whether Take would succeed now. It draws nothing, and a source that is unknown stays unknown. wait
// is the time until there will be a token.
func (b *Buckets) Peek(source string) (wait time.Duration, ok bool) {
	if b == nil {
		return 0, true
	}
	return b.peek(source, int64(time.Since(b.start)))
}

func (b *Buckets) peek(source string, now int64) (time.Duration, bool) {
	left := b.table.peek(source, now, b.rate, b.burst)
	return waitFor(1-left, b.rate), left >= 1
}

// Prefix returns the source of an address: an IPv4 address as is, or the /64 of an IPv6 address, because that
// much is given to one customer. Text that is not an address is its own source.
func Prefix(remote string) string {
	a, err := netip.ParseAddr(remote)
	if err != nil {
		return remote
	}
	if a.Is4() {
		return remote // the only text of this address that ParseAddr takes
	}
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a.String()
	}
	p, _ := a.Prefix(64) // 64 bits are within every IPv6 address
	return p.String()
}
