package cluster

import (
	"errors"
	"fmt"
	"io"
)

// A Raft stream opens with a handshake: "RCR2", then cluster id, node id and the node's hello, each preceded by a
// length byte. The accepting side replies with one byte and its own hello, or the reason of a refusal. Raft's own
// messages carry no cluster id. A node that was removed gets a refusal of its own. The handshake keeps apart two
// clusters that share a CA and names, and keeps out a node that has lost its disk.
const (
	handshakeMagic    = "RCR2"
	handshakeAccepted = 0x06
	handshakeRefused  = 0x15
	handshakeRemoved  = 0x16
)

// errRefused means that one of two nodes does not accept the other as a member.
var errRefused = errors.New("cluster: refused")

// errOtherFounders is the refusal for different founding members. Either node may have had the wrong settings at its
// first start.
var errOtherFounders = errors.New("it was founded with other members; a new cluster starts with the same list of " +
	"voters on all nodes")

// errRemoved is the refusal for a node that the cluster has removed. The text goes on with the entry that did so.
var errRemoved = errors.New("it was removed from the cluster: stop it; to use its machine again, add a new node " +
	"id with an empty directory; removed by entry")

// errOtherDirectory is the refusal for a second directory of a node that was added by its join token.
var errOtherDirectory = errors.New("the node was added with its join token from another directory: stop this one; to " +
	"use its machine, add a new node id")

// errLostVoter is the refusal for a voter that comes with an empty log, or with a new one that has nothing in it.
var errLostVoter = errors.New("it is a voter of the cluster and comes with an empty log: it lost its disk, or it " +
	"starts for the first time after the members changed; remove it, and add a new node id")

// errForked is the finding of a voter about itself, from a node that it does not know as a member. Founders that have
// founded a cluster again, because they lost their disks, do not know the members that were added since.
var errForked = errors.New("a node of the same cluster, which this one does not know as a member, has committed " +
	"entries that this one lacks: it is behind, or it lost its disk and founded the cluster again; if it does not " +
	"catch up, stop it, remove it, and add a new node id")

// refusedError carries the reason that the other side sent.
type refusedError struct {
	reason  string
	removed bool // this node was removed from the cluster
}

func (e *refusedError) Error() string { return "cluster: the peer refuses this node: " + e.reason }

func lengthPrefixed(s string) []byte {
	if len(s) > 255 {
		s = s[:255]
	}
	return append([]byte{byte(len(s))}, s...)
}

// offerHandshake introduces this node and returns the hello of the other one.
func offerHandshake(rw io.ReadWriter, clusterID, nodeID, own string) (theirs string, err error) {
	msg := []byte(handshakeMagic)
	for _, s := range []string{clusterID, nodeID, own} {
		msg = append(msg, lengthPrefixed(s)...)
	}
	if _, err := rw.Write(msg); err != nil {
		return "", fmt.Errorf("handshake: %w", err)
	}
	var reply [1]byte
	if _, err := io.ReadFull(rw, reply[:]); err != nil {
		return "", fmt.Errorf("handshake: %w", err)
	}
	text, err := readLengthPrefixed(rw)
	if err == nil && reply[0] != handshakeAccepted {
		err = &refusedError{text, reply[0] == handshakeRemoved}
	}
	return text, err
}

// acceptHandshake calls admit with the hello of the other side, and replies.
func acceptHandshake(rw io.ReadWriter, clusterID, nodeID, own string, admit func(text string) error) error {
	text, err := readHandshake(rw, clusterID, nodeID)
	if err == nil {
		err = admit(text)
	}
	reply := append([]byte{handshakeAccepted}, lengthPrefixed(own)...)
	if err != nil {
		code := byte(handshakeRefused)
		if errors.Is(err, errRemoved) {
			code = handshakeRemoved
		}
		reply = append([]byte{code}, lengthPrefixed(err.Error())...)
	}
	_, werr := rw.Write(reply)
	return errors.Join(err, werr)
}

func readHandshake(r io.Reader, clusterID, nodeID string) (text string, err error) {
	var magic [len(handshakeMagic)]byte
	if _, err := io.ReadFull(r, magic[:]); err != nil {
		return "", fmt.Errorf("handshake: %w", err)
	}
	if string(magic[:]) != handshakeMagic {
		return "", errors.New("handshake: not a Raft stream of this version")
	}
	var part [3]string
	for i := range part {
		if part[i], err = readLengthPrefixed(r); err != nil {
			return "", err
		}
	}
	if part[0] != clusterID {
		return "", fmt.Errorf("handshake: peer belongs to cluster %q", part[0])
	}
	if part[1] != nodeID {
		return "", fmt.Errorf("handshake: peer says it is %q, its certificate says %q", part[1], nodeID)
	}
	return part[2], nil
}

func readLengthPrefixed(r io.Reader) (string, error) {
	var n [1]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return "", fmt.Errorf("handshake: %w", err)
	}
	buf := make([]byte, n[0])
	if _, err := io.ReadFull(r, buf); err != nil {
		return "", fmt.Errorf("handshake: %w", err)
	}
	return string(buf), nil
}
