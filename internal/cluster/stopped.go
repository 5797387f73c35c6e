package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
)

// Stopped has the contents of the files that a stopped node has beside its log.
type Stopped struct {
	ClusterID, NodeID string
	Term              uint64        // newest term that the node knows
	Configuration     Configuration // newest one of the log
	// Heard has the commit indexes that other members told this node, by member. It has no terms, so the entry of this
	// node at such an index may be another one than the committed one.
	Heard map[string]uint64
}

// ExamineStopped reads the files of the directory dir and compares them with the log as a start does. meta must have
// applied the whole log. The stable store is opened in stable, a copy, because that writes into it.
func ExamineStopped(dir, stable string, logs LogStore, meta MetaSource) (out Stopped, err error) {
	if out.ClusterID, out.NodeID, err = Owner(dir); err != nil {
		return out, err
	}
	last, err := logs.LastIndex()
	if err != nil {
		return out, fmt.Errorf("cluster: last log index: %w", err)
	}
	if last == 0 {
		return out, fmt.Errorf("%w: %s is there, the log is empty", ErrLostLog, IdentityFile)
	}
	s, err := openStable(filepath.Join(stable, stableName))
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := checkStores(logs, &snapshotStore{meta: meta}, s, last); err != nil {
		return out, err
	}
	if out.Term, _, err = readStable(s); err != nil {
		return out, err
	}
	_, _, encoded, index := meta.Meta()
	config, err := decodeConfiguration(encoded)
	if err != nil {
		return out, err
	}
	c := newConfiguration(index, config.Servers)
	out.Configuration = Configuration{Index: index, Members: c.members, Voters: c.voters}
	rows, err := readMembers(filepath.Join(dir, membersName))
	out.Heard = map[string]uint64{}
	for id, row := range rows {
		out.Heard[id] = row.Committed
	}
	return out, err
}

// Owner returns the ids in the identity of a directory. Without one the error is ErrEmptyDirectory.
func Owner(dir string) (clusterID, nodeID string, err error) {
	var id identity
	found, err := readSummed(filepath.Join(dir, IdentityFile), &id)
	if err == nil && !found {
		err = fmt.Errorf("%w: %s", ErrEmptyDirectory, dir)
	}
	if err == nil {
		id, _, err = readIdentity(dir, id.ClusterID, id.NodeID)
	}
	return id.ClusterID, id.NodeID, err
}
