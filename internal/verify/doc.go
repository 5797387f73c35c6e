// Package verify evaluates a policy on one record: which key signed the record, and whether its claims follow
// from its own counts.
//
// It has three parts. A KeySet holds verification keys and finds the signature facts of a record (key, algorithm,
// profile, mode). A Policy is the document that names a kernel, its parameters and ordered rules. It has one
// canonical form and is identified by its SHA-256. Evaluate runs the checks of structure, signature and content
// and the rules, and returns a Verdict:
//
//	facts := keys.Check(rec, hint)              // which key verifies rec.Sig
//	v := verify.Evaluate(policy, rec, facts, logTime)
//
// Package publish reads policies as people write them.
//
// Verdicts are pure functions of policy, record, facts and log time. They are computed from integers in units
// of 1e-9, without floating point, clock, randomness, environment or map order, so that every replica and every
// later recount agrees. A released kernel is never changed.
//
// The package knows no history. Package projections decides replays, conflicts, epochs, freezes, key scopes and
// revocation. Package verify keeps no state, writes no log and reads no file.
package verify
