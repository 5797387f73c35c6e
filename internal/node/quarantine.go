package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// digestPath is the peer RPC under which a node says what it has folded up to an event.
const digestPath = "/v1/digest"

// digestTimeout bounds how long a comparison of digests waits for a member, its fold included.
const digestTimeout = 10 * time.Second

// quarantineFile holds the reason in the node's directory, so that a restart does not forget it.
const quarantineFile = "quarantine"

var errQuarantinedLeader = errors.New("this node leads but is quarantined; it hands over and stops")

// readQuarantine takes up the quarantine of an earlier run. An operator ends it by examining the node, deleting derived/
// and generations/ when they are to blame, and removing the file.
func (n *Node) readQuarantine() error {
	b, err := os.ReadFile(filepath.Join(n.cfg.Dir, quarantineFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	reason := string(b)
	n.quarantine.Store(&reason)
	n.log.Error("still quarantined from an earlier run; examine the node, then remove the file", "file", quarantineFile, "reason", reason)
	return nil
}

// enterQuarantine makes the node answer no client; it goes on storing and voting.
func (n *Node) enterQuarantine(reason string) {
	if !n.quarantine.CompareAndSwap(nil, &reason) {
		return
	}
	n.log.Error("quarantined: this node answers no client until it is examined", "reason", reason)
	if err := os.WriteFile(filepath.Join(n.cfg.Dir, quarantineFile), []byte(reason), 0o600); err != nil {
		n.log.Error("the quarantine could not be written down", "error", err)
	}
}

// factsMismatch: this node's own keys contradict what another node recorded.
func (n *Node) factsMismatch(seq uint64) {
	n.enterQuarantine(fmt.Sprintf("the signature facts of event %d differ from what this node's keys say", seq))
}

// digestFolded compares digests with the other members when the logged one is not this node's, and always on the leader,
// whose own digest it was. It is called by the fold and must not wait.
func (n *Node) digestFolded(generation uint32, seq uint64, agrees bool) {
	_, leads := n.cluster.IsLeader()
	if agrees && !leads {
		return
	}
	n.running.Go(func() { n.compareDigests(n.ctx, generation, seq) })
}

// compareDigests quarantines this node when a majority of the voters has another digest, or when no majority has any.
func (n *Node) compareDigests(ctx context.Context, generation uint32, seq uint64) {
	r, err := n.gens.await(ctx, generation)
	if err != nil {
		return
	}
	mine, err := n.digestAt(r.Generation, seq)
	if err != nil {
		n.log.Error("could not compute the digest to compare", "seq", seq, "error", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, digestTimeout)
	defer cancel()
	same, other := 1, 0
	for _, v := range n.cfg.Voters {
		if v.ID == n.cfg.NodeID {
			continue
		}
		reply, err := n.cluster.Call(ctx, v.ID, digestPath, digestRequest(generation, seq))
		switch {
		case err != nil:
			n.log.Warn("a member could not be asked for its digest", "member", v.ID, "seq", seq, "error", err)
		case string(reply) == string(mine.bytes()):
			same++
		default:
			other++
			n.log.Error("a member has another digest", "member", v.ID, "seq", seq)
		}
	}
	majority := len(n.cfg.Voters)/2 + 1
	if other > 0 && (other >= majority || same < majority && same+other == len(n.cfg.Voters)) {
		n.enterQuarantine(fmt.Sprintf("the digest at event %d differs from that of %d of %d voters", seq, other, len(n.cfg.Voters)))
	}
}

func (d digests) bytes() []byte {
	return append(append(append(make([]byte, 0, 96), d.log[:]...), d.state[:]...), d.control[:]...)
}

func digestRequest(generation uint32, seq uint64) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, seq), generation)
}

// answerDigest waits until the event is folded here by that generation and answers the three digests at it.
func (n *Node) answerDigest(ctx context.Context, _ string, body []byte) ([]byte, error) {
	if len(body) != 12 {
		return nil, errors.New("a digest request has 12 bytes")
	}
	seq := binary.BigEndian.Uint64(body)
	r, err := n.gens.await(ctx, binary.BigEndian.Uint32(body[8:]))
	if err != nil {
		return nil, err
	}
	if err := r.WaitSeq(ctx, seq); err != nil {
		return nil, err
	}
	d, err := n.digestAt(r.Generation, seq)
	if err != nil {
		return nil, err
	}
	return d.bytes(), nil
}
