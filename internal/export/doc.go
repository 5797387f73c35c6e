// Package export copies a range of the ledger into a self-contained directory, and checks such a directory
// without a node.
//
// An export answers two questions of an auditor. What was said? It has every submission byte for byte, inside
// the event that carried it, with the outcomes that the ledger gave to it, the policies that judged it and the
// public parts of the keys. How can it be trusted? The events hash to the digest that every node of the cluster
// gives for the last one, so nothing was left out or changed. Signatures can be checked with the public keys,
// and verdicts can be computed again from the bytes.
//
// Write reads from a cluster and creates the directory. It streams, so its memory does not grow with the range,
// and renames the directory to its final name when it is complete on disk. Check needs only the directory and
// trusts nothing in it. It recomputes what docs/formats.md allows to recompute. It reports one line for each
// check, including the checks that could not be made and why. docs/formats-export.md describes every file.
//
// A directory cannot prove that it belongs to the right ledger. For that, compare the log digest of its
// manifest with one from another source: a node (recount digest --seq), an earlier export or another auditor.
//
// The package does not print, does not read the environment, and holds secrets only during a check.
package export
