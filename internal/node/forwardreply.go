package node

import (
	"encoding/binary"
	"fmt"

	"github.com/recount-ledger/recount/internal/propose"
)

// forwardReply is the leader's answer to a forwarded pack: where the pack is in the log, and the term of that
// entry. Index and term together name the entry, so the follower can tell whether its own log holds it and
// publish it as committed without waiting for the next AppendEntries.
//
// It has 20 bytes, big-endian: index u64, offset u32 (with resentBit), term u64.
type forwardReply struct {
	propose.LogPosition
	term uint64
}

const (
	forwardReplySize = 20
	// resentBit in the offset means that the leader has sent the pack before.
	resentBit = 1 << 31
)

func (r forwardReply) encode() []byte {
	offset := uint32(r.Offset)
	if r.Resent {
		offset |= resentBit
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 0, forwardReplySize), r.Index)
	b = binary.BigEndian.AppendUint32(b, offset)
	return binary.BigEndian.AppendUint64(b, r.term)
}

func decodeForwardReply(b []byte) (forwardReply, error) {
	if len(b) != forwardReplySize {
		return forwardReply{}, fmt.Errorf("forward: the leader's answer has %d bytes, not %d", len(b), forwardReplySize)
	}
	offset := binary.BigEndian.Uint32(b[8:])
	return forwardReply{
		LogPosition: propose.LogPosition{
			Index:  binary.BigEndian.Uint64(b),
			Offset: int(offset &^ resentBit),
			Resent: offset&resentBit != 0,
		},
		term: binary.BigEndian.Uint64(b[12:]),
	}, nil
}
