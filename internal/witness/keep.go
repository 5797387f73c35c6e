package witness

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/osfile"
)

// KeepCheckpoint makes a signed checkpoint the newest one of its ledger in dir. The caller has checked it and the one
// before. It is for others than a witness, such as an auditor, in a directory that List reads.
func KeepCheckpoint(dir string, note []byte) error {
	c, err := evidence.ParseCheckpoint(textOf(string(note)))
	if err != nil {
		return err
	}
	s, err := made(dir)
	if err != nil {
		return err
	}
	return s.putLedger(seen{checkpoint: c, note: note})
}

// KeptCheckpoints returns the newest checkpoint of each ledger in a directory. It checks no signature. A directory that
// is not there has none. Files that cannot be read as checkpoints are ErrDamaged.
func KeptCheckpoints(dir string) (notes [][]byte, err error) {
	list, err := readLedgers(dir, nil)
	for _, l := range list {
		notes = append(notes, l.note)
	}
	return notes, err
}

// NewFork describes two checkpoints of one ledger, with the hashes that show that they contradict each other if there
// are any. kept has at most as many events as refused. The caller has checked the signatures.
func NewFork(kept, refused []byte, proof [][32]byte, at time.Time) (Fork, error) {
	old, err := evidence.ParseCheckpoint(textOf(string(kept)))
	if err != nil {
		return Fork{}, err
	}
	next, err := evidence.ParseCheckpoint(textOf(string(refused)))
	if err != nil {
		return Fork{}, err
	}
	if old.Origin != next.Origin || old.Size > next.Size {
		return Fork{}, fmt.Errorf("%w: %s with %d events and %s with %d", evidence.ErrFormat, old.Origin, old.Size,
			next.Origin, next.Size)
	}
	l := seen{checkpoint: old, note: kept}
	return newFork(&l, Request{Proof: proof, Note: refused}, evidence.ProvesFork(old, next, proof), at), nil
}

// KeepFork makes a fork durable in dir, in a directory that List reads, and returns the path of its file. Beyond the
// bound of a witness it keeps none, and the path is "".
func KeepFork(dir string, f Fork) (path string, err error) {
	s, err := made(dir)
	if err != nil {
		return "", err
	}
	if _, err := s.putFork(f); err != nil {
		return "", err
	}
	path, _ = s.forkFile(f)
	if _, err := os.Stat(path); err != nil {
		return "", nil
	}
	return path, nil
}

// made makes the directories of a store, without its lock.
func made(dir string) (*store, error) {
	for _, d := range []string{dir, filepath.Join(dir, ledgersDir), filepath.Join(dir, forksDir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
		if err := osfile.SyncDir(filepath.Dir(d)); err != nil {
			return nil, err
		}
	}
	return &store{dir: dir}, nil
}
