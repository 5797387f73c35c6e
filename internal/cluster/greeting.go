package cluster

import (
	"errors"
	"fmt"
	"io"
)

// A Raft stream opens with a greeting: "RCR1", then cluster id and node id, each with a length byte. The accepting side
// answers one byte. Raft's own messages carry no cluster id, so this keeps two clusters apart that share a CA and names.
const (
	greetingMagic = "RCR1"
	greetingOK    = 0x06
	greetingBad   = 0x15
)

var errGreeting = errors.New("cluster: peer refused the Raft stream; do both nodes have the same cluster id?")

func writeGreeting(rw io.ReadWriter, clusterID, nodeID string) error {
	msg := append([]byte(greetingMagic), byte(len(clusterID)))
	msg = append(msg, clusterID...)
	msg = append(msg, byte(len(nodeID)))
	msg = append(msg, nodeID...)
	if _, err := rw.Write(msg); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	var answer [1]byte
	if _, err := io.ReadFull(rw, answer[:]); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	if answer[0] != greetingOK {
		return errGreeting
	}
	return nil
}

func readGreeting(rw io.ReadWriter, clusterID, nodeID string) error {
	err := checkGreeting(rw, clusterID, nodeID)
	answer := byte(greetingOK)
	if err != nil {
		answer = greetingBad
	}
	_, werr := rw.Write([]byte{answer})
	return errors.Join(err, werr)
}

func checkGreeting(r io.Reader, clusterID, nodeID string) error {
	var magic [len(greetingMagic)]byte
	if _, err := io.ReadFull(r, magic[:]); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	if string(magic[:]) != greetingMagic {
		return errors.New("greeting: not a Raft stream of this version")
	}
	cluster, err := readShort(r)
	if err != nil {
		return err
	}
	node, err := readShort(r)
	if err != nil {
		return err
	}
	if cluster != clusterID {
		return fmt.Errorf("greeting: peer belongs to cluster %q", cluster)
	}
	if node != nodeID {
		return fmt.Errorf("greeting: peer says it is %q, its certificate says %q", node, nodeID)
	}
	return nil
}

func readShort(r io.Reader) (string, error) {
	var n [1]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return "", fmt.Errorf("greeting: %w", err)
	}
	buf := make([]byte, n[0])
	if _, err := io.ReadFull(r, buf); err != nil {
		return "", fmt.Errorf("greeting: %w", err)
	}
	return string(buf), nil
}
