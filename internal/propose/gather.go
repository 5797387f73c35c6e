package propose

import "time"

// usual describes the packs of late: moving averages over about four packs.
type usual struct {
	events int           // in a pack that is committed, and waiting behind it at that moment
	took   time.Duration // from leaving the queue to being committed
}

// note counts a pack that was committed. Clients that wait for an answer before they send again share two packs that
// take turns, unless the second one waits for the clients of the first. So events counts both.
func (u *usual) note(events int, took time.Duration) {
	u.events += (events - u.events) / 4
	if events > u.events {
		u.events++ // the division rounds towards zero
	}
	u.took += (took - u.took) / 4
}

// enough returns how many events make it pointless to wait for more: most of those that usually come, or 1 while
// there are few.
func (u usual) enough() int {
	if u.events < gatherLeast {
		return 1
	}
	return u.events * 3 / 4
}

// beside returns how long a submission waits before it leaves beside a pack that is in flight: half again as long
// as packs usually take, within bounds. On a fast path one pack is in flight, which is cheap. On a path that takes longer
// than the upper bound two are, because there waiting costs more than a pack does.
func (u usual) beside() time.Duration { return min(max(u.took+u.took/2, minBeside), maxBeside) }

// gather returns the longest wait for company, a small part of what a pack takes anyway.
func (u usual) gather() time.Duration { return min(u.took/4, maxGather) }
