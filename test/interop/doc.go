// Package interop checks the evidence of a real node with code that no one here wrote, and evidence of that code
// with ours:
//
//	golang.org/x/mod/sumdb                notes and proofs of the Go checksum database
//	filippo.io/torchwood                  a client of tile logs, and tlog-proof
//	github.com/transparency-dev/merkle    proofs of RFC 6962
//	github.com/transparency-dev/formats   checkpoints and tlog-proof
//	github.com/transparency-dev/witness   a witness, and a client of witnesses
//
// It is a module of its own, so that torchwood raises the version of nothing that a node links. The node is a
// process: the program that INTEROP_NODE names, or else one that the test builds.
package interop
