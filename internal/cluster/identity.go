package cluster

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/recount-ledger/recount/internal/durable"
)

// IdentityFile is the file in a node's directory that names its owner. It is written before the first log entry
// and never again.
const IdentityFile = "node.json"

// refusedFile keeps the identity of a first start that another node refused. Nodes that have accepted it know
// this node by it, so the next first start uses it again.
const refusedFile = "node-refused.json"

const identityFormat = 1

// identity is the content of IdentityFile. Incarnation is drawn once for a directory. By it, peers recognize
// that a node still has the disk on which its promises to them are stored.
type identity struct {
	Format      int       `json:"format"`
	ClusterID   string    `json:"cluster_id"`
	NodeID      string    `json:"node_id"`
	Incarnation string    `json:"incarnation"` // 128 random bits, hex
	Created     time.Time `json:"created"`
	Sum         string    `json:"sum"` // SHA-256 of this document with an empty sum, hex
}

func (i *identity) sum() *string { return &i.Sum }
func (i *identity) newest() int  { return identityFormat }

// summed is a document with a checksum of itself.
type summed interface {
	sum() *string
	newest() int // the newest format that this release reads
}

func newIdentity(cfg *Config) identity {
	var random [16]byte
	rand.Read(random[:])
	return identity{Format: identityFormat, ClusterID: cfg.ClusterID, NodeID: cfg.NodeID,
		Incarnation: hex.EncodeToString(random[:]), Created: cfg.Clock().UTC().Round(0)}
}

// CheckDirectory compares the identity in a node's directory, if there is one, with the settings. It changes
// nothing.
func CheckDirectory(dir, clusterID, nodeID string) error {
	_, _, err := readIdentity(dir, clusterID, nodeID)
	return err
}

// readIdentity reads and checks the identity of the directory. found is false if there is none.
func readIdentity(dir, clusterID, nodeID string) (id identity, found bool, err error) {
	found, err = readSummed(filepath.Join(dir, IdentityFile), &id)
	switch {
	case err != nil || !found:
		return id, false, err
	case id.Format != identityFormat:
		return id, true, fmt.Errorf("%w: %s has format %d, this release knows %d; run the release that wrote it",
			ErrInconsistent, IdentityFile, id.Format, identityFormat)
	case id.ClusterID != clusterID || id.NodeID != nodeID:
		return id, true,
			fmt.Errorf("%w: %s is the directory of node %q of cluster %q, the settings say node %q of cluster %q; "+
				"give every node its own directory back", ErrForeignDirectory, dir, id.NodeID, id.ClusterID,
				nodeID, clusterID)
	}
	return id, true, nil
}

// inconsistent returns ErrInconsistent with what was found and what to do. It is for files that this node must not
// start without.
func inconsistent(format string, args ...any) error {
	return fmt.Errorf("%w: %w: leave this node stopped, keep its directory, and go on with the other nodes",
		ErrInconsistent, fmt.Errorf(format, args...))
}

// readSummed reads a document and checks its format and its sum.
func readSummed(path string, into summed) (found bool, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cluster: %w", err)
	}
	if err := knownFormat(path, raw, into.newest()); err != nil {
		return false, err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return false, inconsistent("%s is damaged: %w", path, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return false, inconsistent("%s is damaged: something follows its end", path)
	}
	want := *into.sum()
	if err := setSum(into); err != nil {
		return false, err
	}
	if *into.sum() != want {
		return false, inconsistent("%s is damaged: its sum does not fit", path)
	}
	return true, nil
}

// knownFormat refuses a document of a later format, whose members this release does not know, before they look like
// damage.
func knownFormat(path string, raw []byte, known int) error {
	var head struct {
		Format int `json:"format"`
	}
	if json.Unmarshal(raw, &head) == nil && head.Format > known {
		return inconsistent("%s has format %d, this release knows %d: run the release that wrote it, unless none has",
			path, head.Format, known)
	}
	return nil
}

func setSum(d summed) error {
	*d.sum() = ""
	raw, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	h := sha256.Sum256(raw)
	*d.sum() = hex.EncodeToString(h[:])
	return nil
}

// writeSummed replaces a document durably and atomically.
func writeSummed(path string, d summed) error {
	if err := setSum(d); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	if err := durable.WriteFile(path, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	return nil
}

// admitDirectory decides whether the node may run on its directory. Either the directory is the one that the
// node has always had, or it is empty and the operator declares the node new. unfinished means that an earlier start
// founded no cluster, or was not added to one, yet. The other nodes may still refuse
// it, see askIfNew. admitDirectory returns the identity, which is written before anything else.
func admitDirectory(cfg *Config, last uint64, unfinished bool) (identity, error) {
	id, found, err := readIdentity(cfg.Dir, cfg.ClusterID, cfg.NodeID)
	switch {
	case err != nil:
		return id, err
	case found && last == 0 && !unfinished:
		return id, fmt.Errorf("%w: %s is there, the log is empty", ErrLostLog, IdentityFile)
	case found:
		return id, nil
	case last > 0:
		return id, inconsistent("there is a log in %s and no %s: files are missing or of an older release", cfg.Dir,
			IdentityFile)
	case !cfg.NewCluster && !cfg.Join && !unfinished:
		return id, fmt.Errorf("%w: %s", ErrEmptyDirectory, cfg.Dir)
	}
	var refused identity
	found, err = readSummed(filepath.Join(cfg.Dir, refusedFile), &refused)
	if err == nil && found && refused.ClusterID == cfg.ClusterID && refused.NodeID == cfg.NodeID {
		return refused, nil
	}
	return newIdentity(cfg), nil
}
