// Package event defines the bytes of the ledger: events, the packs that travel as one Raft entry, the protobuf
// messages inside them, and the Merkle leaf of an event.
//
// A pack is a header of 20 bytes, big-endian, and a protobuf message PackV1 with the events. Append documents
// the fields:
//
//	52435031 01 00 0001 <proposed_at u64> <count u32> <PackV1>
//
// The payload of an event is a random salt of 16 bytes and the protobuf message of its kind. The Merkle leaf of
// an event is computed from the payload as logged. Nothing is ever re-encoded to hash it:
//
//	leaf = SHA-256(00 || format u8 || seq u64 || raw time u64 || kind u16 || SHA-256(payload))
//
// The decoders reject every byte that they cannot explain: trailing bytes, unknown fields, lengths beyond the
// bounds. The package does not interpret events.
package event

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

//go:generate protoc --go_out=. --go_opt=paths=source_relative event.proto

// A credential of an operation begins with one of these prefixes, followed by the id of the token or the serial
// number of the client certificate in lower-case hex.
const (
	TokenPrefix       = "token:"
	CertificatePrefix = "cert:"
)

// SaltSize is the length in bytes of the random salt in front of every message.
const SaltSize = 16

var (
	// ErrUnknownKind means that this version does not know an event's kind.
	ErrUnknownKind = errors.New("event: unknown kind")
	// ErrPayload means that a payload is not a salt and one well-formed message of its kind.
	ErrPayload = errors.New("event: malformed payload")
	// ErrLeaf means that bytes are not an encoded Leaf.
	ErrLeaf = errors.New("event: malformed leaf")
)

// Event is one fact of the ledger. Payload is a random salt of SaltSize bytes followed by the protobuf message
// of the kind. It is stored and hashed as is.
type Event struct {
	Kind    Kind
	Payload []byte
}

// NewPayload encodes m behind salt. It fails on strings that are not UTF-8.
func NewPayload(salt [SaltSize]byte, m proto.Message) ([]byte, error) {
	out := make([]byte, SaltSize, SaltSize+proto.Size(m))
	copy(out, salt[:])
	out, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(out, m)
	if err != nil {
		return nil, fmt.Errorf("event: encode %T: %w", m, err)
	}
	return out, nil
}

// Message decodes the payload: *GenesisV1 for Genesis, *SubmissionV1 for Submission and so on. Errors are
// ErrUnknownKind and ErrPayload (short salt, malformed protobuf, unknown fields).
func (e Event) Message() (salt [SaltSize]byte, m proto.Message, err error) {
	if m = e.Kind.NewMessage(); m == nil {
		return salt, nil, fmt.Errorf("%w: %d", ErrUnknownKind, e.Kind)
	}
	if len(e.Payload) < SaltSize {
		return salt, nil, fmt.Errorf("%w: %d bytes", ErrPayload, len(e.Payload))
	}
	if e.Kind == Submission {
		if _, err := DecodeSubmission(e.Payload); err != nil {
			return salt, nil, err
		}
	}
	if err := proto.Unmarshal(e.Payload[SaltSize:], m); err != nil {
		return salt, nil, fmt.Errorf("%w: %s: %w", ErrPayload, e.Kind, err)
	}
	if hasUnknown(m.ProtoReflect()) {
		return salt, nil, fmt.Errorf("%w: %s: unknown fields", ErrPayload, e.Kind)
	}
	return [SaltSize]byte(e.Payload), m, nil
}

// hasUnknown looks for unknown fields in m and in its singular sub-messages (the schema has no repeated ones in
// events).
func hasUnknown(m protoreflect.Message) bool {
	found := len(m.GetUnknown()) > 0
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Message() != nil && !fd.IsList() && !fd.IsMap() {
			found = found || hasUnknown(v.Message())
		}
		return !found
	})
	return found
}

// LeafFormat is the value of Leaf.Format that this version writes.
const LeafFormat = 1

// LeafSize is the length in bytes of an encoded Leaf.
const LeafSize = 51

// Leaf is the part of one event that the ledger's Merkle tree commits to. The index of the leaf is Seq-1.
type Leaf struct {
	Format        uint8
	Seq           uint64
	RawTime       int64 // the proposer's clock, Unix nanoseconds
	Kind          Kind
	PayloadSHA256 [32]byte
}

// Append appends the LeafSize bytes {format, seq, raw time, kind, payload digest}, integers big-endian.
func (l Leaf) Append(dst []byte) []byte {
	dst = append(dst, l.Format)
	dst = binary.BigEndian.AppendUint64(dst, l.Seq)
	dst = binary.BigEndian.AppendUint64(dst, uint64(l.RawTime))
	dst = binary.BigEndian.AppendUint16(dst, uint16(l.Kind))
	return append(dst, l.PayloadSHA256[:]...)
}

// Hash returns the RFC 6962 leaf hash: SHA-256 of a zero byte and the encoded leaf.
func (l Leaf) Hash() [32]byte {
	var buf [1 + LeafSize]byte
	return sha256.Sum256(l.Append(buf[:1]))
}

// ParseLeaf reads what Append writes. Another length or format, and seq 0, are ErrLeaf. Every kind passes.
func ParseLeaf(b []byte) (l Leaf, err error) {
	if len(b) != LeafSize {
		return Leaf{}, fmt.Errorf("%w: %d bytes, not %d", ErrLeaf, len(b), LeafSize)
	}
	l = Leaf{Format: b[0], Seq: binary.BigEndian.Uint64(b[1:]), RawTime: int64(binary.BigEndian.Uint64(b[9:])),
		Kind: Kind(binary.BigEndian.Uint16(b[17:])), PayloadSHA256: [32]byte(b[19:])}
	if l.Format != LeafFormat || l.Seq == 0 {
		return Leaf{}, fmt.Errorf("%w: format %d, event %d", ErrLeaf, l.Format, l.Seq)
	}
	return l, nil
}
