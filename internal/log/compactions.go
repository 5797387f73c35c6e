package log

import "github.com/cockroachdb/pebble/v2"

// Compactions returns what decides when one store may compact: Pebble's own scheduler without the goroutine that
// looks ten times a second whether more compactions are allowed than before. The options of our stores allow one,
// always, so it finds nothing. In an idle node it was the most frequent reason to wake up. Pebble named this
// variant for its tests.
func Compactions() pebble.CompactionScheduler {
	return pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
}
