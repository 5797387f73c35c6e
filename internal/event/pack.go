package event

import (
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Bounds of a pack.
const (
	MaxEvents    = 4096
	MaxPackBytes = 8 << 20
)

const (
	packMagic  = "RCP1"
	packFormat = 1
	packReader = 1 // readers from this version on understand packs that are not Newer
	packNewer  = 2 // readers from this version on, like this one, understand all packs
	packHeader = 20
)

var (
	// ErrPack means that the bytes are not a pack.
	ErrPack = errors.New("event: malformed pack")
	// ErrNewer means that only newer versions can read the pack.
	ErrNewer = errors.New("event: pack needs a newer version")
)

// Pack is the content of one Raft entry.
type Pack struct {
	ProposedAt int64 // the proposer's raw clock, Unix nanoseconds
	Events     []Event
	Newer      bool // the first readers would misread the pack, so they must stop at it; see Mark
}

// firstKinds, firstModes and firstProfiles are the highest values that the first readers knew.
const (
	firstKinds    = ClockStep
	firstModes    = 2
	firstProfiles = 8
)

// Mark sets Newer if an event has a kind, a signing mode or a profile that the first readers did not know.
func (p *Pack) Mark() {
	for _, e := range p.Events {
		p.Newer = p.Newer || e.isNewer()
	}
}

// isNewer reports whether the first readers would misread the event.
func (e Event) isNewer() bool {
	if e.Kind != Submission {
		return e.Kind > firstKinds
	}
	f, err := factsOnly(e.Payload)
	return err == nil && (f.Mode > firstModes || f.Profile > firstProfiles)
}

// Append appends the pack's bytes: "RCP1", format u8 = 1, flags u8 = 0, min_reader u16 = 1 (2 if Newer),
// proposed_at i64, count u32 (all big-endian), then a PackV1 message. The caller must respect MaxEvents and
// MaxPackBytes (see Size). Every kind must be non-zero and every payload at least SaltSize long. DecodePack
// rejects anything else.
func (p Pack) Append(dst []byte) []byte {
	dst = appendHeader(dst, p.ProposedAt, len(p.Events), p.Newer)
	for _, e := range p.Events {
		dst = e.append(dst)
	}
	return dst
}

// append appends the frame of the event.
func (e Event) append(dst []byte) []byte {
	dst = protowire.AppendTag(dst, 1, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(e.innerSize()))
	dst = protowire.AppendTag(dst, 1, protowire.VarintType)
	dst = protowire.AppendVarint(dst, uint64(e.Kind))
	dst = protowire.AppendTag(dst, 2, protowire.BytesType)
	return protowire.AppendBytes(dst, e.Payload)
}

// Size returns the number of bytes that Append appends.
func (p Pack) Size() int {
	n := packHeader
	for _, e := range p.Events {
		n += e.Size()
	}
	return n
}

// Size returns the number of bytes that the event takes inside a pack.
func (e Event) Size() int { return 1 + protowire.SizeBytes(e.innerSize()) }

func (e Event) innerSize() int {
	return 2 + protowire.SizeVarint(uint64(e.Kind)) + protowire.SizeBytes(len(e.Payload))
}

// PeekCount reads the number of events and the proposer's clock from the header without reading the events.
func PeekCount(b []byte) (n int, proposedAt int64, err error) {
	if len(b) < packHeader || len(b) > MaxPackBytes || string(b[:4]) != packMagic {
		return 0, 0, fmt.Errorf("%w: %d bytes without a pack header", ErrPack, len(b))
	}
	if reader := binary.BigEndian.Uint16(b[6:]); reader > packNewer {
		return 0, 0, fmt.Errorf("%w: %d, this is %d", ErrNewer, reader, packNewer)
	}
	if b[4] != packFormat || b[5] != 0 || binary.BigEndian.Uint16(b[6:]) == 0 {
		return 0, 0, fmt.Errorf("%w: format %d flags %d", ErrPack, b[4], b[5])
	}
	count := binary.BigEndian.Uint32(b[16:])
	if count == 0 || count > MaxEvents {
		return 0, 0, fmt.Errorf("%w: %d events", ErrPack, count)
	}
	return int(count), int64(binary.BigEndian.Uint64(b[8:])), nil
}

// DecodePack decodes a pack. Payloads alias b. It rejects trailing bytes, unknown fields, encodings other than
// Append's, kind 0, payloads without a salt and counts outside 1..MaxEvents with ErrPack, and packs for newer
// readers with ErrNewer. It does not check whether kinds are known.
func DecodePack(b []byte) (Pack, error) {
	n, at, err := PeekCount(b)
	if err != nil {
		return Pack{}, err
	}
	// An event takes at least 4 + SaltSize bytes, so a false count cannot allocate much.
	if n > (len(b)-packHeader)/(4+SaltSize) {
		return Pack{}, fmt.Errorf("%w: %d events in %d bytes", ErrPack, n, len(b))
	}
	p := Pack{ProposedAt: at, Events: make([]Event, n), Newer: binary.BigEndian.Uint16(b[6:]) == packNewer}
	rest := b[packHeader:]
	for i := range p.Events {
		if p.Events[i], rest, err = cutEvent(rest); err != nil {
			return Pack{}, fmt.Errorf("event %d: %w", i, err)
		}
	}
	if len(rest) > 0 {
		return Pack{}, fmt.Errorf("%w: %d trailing bytes", ErrPack, len(rest))
	}
	return p, nil
}

// EventAt returns one event of a pack without decoding the others. Its payload aliases b. It checks the header and the
// frames before the event, so the pack must be one that DecodePack has accepted before.
func EventAt(b []byte, offset int) (e Event, err error) {
	n, _, err := PeekCount(b)
	if err != nil {
		return e, err
	}
	if offset < 0 || offset >= n {
		return e, fmt.Errorf("%w: event %d of %d", ErrPack, offset, n)
	}
	rest := b[packHeader:]
	for range offset {
		var ok bool
		if _, rest, ok = cutBytes(rest, 1<<3|2); !ok {
			return e, fmt.Errorf("%w: event frame", ErrPack)
		}
	}
	e, _, err = cutEvent(rest)
	return e, err
}

func cutEvent(b []byte) (e Event, rest []byte, err error) {
	body, rest, ok := cutBytes(b, 1<<3|2)
	if !ok || len(body) == 0 || body[0] != 1<<3 {
		return Event{}, nil, fmt.Errorf("%w: event frame", ErrPack)
	}
	kind, n := protowire.ConsumeVarint(body[1:])
	if n < 0 || n != protowire.SizeVarint(kind) || kind == 0 || kind > 0xffff {
		return Event{}, nil, fmt.Errorf("%w: kind", ErrPack)
	}
	payload, tail, ok := cutBytes(body[1+n:], 2<<3|2)
	if !ok || len(tail) > 0 || len(payload) < SaltSize {
		return Event{}, nil, fmt.Errorf("%w: payload", ErrPack)
	}
	return Event{Kind: Kind(kind), Payload: payload[:len(payload):len(payload)]}, rest, nil
}

// cutBytes cuts a length-delimited field with the given one-byte tag off b. The length must be minimally
// encoded.
func cutBytes(b []byte, tag byte) (v, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != tag {
		return nil, nil, false
	}
	size, n := protowire.ConsumeVarint(b[1:])
	if n < 0 || n != protowire.SizeVarint(size) || size > uint64(len(b)-1-n) {
		return nil, nil, false
	}
	at := 1 + n
	return b[at : at+int(size)], b[at+int(size):], true
}
