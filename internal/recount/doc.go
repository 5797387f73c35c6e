// Package recount folds the history of the ledger again under other rules, compares the result with the one
// that clients see, and switches to it.
//
// A generation is one complete fold of the log: every submission has the outcome that the generation's rules
// give it. The log never changes, so a new rule means a new generation. The log itself says which generations
// there are. Four events change that, and every node obeys them in the same order:
//
//	GenerationStarted     a generation is to be built, under some policy from some event on
//	GenerationActivated   it answers clients from this event on; also the way back to the one before
//	HistoryRecorded       a majority has the changes of an activation on disk
//	GenerationDropped     it is deleted
//
// The loop in miniature, with generation 1 active at event 900 and a stricter policy published:
//
//	event 901  GenerationStarted 2      every node opens generations/2 and folds from event 1
//	           fold         1 2 3 ...   in small batches, with rests while submissions come in
//	           compare      1 2 3 ...   event by event with generation 1: a flip is an event with another outcome
//	           follow                   both go on with the log; the digest of all flips grows with them
//	event 950  GenerationActivated 2    after a person has reviewed the flips up to some event, and a majority of the
//	                                    nodes has reported the same digest for them
//	           switch                   a node serves 2 once that has folded event 950, and refuses reads until then
//	           record                   the flips up to event 950 go to history/, for questions about earlier answers
//	event 951  HistoryRecorded          a majority has recorded the same
//	event 980  GenerationDropped 1      its directory is removed, once every activation that needs it is recorded
//
// Two words are kept apart. The active generation is what the log says: Active. The serving generation is what
// this node answers with: Serving. They differ from the moment at which a node folds an activation into its
// control state until the new generation has folded it too. Switching reports that, and AwaitServing waits for
// the end.
//
// A Manager runs these loops:
//
//	reconcile   opens, closes and removes generations until they match the control state; folds a damaged one again
//	switch      makes the active generation serve when it is far enough
//	fold        one for each generation
//	compare     one for each generation: with the active one, and at its activation into history/
//
// They share no plan. Each looks at the control state, does what it says, and waits until that changes. A node
// that was down for a month, or that lost a generation, gets to the same place by the same steps. A crash at
// any point needs no repair: a directory is moved out of sight before it is removed, and a generation knows how
// far it has folded.
//
// The throttle keeps submissions fast. The active generation never waits. Another one works about a quarter of
// the time while submissions come in, and stops while disk space is short.
//
// The manager does not decide: outcomes come from the fold (internal/fsm, internal/projections), the events
// come from operators. It asks the node for little: see Host, Disk and Peers.
package recount
