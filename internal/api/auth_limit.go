package api

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/recount-ledger/recount/internal/limit"
	"github.com/recount-ledger/recount/wire"
)

// maxFailing bounds the number of addresses whose failed authentications are counted.
const maxFailing = 4096

// lookAt is the number of entries that are compared when one must be dropped.
const lookAt = 16

// failures rate-limits failed authentications per client address (IPv6: per /64): a burst, then a number per
// minute. It limits failures only. Valid credentials are always accepted, so a neighbour that guesses behind
// the same address locks nobody out. A token holds 256 random bits, so nobody guesses it. A password for
// /metrics must be long for the same reason.
type failures struct {
	perMinute int // 0 is no limit

	mu      sync.Mutex
	failing map[string]*rate.Limiter
}

func newFailures(perMinute int) *failures {
	return &failures{perMinute: max(perMinute, 0), failing: map[string]*rate.Limiter{}}
}

func (f *failures) over(remote string) bool {
	if f == nil || f.perMinute == 0 {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.failing[limit.Prefix(remote)]
	return l != nil && l.Tokens() < 1
}

// wait returns the time after which one more attempt is allowed.
func (f *failures) wait() time.Duration { return time.Minute / time.Duration(max(f.perMinute, 1)) }

// problem returns the response to a failure of an address that had too many.
func (f *failures) problem() *wire.Problem {
	return wire.NewProblem(wire.CodeThrottled,
		"too many failed authentications from this address; right credentials are answered all the same").
		WithRetry(f.wait())
}

// failed counts a failure, and reports whether the address already had too many.
func (f *failures) failed(remote string) (over bool) {
	if f == nil || f.perMinute == 0 {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := limit.Prefix(remote)
	l := f.failing[n]
	if l == nil {
		f.makeRoom()
		l = rate.NewLimiter(rate.Every(f.wait()), f.perMinute)
		f.failing[n] = l
	}
	return !l.Allow()
}

// makeRoom drops, from a small sample, the entry with the most attempts left if the table is full.
func (f *failures) makeRoom() {
	if len(f.failing) < maxFailing {
		return
	}
	looked, best, most := 0, "", -1.0
	for n, l := range f.failing {
		if t := l.Tokens(); t > most {
			best, most = n, t
		}
		if looked++; looked == lookAt {
			break
		}
	}
	delete(f.failing, best)
}
