package main

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// keepCollector gives the collector its settings back, and takes those of the environment away from the test.
func keepCollector(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Setenv(name, "") // restores it after the test
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBoundMemory: the heap gets three quarters of the memory, and what an operator set comes first.
func TestBoundMemory(t *testing.T) {
	const gib = 1 << 30
	for name, c := range map[string]struct {
		env     [2]string
		percent int
		limit   int64
	}{
		"nothing set": {percent: gcPercent, limit: 3 * gib},
		"GOGC":        {env: [2]string{"GOGC", "50"}, percent: 100, limit: 3 * gib}, // the runtime has read it at the start
		"GOMEMLIMIT":  {env: [2]string{"GOMEMLIMIT", "1GiB"}, percent: gcPercent, limit: math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			keepCollector(t)
			if c.env[0] != "" {
				t.Setenv(c.env[0], c.env[1])
			}
			if err := boundMemory(memlimit.Limit(4*gib), slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
			limit := debug.SetMemoryLimit(-1)
			if percent := debug.SetGCPercent(-1); percent != c.percent || limit != c.limit {
				t.Errorf("GC percent %d, limit %d, want %d and %d", percent, limit, c.percent, c.limit)
			}
		})
	}
}

// TestMemoryUnknown: where the memory cannot be found out the limit stays, and the reason is an error.
func TestMemoryUnknown(t *testing.T) {
	keepCollector(t)
	broken := errors.New("broken")
	err := boundMemory(func() (uint64, error) { return 0, broken }, slog.New(slog.DiscardHandler))
	if limit := debug.SetMemoryLimit(-1); !errors.Is(err, broken) || limit != math.MaxInt64 {
		t.Errorf("%v, limit %d", err, limit)
	}
}

// TestMachineMemory: this machine has some memory.
func TestMachineMemory(t *testing.T) {
	if n, err := machineMemory()(); err != nil || n < 64<<20 || n > 1<<50 {
		t.Errorf("%d bytes, %v", n, err)
	}
}
