package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/durable"
)

// Keys of Raft's stable store.
var (
	keyTerm     = []byte("CurrentTerm")
	keyVoteTerm = []byte("LastVoteTerm")
)

// Files that mark a directory whose node has no log yet.
const (
	markerName  = "bootstrapping" // it founds a cluster
	joiningName = "joining"       // it waits for a leader
)

// prepareStores makes the directories durable and opens the stable store. It then either bootstraps an empty
// node or checks that the stores of an existing node agree.
func prepareStores(cfg *Config, conf *raft.Config, logs LogStore, snaps *snapshotStore,
	ask func() error) (*stableStore, error) {
	dir := filepath.Join(cfg.Dir, "stable")
	last, err := logs.LastIndex()
	if err != nil {
		return nil, fmt.Errorf("cluster: last log index: %w", err)
	}
	interrupted, err := exists(filepath.Join(cfg.Dir, markerName))
	if err != nil {
		return nil, err
	}
	joining, err := exists(filepath.Join(cfg.Dir, joiningName))
	if err != nil {
		return nil, err
	}
	if cfg.self, err = admitDirectory(cfg, last, interrupted || joining); err != nil {
		return nil, err
	}
	if err := errors.Join(durable.MkdirAll(nil, cfg.Dir, 0o700), durable.MkdirAll(nil, dir, 0o700)); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, stableName)
	stable, err := openStableWith(path, cfg.votes)
	if err != nil {
		return nil, err
	}
	if last == 0 && (joining || cfg.Join) {
		err = join(cfg, snaps, stable, joining, ask)
	} else if last == 0 {
		stable, err = bootstrap(cfg, conf, logs, snaps, stable, path, interrupted, ask)
	} else {
		if joining {
			err = adoptTerm(logs, stable, last)
		}
		err = errors.Join(err, checkStores(logs, snaps, stable, last))
	}
	if err == nil && (interrupted || last == 0) {
		err = removeMarker(cfg.Dir, markerName)
	}
	if err == nil && joining && last > 0 {
		err = removeMarker(cfg.Dir, joiningName)
	}
	if err == nil {
		err = durable.SyncDir(nil, dir)
	}
	if err != nil {
		return nil, errors.Join(err, stable.Close())
	}
	return stable, nil
}

// bootstrap writes the first configuration. The library writes the term first and the entry second. A crash in
// between leaves a node that neither bootstraps nor elects. The marker file tells that case apart from a lost
// disk.
func bootstrap(cfg *Config, conf *raft.Config, logs LogStore, snaps *snapshotStore, stable *stableStore,
	path string, interrupted bool, ask func() error) (*stableStore, error) {
	if index, _, _, _ := snaps.meta.Meta(); index != 0 {
		return stable, inconsistent("applied up to %d, the log is empty", index)
	}
	term, voted, err := readStable(stable)
	if err != nil {
		return stable, err
	}
	if term != 0 || voted != 0 {
		if !interrupted || term != 1 || voted != 0 {
			return stable, fmt.Errorf("%w (term %d, voted in %d)", ErrLostLog, term, voted)
		}
		cfg.Logger.Warn("cluster: repeating an interrupted bootstrap")
		if stable, err = recreateStable(stable, path, cfg.votes); err != nil {
			return stable, err
		}
	}
	if err := askWithIdentity(cfg, markerName, ask); err != nil {
		return stable, err
	}
	var servers []raft.Server
	for _, v := range cfg.Voters {
		servers = append(servers, raft.Server{
			Suffrage: raft.Voter,
			ID:       raft.ServerID(v.ID),
			Address:  raft.ServerAddress(v.PeerAddr),
		})
	}
	if err := raft.BootstrapCluster(conf, logs, stable, snaps, nil, raft.Configuration{Servers: servers}); err != nil {
		return stable, fmt.Errorf("cluster: bootstrap: %w", err)
	}
	return stable, nil
}

// askWithIdentity marks the directory, writes the identity and asks the other nodes whether they know another owner
// of it. It asks only then, because the nodes that are asked may remember the incarnation. After a refusal, the
// directory is as before.
func askWithIdentity(cfg *Config, marker string, ask func() error) error {
	own := filepath.Join(cfg.Dir, IdentityFile)
	if err := writeMarker(cfg.Dir, marker); err != nil {
		return err
	}
	if err := writeSummed(own, &cfg.self); err != nil {
		return err
	}
	err := ask()
	if errors.Is(err, errRefused) {
		return errors.Join(err, os.Rename(own, filepath.Join(cfg.Dir, refusedFile)), removeMarker(cfg.Dir, marker))
	}
	return err
}

// join prepares a node without a log, which waits until a leader sends it entries. It founds nothing and never votes
// before. The marker goes at the first start that finds a log.
func join(cfg *Config, snaps *snapshotStore, stable *stableStore, again bool, ask func() error) error {
	if index, _, _, _ := snaps.meta.Meta(); index != 0 {
		return inconsistent("applied up to %d, the log is empty", index)
	}
	term, voted, err := readStable(stable)
	if err != nil {
		return err
	}
	if voted != 0 || term != 0 && !again {
		return fmt.Errorf("%w (term %d, voted in %d)", ErrLostLog, term, voted)
	}
	return askWithIdentity(cfg, joiningName, ask)
}

// recreateStable returns the old store if the new one cannot be opened. Closing it again is harmless.
func recreateStable(old *stableStore, path string, open openVotesFile) (*stableStore, error) {
	// Remove the votes first: an interrupted bootstrap also leaves a database of term 1 without them.
	if err := errors.Join(old.Close(), os.Remove(filepath.Join(filepath.Dir(path), votesName)),
		os.Remove(path)); err != nil {
		return old, fmt.Errorf("cluster: recreate stable store: %w", err)
	}
	if err := durable.SyncDir(nil, filepath.Dir(path)); err != nil {
		return old, err
	}
	fresh, err := openStableWith(path, open)
	if err != nil {
		return old, err
	}
	return fresh, nil
}

// checkStores compares log, stable store and applied state of a node that has a log.
func checkStores(logs LogStore, snaps *snapshotStore, stable *stableStore, last uint64) error {
	term, _, err := readStable(stable)
	if err != nil {
		return err
	}
	var entry raft.Log
	if err := logs.GetLog(last, &entry); err != nil {
		return fmt.Errorf("cluster: last entry %d: %w", last, err)
	}
	if term < entry.Term {
		return inconsistent("term %d in the stable store, %d in the last entry", term, entry.Term)
	}
	index, appliedTerm, _, configIndex := snaps.meta.Meta()
	if index == 0 {
		return nil
	}
	if index > last || configIndex > index {
		return inconsistent("applied %d, configuration %d, last entry %d", index, configIndex, last)
	}
	if err := logs.GetLog(index, &entry); err != nil {
		return fmt.Errorf("cluster: applied entry %d: %w", index, err)
	}
	if entry.Term != appliedTerm {
		return inconsistent("entry %d has term %d, it was applied with term %d", index, entry.Term, appliedTerm)
	}
	return nil
}

func readStable(s *stableStore) (term, voted uint64, err error) {
	if term, err = s.GetUint64(keyTerm); err != nil {
		return 0, 0, fmt.Errorf("cluster: stable store: %w", err)
	}
	if voted, err = s.GetUint64(keyVoteTerm); err != nil {
		return 0, 0, fmt.Errorf("cluster: stable store: %w", err)
	}
	return term, voted, nil
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cluster: %w", err)
	}
	return true, nil
}

func writeMarker(dir, name string) error {
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("cluster: marker: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("cluster: marker: %w", err)
	}
	return durable.SyncDir(nil, dir)
}

func removeMarker(dir, name string) error {
	if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cluster: marker: %w", err)
	}
	return durable.SyncDir(nil, dir)
}
