// Package pcs holds one signed proof-of-computation summary: it decodes the
// JSON record strictly, keeps its numbers exactly, recomputes its id and
// rebuilds the byte strings that clients sign (the canonical profiles).
//
// It refuses to judge: whether a signature verifies, whether a claim is
// plausible and what to answer are decided elsewhere. It never repairs input,
// never replaces ill-formed text, reads no clock, environment or randomness,
// and gives the same result for the same bytes on every machine.
package pcs
