//go:build faultclock

package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// faultClockEnv names a file with the offset of this node's wall clock, as a Go duration such as -720h, and
// after a blank the time for which its machine slept, if it did. A directory holds one such file for each node,
// named by its id. Without a file, or with an empty one, the clock is right.
const faultClockEnv = "RECOUNT_FAULT_CLOCK"

// faultClockPoll bounds how often the file is read.
const faultClockPoll = 5 * time.Millisecond

// faultClock is a clock that tests can shift while the node runs.
type faultClock struct {
	path, node string
	began      time.Time

	mu    sync.Mutex
	read  time.Time
	shift time.Duration // of the wall clock alone
	slept time.Duration // of the wall clock and of the elapsed time
}

// clocks returns the wall clock and the elapsed time, nil for those of this machine.
func clocks(nodeID string) (wall func() time.Time, elapsed func() time.Duration) {
	path := os.Getenv(faultClockEnv)
	if path == "" {
		return nil, nil
	}
	f := &faultClock{path: path, node: nodeID, began: time.Now()}
	wall = func() time.Time {
		now, shift, slept := f.now()
		return now.Add(shift + slept)
	}
	elapsed = func() time.Duration {
		now, _, slept := f.now()
		return now.Sub(f.began) + slept
	}
	return wall, elapsed
}

func (f *faultClock) now() (now time.Time, shift, slept time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now = time.Now()
	if now.Sub(f.read) > faultClockPoll {
		f.shift, f.slept = readShift(f.path, f.node)
		f.read = now
	}
	return now, f.shift, f.slept
}

// readShift panics on a file that holds no durations, because a test that shifts nothing would pass.
func readShift(path, nodeID string) (shift, slept time.Duration) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, nodeID)
	}
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return 0, 0
	}
	var out [2]time.Duration
	words := strings.Fields(string(b))
	if len(words) > len(out) {
		panic(faultClockEnv + ": more than two durations")
	}
	for i, word := range words {
		if out[i], err = time.ParseDuration(word); err != nil {
			panic(faultClockEnv + ": " + err.Error())
		}
	}
	return out[0], out[1]
}
