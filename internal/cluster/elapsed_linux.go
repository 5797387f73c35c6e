package cluster

import (
	"time"

	"golang.org/x/sys/unix"
)

// processBegan is the start for systems that do not report the time since boot.
var processBegan = time.Now()

// sinceBoot returns the time since the machine was booted, including time in which it was suspended. Go's own
// clock stands still while the machine is suspended.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return time.Since(processBegan)
	}
	return time.Duration(ts.Nano())
}
