package node

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/recount-ledger/recount/internal/agreement"
	"github.com/recount-ledger/recount/internal/durable"
)

// quarantineFile holds the reason in the node's directory, so that a restart does not forget it.
const quarantineFile = "quarantine"

var errQuarantinedLeader = errors.New("this node leads but is quarantined; it hands over and stops")

// quarantine keeps a node from answering clients until somebody has examined it. The process never ends it.
type quarantine struct {
	dir string // data directory of the node
	log *slog.Logger
	why atomic.Pointer[string] // nil without a quarantine
}

// recall takes up the quarantine of an earlier run. An operator ends it by examining the node, deleting derived/
// and generations/ when they are damaged, and removing the file.
func (q *quarantine) recall() error {
	b, err := os.ReadFile(filepath.Join(q.dir, quarantineFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	reason := string(b)
	q.why.Store(&reason)
	q.log.Error("still quarantined from an earlier run; examine the node, then remove the file",
		"file", quarantineFile, "reason", reason)
	return nil
}

// enter stops the node from answering clients. The node continues to store and to vote. The first reason stays.
func (q *quarantine) enter(reason string) {
	if !q.why.CompareAndSwap(nil, &reason) {
		return
	}
	q.log.Error("quarantined: this node answers no client until it is examined", "reason", reason)
	if err := durable.WriteFile(filepath.Join(q.dir, quarantineFile), []byte(reason), 0o600); err != nil {
		q.log.Error("the quarantine could not be written down", "error", err)
	}
}

// entered reports whether the node is quarantined.
func (q *quarantine) entered() bool { return q.why.Load() != nil }

// check returns the reason for the quarantine as an error, nil without a quarantine.
func (q *quarantine) check() error {
	if why := q.why.Load(); why != nil {
		return errors.New(*why)
	}
	return nil
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
