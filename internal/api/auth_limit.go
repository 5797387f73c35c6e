package api

import (
	"time"

	"github.com/recount-ledger/recount/internal/limit"
	"github.com/recount-ledger/recount/wire"
)

// maxFailing bounds the number of addresses whose failed authentications are counted.
const maxFailing = 4096

// failures rate-limits failed authentications per client address (IPv6: per /64): a burst, then a number per
// minute. It limits failures only. Valid credentials are always accepted, so a neighbour that guesses behind
// the same address locks nobody out. A token holds 256 random bits, so nobody guesses it. A password for
// /metrics must be long for the same reason. The nil value is no limit.
type failures struct {
	perMinute int
	left      *limit.Buckets // attempts, by limit.Prefix
}

// newFailures allows so many failures at once, and so many a minute. It returns nil if perMinute is 0 or below.
func newFailures(perMinute int) *failures {
	if perMinute <= 0 {
		return nil
	}
	n := float64(perMinute)
	return &failures{perMinute: perMinute, left: limit.NewBuckets(maxFailing, n/time.Minute.Seconds(), n)}
}

// over reports whether an address had too many failures. It counts none.
func (f *failures) over(remote string) bool {
	if f == nil {
		return false
	}
	_, ok := f.left.Peek(limit.Prefix(remote))
	return !ok
}

// failed counts a failure, and reports whether the address already had too many.
func (f *failures) failed(remote string) (over bool) {
	if f == nil {
		return false
	}
	_, ok := f.left.Take(limit.Prefix(remote))
	return !ok
}

// problem returns the response to a failure of an address that had too many. It names the interval at which
// attempts come back, for all addresses alike.
func (f *failures) problem() *wire.Problem {
	return wire.NewProblem(wire.CodeThrottled,
		"too many failed authentications from this address; right credentials are answered all the same").
		WithRetry(time.Minute / time.Duration(f.perMinute))
}
