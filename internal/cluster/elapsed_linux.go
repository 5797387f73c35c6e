package cluster

import (
	"time"

	"golang.org/x/sys/unix"
)

// processBegan carries the time on where the system does not tell it.
var processBegan = time.Now()

// sinceBoot is the time since the machine was booted, with that for which it was suspended: Go's own clock stands still then.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return time.Since(processBegan)
	}
	return time.Duration(ts.Nano())
}
