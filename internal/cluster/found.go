package cluster

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/durable"
)

// Founding describes the first node of a cluster that is founded with the log of another one.
type Founding struct {
	Dir               string // of the node; the log is in it already
	ClusterID, NodeID string
	PeerAddr          string // host:port at which later members reach the node
	Created           time.Time
}

// ErrUsedID means that the log names a node of this id already. Ids are never used again, also not in a cluster that
// goes on with the log.
var ErrUsedID = errors.New("cluster: this node id is in the log already; choose one that was never used")

// CheckUnusedID returns ErrUsedID if a node of this id is or was a member, by the state folded up to the end of a log.
func CheckUnusedID(meta MetaSource, id string) error {
	_, _, encoded, _ := meta.Meta()
	config, err := decodeConfiguration(encoded)
	if err != nil {
		return err
	}
	_, member := newConfiguration(0, config.Servers).member(id)
	if member || meta.Removed(id) != 0 {
		return fmt.Errorf("%w: %q", ErrUsedID, id)
	}
	return nil
}

// FoundingLog is the log of a cluster that is being founded. *log.Store implements it.
type FoundingLog interface {
	raft.LogStore
	CommittedTo(index uint64)
}

// Found appends to a log, all of which is committed, one entry with data and a configuration of a single voter. Then it
// writes what else a node has in its directory. node.json comes last: without it a node refuses the directory, so one
// that a crash has left half done cannot start.
//
// Both entries have a term of their own, which is drawn: the same log may found two clusters, by mistake under one id. Raft
// takes two entries of one index and term for the same, so in the same term it would join the two histories without a
// sound. With the node as the only voter they are committed once they are durable.
func Found(f Founding, logs FoundingLog, data []byte) error {
	last, err := logs.LastIndex()
	if err != nil {
		return err
	}
	var end raft.Log
	if err := logs.GetLog(last, &end); err != nil {
		return fmt.Errorf("cluster: entry %d: %w", last, err)
	}
	term := end.Term + drawnTerm()
	logs.CommittedTo(last)
	first := &raft.Log{Index: last + 1, Term: term, Type: raft.LogCommand, Data: data, AppendedAt: f.Created}
	if err := logs.StoreLog(first); err != nil {
		return err
	}
	logs.CommittedTo(last + 1) // the next entry remembers it, so a start folds this one before it looks at the names
	config := raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter,
		ID:       raft.ServerID(f.NodeID),
		Address:  raft.ServerAddress(f.PeerAddr),
	}}}
	second := &raft.Log{Index: last + 2, Term: term, Type: raft.LogConfiguration,
		Data: raft.EncodeConfiguration(config), AppendedAt: f.Created}
	if err := logs.StoreLog(second); err != nil {
		return err
	}
	if err := foundStable(filepath.Join(f.Dir, "stable"), term); err != nil {
		return err
	}
	cfg := &Config{ClusterID: f.ClusterID, NodeID: f.NodeID, Clock: func() time.Time { return f.Created }}
	id := newIdentity(cfg)
	return writeSummed(filepath.Join(f.Dir, IdentityFile), &id)
}

// drawnTerm returns a random number of terms, from 1 to 2^32.
func drawnTerm() uint64 {
	var random [4]byte
	rand.Read(random[:])
	return 1 + uint64(binary.BigEndian.Uint32(random[:]))
}

// foundStable writes the term of a node that has voted for nobody.
func foundStable(dir string, term uint64) error {
	if err := durable.MkdirAll(nil, dir, 0o700); err != nil {
		return err
	}
	s, err := openStable(filepath.Join(dir, stableName))
	if err != nil {
		return err
	}
	return errors.Join(s.SetUint64(keyTerm, term), s.Close(), durable.SyncDir(nil, dir))
}
