package intake

import (
	"time"

	"github.com/recount-ledger/recount/internal/limit"
	"github.com/recount-ledger/recount/wire"
)

// The limits tell this many keys and addresses apart. Each takes limit.SlotBytes, so all four tables together
// take 1.6 MiB. A table holds either keys or addresses, so that an address with the text of a key id is another
// source than the key.
const (
	limitedSources = 1 << 14 // keys, and as many addresses of what no key signed
	limitedKeys    = 1 << 14
	forgingSources = 1 << 10
)

// These bound how many submissions with a bad signature a node logs. Above the budget they are answered and
// summed.
const (
	refusalsPerSecond = 50
	refusalBytes      = 16 << 10 // per second, and the largest such body that is logged
)

// limits decides which submissions are served when more arrive than this node takes. A submission draws from
// the rate of its key only after the signature was verified, so that nobody can use up the rate of another. All
// others draw from the rate of their address and get what the keys leave. Addresses cost nothing, and many of
// them must not crowd out the keys.
type limits struct {
	all      *limit.Fair    // submissions per second of this node, by key
	unsigned *limit.Fair    // those among them that no key signed, by address, before they draw from all
	keys     *limit.Buckets // submissions per second of one key
	refusal  *limit.Fair    // by address, of the budget for refusals: 1 stands for the number logged in a second
	status   int
	counters *Counters

	queuedKeys, queuedAddresses *limit.Shares // of the bytes that wait for consensus
}

func newLimits(o *Options, counters *Counters) *limits {
	return &limits{
		all:      limit.NewFair(limitedSources, o.TokenRate, limit.Burst(o.TokenRate), o.TokenRate/2),
		unsigned: limit.NewFair(limitedSources, o.TokenRate, limit.Burst(o.TokenRate), o.TokenRate/2),
		keys:     limit.NewBuckets(limitedKeys, o.KeyRate, limit.Burst(o.KeyRate)),
		refusal:  limit.NewFair(forgingSources, 1, 0.5, 0.5),
		status:   o.ThrottleStatus,
		counters: counters,

		queuedKeys:      limit.NewShares(),
		queuedAddresses: limit.NewShares(),
	}
}

// allow draws a token for a submission. keyID is empty when no key has verified it.
func (l *limits) allow(keyID, remote string) *wire.Problem {
	if keyID != "" {
		if wait, ok := l.keys.Take(keyID); !ok {
			l.counters.ThrottledByKey.Add(1)
			return l.problem("too many submissions signed with this key", wait)
		}
	}
	if wait, ok := l.take(keyID, remote); !ok {
		l.counters.ThrottledByNode.Add(1)
		return l.problem("", wait)
	}
	return nil
}

func (l *limits) take(keyID, remote string) (wait time.Duration, ok bool) {
	if keyID != "" {
		return l.all.Take(keyID, 1)
	}
	if wait, ok = l.unsigned.Take(limit.Prefix(remote), 1); !ok {
		return wait, false
	}
	return l.all.Spare(1)
}

func (l *limits) problem(detail string, wait time.Duration) *wire.Problem {
	p := wire.NewProblem(wire.CodeThrottled, detail).WithRetry(wait)
	p.Status = l.status
	return p
}

// acquire takes a share of the queue for consensus, of which no source gets more than it leaves to others. The
// source is the key or, if no key has verified the submission, the address. free is the number of bytes that the
// queue still takes.
func (l *limits) acquire(keyID, remote string, size, free int) (limit.Share, error) {
	shares, source := l.queuedKeys, keyID
	if keyID == "" {
		shares, source = l.queuedAddresses, limit.Prefix(remote)
	}
	share, ok := shares.Enter(source, int64(size), int64(free))
	if !ok {
		return share, wire.NewProblem(wire.CodeOverloaded, "").WithRetry(retryAfter)
	}
	return share, nil
}

// allowLog draws from the budget for refusals, in which the addresses have equal shares. One that is above its share
// gets what the others leave.
func (l *limits) allowLog(remote string, size int) bool {
	if size > refusalBytes {
		return false
	}
	_, ok := l.refusal.Take(limit.Prefix(remote), max(1.0/refusalsPerSecond, float64(size)/refusalBytes))
	return ok
}
