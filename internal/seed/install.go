package seed

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/log"
)

// Install puts a copy of the log that is ready in the place of the empty log of the node in dir, and reports whether
// it did. No process may have the log open. It finishes an installation that a crash has interrupted. A log that has an
// entry stays.
func Install(dir string, logger *slog.Logger) (done bool, err error) {
	return install(dir, logger, func(string) error { return nil })
}

func install(dir string, logger *slog.Logger, step func(string) error) (done bool, err error) {
	seed, events := filepath.Join(dir, seedName), filepath.Join(dir, eventsName)
	if err := os.RemoveAll(seed + droppedSuffix); err != nil { // of a removal that a crash has interrupted
		return false, err
	}
	ready, err := there(filepath.Join(seed, readyName))
	if err != nil || !ready {
		return false, err
	}
	copied, err := there(filepath.Join(seed, logName))
	if err != nil {
		return false, err
	}
	if copied {
		if err := replace(seed, events, step); err != nil {
			return false, err
		}
		logger.Info("the copy of the log is in place", "dir", events)
	}
	if err := step("installed"); err != nil {
		return false, err
	}
	return copied, errors.Join(clearName(filepath.Join(dir, avoidName)), Remove(dir))
}

// replace renames the copy to events.
func replace(seed, events string, step func(string) error) error {
	old, err := there(events)
	if err != nil {
		return err
	}
	if old {
		if err := checkEmpty(events); err != nil {
			return err
		}
		if err := durable.RemoveDir(nil, events, filepath.Join(seed, "empty")); err != nil {
			return err
		}
	}
	if err := step("removed the empty log"); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(seed, logName), events); err != nil {
		return err
	}
	if err := step("renamed"); err != nil {
		return err
	}
	return errors.Join(durable.SyncDir(nil, filepath.Dir(events)), durable.SyncDir(nil, seed))
}

// checkEmpty refuses a log that has an entry.
func checkEmpty(events string) error {
	s, err := log.Open(events, log.Options{Fatal: func(error) {}})
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	if last > 0 {
		return fmt.Errorf("seed: %s has entries up to %d and beside it is a copy of the log that is ready; keep the log "+
			"and remove %s", events, last, seedName)
	}
	return nil
}

// Remove removes what was copied.
func Remove(dir string) error {
	seed := filepath.Join(dir, seedName)
	return durable.RemoveDir(nil, seed, seed+droppedSuffix)
}

func there(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
