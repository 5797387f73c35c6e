package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/recount-ledger/recount/internal/durable"
)

// ErrNoPromises means that a directory does not tell any more what its node promised to others.
var ErrNoPromises = errors.New("cluster: the files in which this node keeps its promises to the others are not whole")

// Promises reads what a stopped node has promised besides its entries: the newest term that it knows, and in the same
// file its vote. It also reads what the node knows of the others. stable is a directory for a copy, which Promises
// makes, because opening the stable store writes into it. Every fault of a file is ErrNoPromises.
func Promises(dir, stable string) (term uint64, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrNoPromises, err)
		}
	}()
	for _, marker := range []string{markerName, joiningName} {
		if marked, err := exists(filepath.Join(dir, marker)); err != nil || marked {
			return 0, errors.Join(err, fmt.Errorf("the node has not begun to work on a log yet (file %s)", marker))
		}
	}
	if _, err := readMembers(filepath.Join(dir, membersName)); err != nil {
		return 0, err
	}
	// openStable takes a missing file for that of a new node.
	info, err := os.Stat(filepath.Join(dir, "stable", votesName))
	if err != nil {
		return 0, err
	}
	if info.Size() == 0 {
		return 0, fmt.Errorf("the file %s is empty", votesName)
	}
	if _, err := durable.CopyStore(filepath.Join(dir, "stable"), stable); err != nil {
		return 0, err
	}
	s, err := openStable(filepath.Join(stable, stableName))
	if err != nil {
		return 0, err
	}
	term, _, err = readStable(s)
	if err = errors.Join(err, s.Close()); err == nil && term == 0 {
		err = fmt.Errorf("%s has no term: %w", votesName, fs.ErrInvalid)
	}
	return term, err
}

// RaiseTerm makes a stopped node know a term, unless it knows a later one. The vote stays: it is of an earlier
// term, so the node may still vote in the new one. That is what a message of a leader of that term does.
func RaiseTerm(dir string, term uint64) error {
	path := filepath.Join(dir, "stable")
	s, err := openStable(filepath.Join(path, stableName))
	if err != nil {
		return err
	}
	now, err := s.GetUint64(keyTerm)
	if err == nil && now < term {
		err = s.SetUint64(keyTerm, term)
	}
	return errors.Join(err, s.Close(), durable.SyncDir(nil, path))
}
