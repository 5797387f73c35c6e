// Package intake takes submissions: it checks a record at the edge of the node, has it committed, and answers with
// the outcome that the fold gives it.
//
// # The path of a record
//
// The log and the fold decide. Intake keeps out of the log whatever the fold would only refuse, and it answers
// what was decided before. In miniature:
//
//	Submit(body) {
//		refuse, if this node takes nothing now          stopping, withheld, clock, behind, switching, disk
//		decode the record, and find the key that signed it
//		allow: draw from the rate of the key, or of the address when no key signed it
//		no key:   400 wrong structure, 401 bad signature, or on, if the policy takes unsigned records
//		replay:   answer as the first time, without an event
//		frozen:   503, without an event
//		repeats:  answer a conflict or a fault as the first time, without an event
//		acquire a share of the queue for consensus
//		check the own event once more, as it will be in the log
//		commit, wait for the fold, and answer with its outcome
//	}
//
// # Which answers are final
//
// A refusal without an event must be as true as one with an event. Another node may have acknowledged a key, a
// policy or the same record a moment ago. So each of the answers above that depends on the state is given twice:
// once from what is folded here, and, if that would end the submission, again after a quorum has confirmed that
// this node has folded everything (Options.Confirm). Without a quorum the answer is 503, or the fold decides. That
// holds for a freeze, too: its answer says that the verifier would let the record pass. While a freeze covers a record,
// and in a dry run, a quorum is asked first. What the fold refuses before it looks for a freeze goes into the log as
// without one.
// The order matters, too. A forgery draws from the rate of its address before any other node is asked about it.
//
// # What is limited
//
//	rate     submissions per second, of the node and of each key. A signature is checked before its key pays
//	queue    bytes that wait for consensus, in fair shares of keys and addresses
//	refusals records with a bad signature go into the log within a budget. Above it they are answered and only
//	         summed: ReportRefusals logs the sums
//
// # Batches
//
// A submission is a batch of one record. The records of a batch come in groups. Those of a group are looked at one
// after the other, and what enters the log enters it together: one wait, and usually one entry. They share one question
// to a quorum, too. The next group begins when the one before is answered, so the records of a batch keep their
// order. A record that was not taken holds back all later records of its shard, because a later epoch would overtake
// its own. If the log took nothing, the whole rest is held back. Records of batches that are being worked on are
// bounded in number, and addresses take turns at that space. A single submission does not wait for a turn.
//
// # Dry runs
//
// A dry run goes the same way up to the log. Instead of the commit it folds the event on the current rows and
// keeps nothing (projections.Foretell). It draws from the rates, and it counts in no metric of submissions. So a
// dry run gives the answer that a submission would get now.
//
// Intake asks the node for little: see Options and its interfaces.
package intake
