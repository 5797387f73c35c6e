// Package operator carries out the operations of operators: they register and revoke keys, create tokens, freeze
// submissions, publish and apply policies, and start, review, activate and drop generations.
//
// # From an operation to an event
//
// An operation changes nothing by itself. It becomes an event in the log, and the fold of that event changes the
// control state, in the same order on every node. In miniature:
//
//	Freeze(shard alpha, op_id f1) {
//		wait until this node has folded all that was acknowledged before    core.current
//		refuse what makes no sense with that state: an unknown key, ...      the method itself
//		require the approval of a second person, for some operations         approvals.require
//		commit Frozen{shard alpha, op: f1, actor, reason}                    core.commit
//		wait for its fold, and read its effect                               applied, repeated or ignored
//		answer from the control state
//	}
//
// The checks before the commit give a good message early. They prove nothing, because another operation may come
// into the log between them and the event. The fold decides, and its effect on the event is the result:
//
//	Applied    the event changed the state
//	Repeated   an event with the same op_id came before, so this one changes nothing
//	Ignored    the event does not fit the state at its position, so it changes nothing
//
// # Repetition
//
// A client that got no answer sends the operation again under the same op_id. commitOnce then finds the event
// that the op_id named first. If it asks for the same, its result is the answer. If it asks for something else,
// the answer is 409 op_id_reused: one op_id names one operation, permanently. Who asked and why is not compared.
//
// # Two persons
//
// With Options.TwoPerson, an activation, a rollback, a thaw and the application of a policy need two persons. The
// first request under an op_id is kept in the log as an approval, in words and as an operation, and is refused
// with approval_needed. Another actor approves exactly these words within an hour. Then either of them has it
// carried out, by op_id. It is carried out from the log, so nobody can approve one thing and run another:
//
//	event 40  ActApproved  x  "thaw all"  alice     refused: approval_needed
//	event 41  ActApproved  x  "thaw all"  bob
//	event 42  Thawed       op_id x        bob
//
// Two actors are two persons if their names differ, whatever the letter case, and neither has created the token
// of the other, itself or through tokens that it created (approvals.distinctPersons).
//
// # Refusals
//
// No operation is done on a node that is stopping or quarantined, without a quorum that confirms the state, or
// with a credential that was revoked while the request was on its way. An operation needs no generation that can
// serve reads. So a rollback works even while the generation that was activated serves on no node yet.
//
// # Parts
//
// Operator has one part for each kind of thing that operators look after: Keys, Tokens, Freezes, KnownShards,
// Policies and Generations. Operations lists what was done and approves it. They share core, the one way into the
// log. It asks the rest of the node for little. The interfaces are in operator.go.
package operator
