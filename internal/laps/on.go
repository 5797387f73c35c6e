//go:build profiling

package laps

// profiling is true in a build whose responses have the laps.
const profiling = true
