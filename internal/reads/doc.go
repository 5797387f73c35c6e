// Package reads answers the reads of clients from what is folded. It changes nothing.
//
// # Views
//
// A read has two questions before it has an answer: which generation, and how fresh. Views.View settles both and
// returns a View of one generation, which all reads of one request use:
//
//	View(ctx, Read{Consistency: linearizable, MinSeq: 40}) {
//		refuse, if this node answers nobody, or switches to another generation now
//		linearizable: a quorum confirms that everything acknowledged before is folded here
//		wait until event 40 is folded
//		wait on, if another generation was activated meanwhile, until that one is there
//		refuse, if the node has begun to answer nobody meanwhile
//		return the active generation, or the one that an older page of a list was read from
//	}
//
// The generation of a view is the one that was active after the last event of the view. A generation goes on when
// another one is activated, and folds that event too. So a view takes a generation only if it is active at its position.
//
// A view holds no snapshot. Each read sees what is folded when it begins, which is at least everything up to
// View.Position. A list is read in chunks, so a long list holds up nothing. It ends with 410 when the log drops
// the generation meanwhile.
//
// # Then and now
//
// The outcome of a record may differ between generations. A list of outcomes shows, next to the outcome in the
// generation that is listed:
//
//	now   the outcome in the active generation
//	was   the outcome that the client of the submission was given
//
// The second one comes from history/, where each activation has recorded what it changed, and from the
// generations that are kept. In miniature, for a record that event 900 accepted:
//
//	event 900  accepted              under generation 1
//	event 950  GenerationActivated 2 recorded: event 900 accepted -> refused
//	as of 940  accepted              the flip at 950 is undone
//	as of 960  refused
//
// A change that was activated a moment ago may not be recorded yet. Then the generation before it is still kept,
// and its own row is read. If neither has the outcome, the answer is 503, and never a guess.
//
// The file outcomes.go walks back over the activations. A row costs one look-up for each activation after it that
// changed anything.
//
// This package asks the node for the control state and the generations: see State and Generations.
package reads
