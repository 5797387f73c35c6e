package cluster

import (
	"errors"
	"io"
	"log/slog"

	"github.com/hashicorp/raft"
)

var errSnapshotBytes = errors.New("cluster: synthetic snapshots have no bytes; seed the node")

const snapshotID = "applied"

// snapshotStore presents the durable applied state as one snapshot without bytes, so that Raft starts from
// there instead of reading the whole log. It rejects every use that would need bytes.
type snapshotStore struct {
	meta MetaSource
	log  *slog.Logger
}

// Create returns a sink for zero bytes, because the state is already durable.
func (s *snapshotStore) Create(raft.SnapshotVersion, uint64, uint64, raft.Configuration, uint64,
	raft.Transport) (raft.SnapshotSink, error) {
	return emptySink{}, nil
}

// List returns one element if something was applied.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	index, term, encoded, configIndex := s.meta.Meta()
	if index == 0 {
		return nil, nil
	}
	config, err := decodeConfiguration(encoded)
	if err != nil {
		return nil, err
	}
	return []*raft.SnapshotMeta{{
		Version:            1,
		ID:                 snapshotID,
		Index:              index,
		Term:               term,
		Configuration:      config,
		ConfigurationIndex: configIndex,
	}}, nil
}

// Open fails. Raft calls it only if a leader lacks entries, which is a disaster.
func (s *snapshotStore) Open(string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.log.Error("cluster: somebody asked for the bytes of a snapshot")
	return nil, nil, errSnapshotBytes
}

// decodeConfiguration converts the library's panic on bad bytes to an error.
func decodeConfiguration(b []byte) (config raft.Configuration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = inconsistent("applied configuration: %v", p)
		}
	}()
	config = raft.DecodeConfiguration(b)
	if len(config.Servers) == 0 {
		err = inconsistent("applied configuration has no servers")
	}
	return config, err
}

type emptySink struct{}

func (emptySink) Write([]byte) (int, error) { return 0, errSnapshotBytes }
func (emptySink) Close() error              { return nil }
func (emptySink) ID() string                { return snapshotID }
func (emptySink) Cancel() error             { return nil }
