//go:build faultclock

package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// faultClockEnv names a file that holds how far this node's wall clock is off, as a Go duration such as -720h; a directory
// holds one such file for each node, called by its id. No file, or an empty one, is a right clock.
const faultClockEnv = "RECOUNT_FAULT_CLOCK"

// faultClockPoll bounds how often the file is read.
const faultClockPoll = 5 * time.Millisecond

// wallClock is a wall clock that tests can shift while the node runs.
func wallClock(nodeID string) func() time.Time {
	path := os.Getenv(faultClockEnv)
	if path == "" {
		return nil
	}
	var mu sync.Mutex
	var read time.Time
	var shift time.Duration
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if now.Sub(read) > faultClockPoll {
			read, shift = now, readShift(path, nodeID)
		}
		return now.Add(shift)
	}
}

// readShift panics on a file that is no duration: a test that shifts nothing would pass for nothing.
func readShift(path, nodeID string) time.Duration {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, nodeID)
	}
	b, err := os.ReadFile(path)
	text := strings.TrimSpace(string(b))
	if os.IsNotExist(err) || text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(faultClockEnv + ": " + err.Error())
	}
	return d
}
