// Package evidence checks what a Recount ledger proves about itself. It needs the bytes and a public key of the
// ledger, no node and no network.
//
// # The tree
//
// Every event of a ledger is a leaf of one Merkle tree (RFC 6962). Leaf n-1 is the header of event n, 51 bytes
// that hold the SHA-256 of the payload and not the payload:
//
//	01 0000000000000007 183e6b5e0a3c1200 0002 5f16f4c7…
//	format, seq, raw time, kind, SHA-256 of the payload
//
// Its hash is SHA-256(00 || header). An inner node is SHA-256(01 || left || right). The root of the tree
// therefore stands for every event and its place. CheckInclusion shows that a leaf is in a tree, with about
// log2(size) hashes. CheckConsistency shows that a tree only grew: its first leaves are those of an older tree.
//
// # Checkpoints
//
// A checkpoint is a signed note (C2SP signed-note and tlog-checkpoint) about the origin, the size and the root:
//
//	recount/ledger
//	20852163
//	CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//
//	— recount/ledger Az3grlgtzPICa5OS8npVmf1Myq/5IZni…
//
// The origin names one ledger permanently. A ledger that was restored from a backup has another one. Two checkpoints
// of one origin that no consistency proof connects show that the ledger was rewritten or has told two stories.
// Keep both.
//
// # Proofs in files
//
// Proof is the file format of C2SP tlog-proof: an index, the hashes of an inclusion proof, a checkpoint. Parsers
// of this package take exactly one encoding of each value. A file with any other byte is ErrFormat, so that a
// changed bit is found, whatever it was part of.
//
// # Judging again
//
// A Receipt holds a signed Statement of the outcome of one submission. A Bundle adds the submission and the events
// that its outcome depends on. Bundle.Check folds them with the code of the nodes:
//
//	admit     each payload has the hash of its leaf, each leaf is in the tree
//	control   the operators' events give the policy, the key and the freezes at the event
//	verdict   decode, signature, policy, kernel, and the rules about repeats, conflicts and epochs
//	compare   the row that follows is the row that the ledger signed
//
// # What is not proven
//
// A checkpoint binds a ledger that shows it. It does not show that others were shown the same one. Compare yours
// with theirs, with a consistency proof. A bundle does not show that no event was left out of it.
package evidence
