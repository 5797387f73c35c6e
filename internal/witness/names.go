package witness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/osfile"
)

// oldIDOf is the shorter name that files of a ledger had. Another origin with the same one can be made.
func oldIDOf(origin string) string { return idOf(origin)[:16] }

// isLedger reports whether a path has a name of the newest checkpoint of a ledger.
func isLedger(path, origin string) bool {
	name := filepath.Base(path)
	return name == idOf(origin)+noteSuffix || name == oldIDOf(origin)+noteSuffix
}

// ledgerName is a name of the newest checkpoint of a ledger, or of what a write of it has left.
var ledgerName = regexp.MustCompile(`^([0-9a-f]{16}|[0-9a-f]{64})\.note(\.new)?$`)

// ledgerFiles lists the newest checkpoints of all ledgers. Another name is an error: a checkpoint under it would be
// forgotten, and a fork of it cosigned.
func ledgerFiles(dir string) ([]string, error) {
	all, err := filesOf(dir, "")
	if err != nil {
		return nil, err
	}
	for _, path := range all {
		if !ledgerName.MatchString(filepath.Base(path)) {
			return nil, fmt.Errorf("%w: %s is no name of a checkpoint. If it is one, give the file its name back: the "+
				"SHA-256 of the origin in hex, and %s. Move any other file out of the directory", ErrDamaged, path, noteSuffix)
		}
	}
	return filesOf(dir, noteSuffix)
}

// renameOld gives files with shorter names those of now. A file that cannot be read keeps its name, and whoever reads
// the directory finds it.
func renameOld(dir string) error {
	ledgers := func(path string) (origin string, err error) {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		c, err := evidence.ParseCheckpoint(textOf(string(text)))
		return c.Origin, err
	}
	forks := func(path string) (origin string, err error) {
		f, err := ReadFork(path)
		return f.Origin, err
	}
	return errors.Join(renameIn(filepath.Join(dir, ledgersDir), noteSuffix, ledgers),
		renameIn(filepath.Join(dir, forksDir), forkSuffix, forks))
}

func renameIn(dir, suffix string, originOf func(path string) (string, error)) error {
	paths, err := filesOf(dir, suffix)
	if err != nil {
		return err
	}
	renamed := false
	for _, path := range paths {
		origin, err := originOf(path)
		rest, old := strings.CutPrefix(filepath.Base(path), oldIDOf(origin))
		if err != nil || !old || strings.HasPrefix(filepath.Base(path), idOf(origin)) {
			continue
		}
		next := filepath.Join(dir, idOf(origin)+rest)
		if _, err := os.Lstat(next); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("%w: %s and %s are about the same; keep the one with the larger size",
				ErrDamaged, path, next), err)
		}
		if err := os.Rename(path, next); err != nil {
			return err
		}
		renamed = true
	}
	if !renamed {
		return nil
	}
	return osfile.SyncDir(dir)
}
