//go:build !linux

package cluster

import "time"

var processBegan = time.Now()

// sinceBoot returns the time since this process began, as Go's clock counts it.
func sinceBoot() time.Duration { return time.Since(processBegan) }
