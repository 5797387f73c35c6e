// Package laps shows where a submission is while it waits for its answer. Only a build with the tag "profiling" keeps the
// moments, and its response has them in a header. In every other build a Watch is empty, and its methods do nothing.
//
//	watch := laps.Start()
//	read the body
//	watch.Lap(laps.Read)
//	answer := submit(watch.In(ctx), body)     // laps.Of(ctx).Lap(laps.Checked), and so on
//	watch.Lap(laps.Answered)
//	watch.Report(header)
package laps

// Lap is a part of the way of a submission. Each begins when the one before it ends.
type Lap int

// The laps, in their order. A constant names the moment at which the lap ends.
const (
	Read      Lap = iota // the body is read
	Checked              // it is decoded and checked, and enters the queue
	Packed               // its pack leaves the queue
	Committed            // the pack is committed, and this node knows its place
	Folded               // this node has folded it
	Woken                // the goroutine of the request runs again
	Answered             // the answer is made
	Laps                 // their number
)

// Header has the length of each lap in the response, in microseconds, separated by commas. A lap that did not end has 0.
const Header = "Recount-Laps"
