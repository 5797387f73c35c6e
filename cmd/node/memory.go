package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// gcPercent is the growth of the heap in percent before it is collected, unless GOGC is set. Most of a node's
// memory is bounded buffers, and collecting less often saves a twentieth of its processor time.
const gcPercent = 300

// heapPart is the part of the memory above which Go collects more often than gcPercent asks for. The rest is for
// the caches of the stores and the page cache, which Go does not count.
const heapPart = 0.75

// boundMemory sets the collector to gcPercent and to a soft limit (see runtime/debug.SetMemoryLimit): a part of the
// memory of the container, or of the machine where no container limits it. Without the limit a burst may let the
// heap grow to four times of what lives, and the kernel ends the node. GOGC and GOMEMLIMIT come first.
func boundMemory(total memlimit.Provider, log *slog.Logger) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	limit, err := memlimit.ApplyRatio(total, heapPart)()
	if err != nil {
		return fmt.Errorf("find out how much memory there is: %w", err)
	}
	debug.SetMemoryLimit(int64(limit))
	log.Info("heap limited", "bytes", limit)
	return nil
}

// machineMemory returns the memory limit of the control group, or else the memory of the machine.
func machineMemory() memlimit.Provider {
	return memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)
}
