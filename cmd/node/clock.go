//go:build !faultclock

package main

import "time"

// clocks are the wall clock and the time that passed, nil for those of this machine; only a build with the tag faultclock has
// others, for tests.
func clocks(string) (wall func() time.Time, elapsed func() time.Duration) { return nil, nil }
