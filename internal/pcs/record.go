// Package pcs decodes one proof-of-computation summary (PCS), the JSON record that an agent sends. It checks
// the structure strictly, computes the record's id, and rebuilds the byte strings that clients sign. It knows
// no key, no policy and no history, and does not judge content.
//
// # A record
//
// The fields of a record fall into three groups:
//
//	identity   merkle_root, epoch, shard_id, and pcs_id, which is a hash of them
//	signed     the identity fields, D_hat, coh_star, r and budget
//	inputs     the signed fields, schema, version, regime, scales, N_j, v_star, seed and ft.degraded
//
//	rec := pcs.Decode(body)         // never nil
//	if rec.Fault != nil { ... }     // class, field and reason of the first fault
//	fault := rec.CheckID()          // pcs_id is the hash of the identity fields
//
// The id of root "ab...", epoch 7 and shard "s1" is the lower-case hex SHA-256 of the text
//
//	ab...|7|s1
//
// where ab... is the merkle_root as written, 64 hex digits.
//
// # Faults
//
// Decode rejects everything that two readers could understand differently: repeated names, names in another
// letter case, ill-formed Unicode, trailing data, wrong types and values out of range. After a fault of class
// malformed, nothing else in the record can be used. After one of class schema, the record may still be
// Signable, so that its signature can be checked and the refusal attributed to a key.
//
// # Numbers
//
// D_hat, coh_star, r and budget are decimal text on the wire, doubles in a Record, and multiples of 1e-9 in a
// Tuple. What a client has signed are the multiples. Their rounding depends on the profile, and differs only
// for ties:
//
//	wire          F9, PyUTF8, PyBin    other profiles
//	0.1234567885  0.123456788          0.123456789
//
// No digest and no verdict uses the doubles of signed numbers.
//
// # Signed bytes
//
// Under scheme pcs/1 a client signs the eight signed fields. The contract says "sorted keys, no spaces, nine
// decimals", and clients read that in different ways. Each reading is a Profile. AppendPayload writes the bytes
// for one of them:
//
//	F9   {"D_hat":1.000000000,"budget":0.250000000,"coh_star":...
//	Py   {"D_hat":1.0,"budget":0.25,"coh_star":...
//	ES   {"D_hat":1,"budget":0.25,"coh_star":...
//	Bin  pcs_id[64] merkle_root[64] epoch[8] shard_id[32] D_hat[8] coh_star[8] r[8] budget[8]
//
// The JSON profiles can be read back to the tuple, so equal bytes always mean equal signed values. Bin begins
// with a hex digit and never meets them.
//
// Under scheme pcs/2 a client signs the whole record but sig. AppendCanonical writes its canonical form, with
// sorted names and numbers as exact decimals, and PCS2Message the 78 bytes to sign:
//
//	wire       {"epoch": 1000, "r": 1.50, "sig": "..."}
//	canonical  {"epoch":1e3,"r":15e-1}
//	message    recount/pcs/2 LF, then the SHA-256 of the canonical form in lower-case hex
//
// # Limits
//
// The limits of a record (MaxScales, MaxCounts, MaxShardID, MaxDepth, MaxMagnitude) are part of kernel 1 and
// never change for it. The numbers of profiles and the encodings of SignedDigest and InputsDigest are
// persisted. testdata/PROFILES.md describes all profiles, and testdata/golden has vectors for them.
package pcs

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// Limits of a record. They are part of kernel 1 and never change for it.
const (
	MaxScales    = 64   // entries of scales
	MaxCounts    = 1024 // members of N_j
	MaxShardID   = 256  // bytes of shard_id
	MaxDepth     = 1000 // levels of nesting, the record itself included
	MaxMagnitude = 1e6  // absolute value of a signed number
)

// schemaName is the required value of the member schema.
const schemaName = "fractal-lba-kakeya"

// DefaultVersion is the version of records that a policy accepts unless it lists others.
const DefaultVersion = "0.1"

// Class is the kind of a structural fault. The words are those of testdata/rules.json.
type Class string

// The classes of faults.
const (
	ClassMalformed  Class = "malformed"   // not one JSON object with unique names
	ClassSchema     Class = "schema"      // a member is missing, of the wrong type or out of range
	ClassIDMismatch Class = "id_mismatch" // pcs_id is not the hash of the identity fields
)

// Fault is a structural refusal: its class, the member ("D_hat", "N_j.02", "ft.degraded", or "" for the whole
// body) and the reason.
type Fault struct {
	Class  Class
	Field  string
	Reason string
}

// Error returns one line for people.
func (f *Fault) Error() string {
	if f.Field == "" {
		return string(f.Class) + ": " + f.Reason
	}
	return string(f.Class) + ": " + f.Field + ": " + f.Reason
}

// Number is a signed number as sent.
type Number struct {
	Literal string  // text on the wire
	Double  float64 // nearest double; without a fault it is finite and at most MaxMagnitude in absolute value
}

// Count is a member of N_j: the key as written and the count. The count may be zero or negative, which the
// kernel judges.
type Count struct {
	Key string
	N   int64
}

// Record is a decoded PCS. All fields hold what was sent. Only Tuple returns what was signed.
type Record struct {
	PCSID      string // 64 hex digits; CheckID requires the lower-case hash
	MerkleRoot string // 64 hex digits, letter case as written
	ShardID    string // 1 to MaxShardID bytes of UTF-8 without control characters
	Epoch      int64  // 0 to 2^63-1

	DHat, CohStar, R, Budget Number

	Schema, Version, Regime string
	Scales                  []int64   // each at least 1, repetitions possible
	NJ                      []Count   // in the order of the wire
	VStar                   []float64 // nil also for null
	Seed                    int64
	Attempt                 int64
	SentAt                  string // RFC 3339
	Degraded                bool   // ft.degraded
	OutboxSeq, ClockSkewMS  int64  // ft.outbox_seq; ft.clock_skew_ms in milliseconds
	Fallbacks               []string

	Sig    string // text of the signature
	HasSig bool   // sig was present and not empty
	Scheme Scheme // the scheme that the member sig_scheme names

	canonical    [32]byte // SHA-256 of the canonical form of PCS2
	hasCanonical bool

	// Signable means that all eight signed fields are present and well formed, so a signature can be checked
	// even beside a Fault.
	Signable bool
	// Fault is the first structural fault, nil for a well-formed record. CheckID checks the pcs_id and
	// CheckVersion the version.
	Fault *Fault
}

// ID returns the identity of a record: the lower-case hex SHA-256 of "root|epoch|shard".
func ID(merkleRoot string, epoch int64, shardID string) string {
	id := idText(merkleRoot, epoch, shardID)
	return string(id[:])
}

func idText(merkleRoot string, epoch int64, shardID string) (text [2 * sha256.Size]byte) {
	var memory [64 + 1 + 20 + 1 + MaxShardID]byte // enough for every record
	b := append(append(memory[:0], merkleRoot...), '|')
	b = append(strconv.AppendInt(b, epoch, 10), '|')
	sum := sha256.Sum256(append(b, shardID...))
	hex.Encode(text[:], sum[:])
	return text
}

// CheckID recomputes the id. It returns a fault of class id_mismatch if pcs_id differs.
func (r *Record) CheckID() *Fault {
	if want := idText(r.MerkleRoot, r.Epoch, r.ShardID); string(want[:]) != r.PCSID {
		return &Fault{
			Class:  ClassIDMismatch,
			Field:  "pcs_id",
			Reason: "is not the SHA-256 of merkle_root|epoch|shard_id in lower-case hex",
		}
	}
	return nil
}

// CheckVersion returns a fault of class schema if the version is not in the list.
func (r *Record) CheckVersion(listed []string) *Fault {
	if slices.Contains(listed, r.Version) {
		return nil
	}
	reason := "must be " + strings.Join(listed, " or ")
	return &Fault{Class: ClassSchema, Field: "version", Reason: reason + ": the policy of this ledger takes no other"}
}
