package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// errHeld answers Raft at a node that holds entries back.
var errHeld = errors.New("cluster: this node copies the log from a member first and takes no entries yet")

// isHeld reports whether err is errHeld from a peer. Raft sends errors as texts.
func isHeld(err error) bool { return err != nil && err.Error() == errHeld.Error() }

// Hold is closed while a node that joins with an empty log takes no entries and no requests for votes from Raft, so
// that it can get the log in another way. Its log stays empty and it has voted for nobody.
type Hold struct {
	closed atomic.Bool
	asked  chan struct{} // has a signal after a leader tried to send entries
}

// answer refuses one request of Raft while the hold is closed. It reports whether it did.
func (h *Hold) answer(rpc raft.RPC) bool {
	if !h.closed.Load() {
		return false
	}
	var response any
	switch rpc.Command.(type) {
	case *raft.AppendEntriesRequest:
		response = &raft.AppendEntriesResponse{}
		select {
		case h.asked <- struct{}{}:
		default:
		}
	case *raft.RequestVoteRequest:
		response = &raft.RequestVoteResponse{}
	case *raft.RequestPreVoteRequest:
		response = &raft.RequestPreVoteResponse{}
	case *raft.TimeoutNowRequest:
		response = &raft.TimeoutNowResponse{}
	default:
		return false
	}
	rpc.Respond(response, errHeld)
	return true
}

// Hold returns the hold of this node.
func (c *Cluster) Hold() *Hold { return &c.hold }

// Closed reports whether this node takes no entries from Raft: it joins with an empty log, Config.HoldEntries is set,
// and Release was not called.
func (h *Hold) Closed() bool { return h.closed.Load() }

// Added has a signal after a leader tried to send entries to a node that holds them back. Members send entries only to
// members, so the cluster has added this node.
func (h *Hold) Added() <-chan struct{} { return h.asked }

// Release lets Raft send the entries. There is no way back.
func (h *Hold) Release() { h.closed.Store(false) }

// Joining reports whether dir belongs to a node that joins and has not started on a log yet.
func Joining(dir string) (bool, error) { return exists(filepath.Join(dir, joiningName)) }

// adoptTerm prepares the stable store of a node whose log was put in its place while it joined. With its last entry, a
// leader would have told it the term of that entry, too. The node has voted in no term.
func adoptTerm(logs LogStore, stable *stableStore, last uint64) error {
	term, voted, err := readStable(stable)
	if err != nil {
		return err
	}
	var entry raft.Log
	if err := logs.GetLog(last, &entry); err != nil {
		return fmt.Errorf("cluster: last entry %d: %w", last, err)
	}
	if voted != 0 || term >= entry.Term {
		return nil // checkStores compares them
	}
	if err := stable.SetUint64(keyTerm, entry.Term); err != nil {
		return fmt.Errorf("cluster: stable store: %w", err)
	}
	return nil
}
