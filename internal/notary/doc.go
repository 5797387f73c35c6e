// Package notary gives out what others can check without trusting this node: signed checkpoints, tiles of the
// Merkle tree and proofs.
//
// A signature cannot be taken back, so the notary signs no position before a majority of the voters has the
// same digests there:
//
//	every half second in which the head has moved {
//		take the last event that the active generation has folded
//		ask the voters for their digests at it
//		a majority has those of this node: sign its size and root, and show the note from now on
//		otherwise: go on showing the one before
//	}
//
// Events up to there are committed, and what a majority holds is never taken back. So the notes of all nodes,
// before and after a change of the leader, a recount or an erasure, are of one growing tree. Ed25519 is
// deterministic: two nodes with the same keys sign the same size with the same bytes.
//
// Tiles and proofs need no key. A node gives them of everything that it has folded.
package notary
