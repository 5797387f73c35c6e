//go:build !faultclock

package main

import "time"

// clocks returns the wall clock and the elapsed time, nil for those of this machine. Only a build with the tag
// faultclock returns others, for tests.
func clocks(string) (wall func() time.Time, elapsed func() time.Duration) { return nil, nil }
