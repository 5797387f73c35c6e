// Package verify says what a policy thinks of one record: which key signed it and
// whether its claims follow from its own counts.
//
// It has three parts. A Ring holds verification keys and finds the signature facts
// of a record (key, algorithm, profile, mode). A Policy is the document that names a
// kernel, its parameters and ordered rules; it has one canonical form and is known by
// its SHA-256. Judge runs structure, signature and content checks and the rules, and
// returns a Verdict. Package publish below reads policies as people write them.
//
// Verdicts are pure functions of policy, record and facts: integers of 1e-9 only, no
// floating point, clock, randomness, environment or map order, so that every replica
// and every later recount says the same. A released kernel is never changed.
//
// The package refuses to know any history: replays, conflicts, epochs, freezes, key
// scopes and revocation are decided where the event history is folded. It keeps no
// state, writes no log and reads no file.
package verify
