// Package export copies a range of the ledger into a directory that stands on its own, and checks such a directory without
// a node.
//
// An export answers a stranger's two questions. What was said? Every submission is there byte for byte, inside the event
// that carried it, with the answers that the ledger gave to it, the policies that judged it and the public parts of the keys.
// How do I know? The events hash to the digest that every node of the cluster gives for the last one, so nothing was left
// out or changed; signatures can be checked with the public keys, and verdicts can be judged again from the bytes.
//
// Write asks a cluster and makes the directory: it streams, so its memory does not grow with the range, and gives the
// directory its name when all of it is on disk. Check needs the directory alone. It trusts nothing in it: it recomputes
// what docs/formats.md lets one recompute and reports one line for each thing that it looked at, with what could not be
// checked and why. docs/formats-export.md gives every file.
//
// What a directory cannot prove is that it speaks of the right ledger. For that, compare the log digest of its manifest
// with one that came another way: from a node (recount digest --seq), from an earlier export, from another auditor.
//
// The package refuses to print, to read the environment, and to hold a secret longer than a check takes.
package export
