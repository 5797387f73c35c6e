// Package pcs reads one proof-of-computation summary (PCS): strict decoding of the JSON that an agent sends, its numbers as
// multiples of 1e-9, its id, and the canonical byte strings that clients sign.
//
// It refuses to guess: repeated names, names in another letter case, ill-formed Unicode, trailing data, wrong types and
// values out of range are faults with field and reason. It knows no key, no policy and no history, and judges no content.
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

// What a record must say of itself.
const schemaName = "fractal-lba-kakeya"

// DefaultVersion is the version of records that every policy takes unless it says otherwise.
const DefaultVersion = "0.1"

// Class says what kind of structural fault a record has; the words are those of testdata/rules.json.
type Class string

// The classes.
const (
	ClassMalformed  Class = "malformed"   // not one JSON object with unique names
	ClassSchema     Class = "schema"      // a member is missing, of the wrong type or out of range
	ClassIDMismatch Class = "id_mismatch" // pcs_id is not the hash of the identity fields
)

// Fault is a structural refusal: its class, the member ("D_hat", "N_j.02", "ft.degraded"; "" for the whole body) and why.
type Fault struct {
	Class  Class
	Field  string
	Reason string
}

// Error is one line for people.
func (f *Fault) Error() string {
	if f.Field == "" {
		return string(f.Class) + ": " + f.Reason
	}
	return string(f.Class) + ": " + f.Field + ": " + f.Reason
}

// Number is a signed number as it was sent.
type Number struct {
	Literal string  // text on the wire
	Double  float64 // nearest double; finite, at most MaxMagnitude in absolute value when the record has no fault
}

// Count is a member of N_j: the key as written and the count, which may be zero or negative (the kernel judges that).
type Count struct {
	Key string
	N   int64
}

// Record is a decoded PCS. All fields hold what was sent; only Tuple gives what was signed.
type Record struct {
	PCSID      string // 64 hex digits; CheckID demands the lower-case hash
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
	HasSig bool   // sig was there and not empty
	Scheme Scheme // what sig covers, by the member sig_scheme

	whole    [32]byte // SHA-256 of the canonical form of PCS2
	hasWhole bool

	// Signable: all eight signed fields are there and well-formed, so a signature can be checked even beside a Fault.
	Signable bool
	// Fault is the first structural fault, nil for a well-formed record. Its pcs_id is a matter of CheckID, its version of
	// CheckVersion.
	Fault *Fault
}

// ID is the identity of a record: lower-case hex SHA-256 of "root|epoch|shard".
func ID(merkleRoot string, epoch int64, shardID string) string {
	buf := make([]byte, 0, 64+1+20+1+len(shardID))
	buf = append(buf, merkleRoot...)
	buf = append(buf, '|')
	buf = strconv.AppendInt(buf, epoch, 10)
	buf = append(buf, '|')
	buf = append(buf, shardID...)
	sum := sha256.Sum256(buf)
	return hex.EncodeToString(sum[:])
}

// CheckID recomputes the id and answers a fault of class id_mismatch when pcs_id is another.
func (r *Record) CheckID() *Fault {
	if want := ID(r.MerkleRoot, r.Epoch, r.ShardID); want != r.PCSID {
		return &Fault{Class: ClassIDMismatch, Field: "pcs_id", Reason: "is not the SHA-256 of merkle_root|epoch|shard_id in lower-case hex"}
	}
	return nil
}

// CheckVersion answers a fault of class schema when the version is none of those listed.
func (r *Record) CheckVersion(listed []string) *Fault {
	if slices.Contains(listed, r.Version) {
		return nil
	}
	reason := "must be " + strings.Join(listed, " or ")
	return &Fault{Class: ClassSchema, Field: "version", Reason: reason + ": the policy of this ledger takes no other"}
}
