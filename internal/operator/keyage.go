package operator

import (
	"context"
	"time"

	"github.com/recount-ledger/recount/internal/projections"
)

// keyWarnAge is the age at which an active key should have been rotated.
const keyWarnAge = 90 * 24 * time.Hour

// OldestAge returns the age of the oldest active key, 0 when there is none.
func (kr *Keys) OldestAge() time.Duration {
	oldest, now := time.Duration(0), kr.core.Clock.Now().UnixNano()
	for _, k := range kr.core.control().Keys(kr.core.head()) {
		if k.Active() {
			oldest = max(oldest, time.Duration(now-k.LogTime))
		}
	}
	return oldest
}

// LongestUnused returns the idle time of the least recently used active key. A key that never signed is idle
// since its registration.
func (kr *Keys) LongestUnused() time.Duration {
	view := kr.core.Recounts.Serving().View()
	defer view.Close()
	longest, now := time.Duration(0), kr.core.Clock.Now().UnixNano()
	for _, k := range kr.core.control().Keys(kr.core.head()) {
		if !k.Active() {
			continue
		}
		used := k.LogTime
		if seq, err := projections.LastByKey(view, k.ID, projections.Latest); err == nil && seq != 0 {
			if row, err := projections.Row(view, seq); err == nil {
				used = row.LogTime
			}
		}
		longest = max(longest, time.Duration(now-used))
	}
	return longest
}

// WarnOld logs once a day, and at the start, the active keys that are older than keyWarnAge.
func (kr *Keys) WarnOld(ctx context.Context) error {
	daily := time.NewTicker(24 * time.Hour)
	defer daily.Stop()
	for {
		now := kr.core.Clock.Now().UnixNano()
		for _, k := range kr.core.control().Keys(kr.core.head()) {
			if age := time.Duration(now - k.LogTime); k.Active() && age > keyWarnAge {
				kr.core.Logger.Warn("a signing key is older than 90 days; rotate it", "key", k.ID,
					"days", int(age.Hours()/24))
			}
		}
		select {
		case <-daily.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
