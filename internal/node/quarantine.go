package node

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/recount-ledger/recount/internal/agreement"
	"github.com/recount-ledger/recount/internal/durable"
)

// quarantineFile holds the reason in the node's directory, so that a restart does not forget it.
const quarantineFile = "quarantine"

var errQuarantinedLeader = errors.New("this node leads but is quarantined; it hands over and stops")

// readQuarantine takes up the quarantine of an earlier run. An operator ends it by examining the node, deleting
// derived/ and generations/ when they are damaged, and removing the file.
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
	n.log.Error("still quarantined from an earlier run; examine the node, then remove the file",
		"file", quarantineFile, "reason", reason)
	return nil
}

// enterQuarantine stops the node from answering clients. The node continues to store and to vote.
func (n *Node) enterQuarantine(reason string) {
	if !n.quarantine.CompareAndSwap(nil, &reason) {
		return
	}
	n.log.Error("quarantined: this node answers no client until it is examined", "reason", reason)
	if err := durable.WriteFile(filepath.Join(n.cfg.Dir, quarantineFile), []byte(reason), 0o600); err != nil {
		n.log.Error("the quarantine could not be written down", "error", err)
	}
}

// answerDigest waits until that generation has folded the event here and answers the three digests at it.
func (n *Node) answerDigest(ctx context.Context, _ string, body []byte) ([]byte, error) {
	q, err := agreement.ParseRequest(agreement.Digest, body)
	if err != nil {
		return nil, err
	}
	r, err := n.gens.Await(ctx, q.Generation)
	if err != nil {
		return nil, err
	}
	if err := r.WaitSeq(ctx, q.Seq); err != nil {
		return nil, err
	}
	d, err := n.derived.DigestsAt(r.Generation, q.Seq)
	if err != nil {
		return nil, err
	}
	return d.Bytes(), nil
}
