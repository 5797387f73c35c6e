// Package sign signs records of a Recount ledger and checks their signatures. It needs no node and opens no
// connection: an agent signs with it and posts the bytes with package client.
//
// # The record
//
// A record is one JSON object. Its identity is pcs_id, the SHA-256 of "merkle_root|epoch|shard_id" in lower-case hex.
// Its signature is the member sig, in base64. This one is used below, shown with spaces left out and cut in the middle:
//
//	{"pcs_id":"b3997e86…","schema":"fractal-lba-kakeya",…,"D_hat":1.0,"r":0.5,…,"sig_scheme":"pcs/2"}
//
// Sign keeps the order of the members and the spelling of every number. It sets sig, and sig_scheme where Options
// name a scheme, and nothing else. An agent that writes 1.0 posts 1.0.
//
// # The bytes of pcs/2
//
// Scheme pcs/2 signs the whole record. New agents should use it. The canonical form is the record without sig, with
// its members sorted by the bytes of their names, no spaces, and each number as its digits and a power of ten:
//
//	{"D_hat":1e0,"N_j":{"16":16e0,"2":2e0,"32":32e0,"4":4e0,"8":8e0},"attempt":1e0,"budget":41e-2,…}
//
// The message has 78 bytes: a label of 14 bytes that ends with a line feed, then the SHA-256 of the canonical form in
// lower-case hex, without a line feed after it:
//
//	recount/pcs/2
//	c4aa6990486a0d4f3fb7ea7de0db339c6e7a0d7743c276366fb88e28f780eddf
//
// HMAC-SHA256 with the secret "an example of a secret" gives 32 bytes over that message. Ed25519 signs the message
// itself, not a hash of it. In base64, the MAC is
//
//	xFIVzqmyaMgmhojg8Du0jFvLK/ATa+S4umDBI5Vtq3U=
//
// # The bytes of pcs/1
//
// Scheme pcs/1 is for agents that exist. It signs eight members, in the order of their names, in a canonical form that
// has a name, the profile. Profile f9 writes the numbers with nine decimals:
//
//	{"D_hat":1.000000000,"budget":0.410000000,"coh_star":0.800000000,"epoch":7,"merkle_root":"abab…",
//	"pcs_id":"b3997e86…","r":0.500000000,"shard_id":"shard-001"}
//
// (one line, broken here). Mode raw signs that text, mode sha256 the 32 bytes of its SHA-256. The same secret in mode
// raw gives
//
//	/syPJhEhMO63dsaLmPWNiuFgyC4N0rIzTcd51v+VviM=
//
// The other members are not covered. Whoever can alter a pcs/1 record on its way can change its counts.
// testdata/PROFILES.md has the bytes of all nine profiles.
//
// # Errors
//
// Sign refuses a record that a node would answer with status 400, because a signature would not help it. The error
// wraps ErrSyntax, ErrRecord, ErrID, ErrNoCanonical or ErrProfile, which name the fault. Verify wraps ErrSignature when
// none of its keys made the signature.
//
// # What the package leaves to others
//
// It judges no content: a signed record can be escalated or rejected by the policy of the ledger. Verify accepts
// every profile, and the policy of a ledger may take fewer. It knows no freeze and no revoked key. The node decides.
package sign
