package agreement

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Subject is a matter on which the voters must agree.
type Subject uint8

// The subjects.
const (
	Digest  Subject = 1 // digests at an event
	Facts   Subject = 2 // whether the signature facts of an event hold
	History Subject = 3 // what changed at an activation
)

// The peer RPCs under which a node answers about the subjects.
const (
	DigestPath  = "/v1/digest"
	FactsPath   = "/v1/facts"
	HistoryPath = "/v1/history"
)

// Question is one matter that a node asks the other voters about. It is comparable: two equal questions are one.
type Question struct {
	About      Subject
	Generation uint32 // of digests
	Seq        uint64 // the event
	Insist     bool   // stays open until a majority says the same or another voter contradicts

	Logged  string // a value in the log that contradicts this node's own; "" when there is none
	Carrier uint64 // the event that carries it
}

// Request returns path and body of the peer RPC that asks the question: the event in 8 bytes, big-endian, and
// for digests the generation in 4 more.
func (q Question) Request() (path string, body []byte) {
	body = binary.BigEndian.AppendUint64(nil, q.Seq)
	switch q.About {
	case Facts:
		return FactsPath, body
	case History:
		return HistoryPath, body
	}
	return DigestPath, binary.BigEndian.AppendUint32(body, q.Generation)
}

// ParseRequest reads the body that Request writes.
func ParseRequest(about Subject, body []byte) (Question, error) {
	q := Question{About: about}
	switch {
	case about == Digest && len(body) != 12:
		return q, errors.New("a digest request has 12 bytes")
	case about == Facts && len(body) != 8:
		return q, errors.New("a question about signature facts has 8 bytes")
	case about == History && len(body) != 8:
		return q, errors.New("a question about history has 8 bytes")
	}
	q.Seq = binary.BigEndian.Uint64(body)
	if about == Digest {
		q.Generation = binary.BigEndian.Uint32(body[8:])
	}
	return q, nil
}

// String names the matter in words, such as "the digest at event 7".
func (q Question) String() string {
	switch q.About {
	case History:
		return fmt.Sprintf("what changed at the activation at %d", q.Seq)
	case Facts:
		return fmt.Sprintf("the signature facts of event %d", q.Seq)
	}
	return fmt.Sprintf("the digest at event %d", q.Seq)
}

// doubted returns the reason why this node is suspended over a question that has no answer yet, "" when it is not. A node
// that the log contradicts is suspended as soon as that is folded: without the voters nobody can tell which of
// the two is wrong.
func (q Question) doubted() string {
	if q.Logged == "" {
		return ""
	}
	return fmt.Sprintf("%s differs from the one in the log, in event %d, and too few voters could be asked yet; "+
		"start the nodes that are down, and compare recount digest on all of them", q, q.Carrier)
}
