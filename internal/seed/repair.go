package seed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/wire"
)

// Names of a repair.
const (
	repairName    = "events.repair"
	switchName    = "switching"
	damagedPrefix = eventsName + ".damaged-"
)

// ErrNoCopy means that no member gave a copy of the log. The error says what each of them answered.
var ErrNoCopy = errors.New("seed: no member gives a copy of the log")

// ErrSwitching means that a repair has begun to put another log in place and was interrupted. A node does not
// start then.
var ErrSwitching = errors.New("seed: a repair of this node was interrupted while it put the new log in place; " +
	"finish it with recount-node repair, with the settings of the node")

// Fetch copies the log of a member below events.repair/, up to entry AtLeast at least. Parts of an earlier Fetch
// are used again. What fails is tried again, also with other members, up to five rounds in which nothing came. The
// error is ErrNoCopy, ctx's error, or that of the own disk.
func (r *Receiver) Fetch(ctx context.Context) error {
	if err := os.Remove(filepath.Join(r.dir(), readyName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // it may say that an older copy is ready
	}
	failed, wait := 0, tryAgain
	for {
		before := r.Status().Received
		out, err := r.round(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case out == Copied:
			return nil
		case errors.Is(err, errNoRoom), errors.Is(err, errWrite):
			return err
		case err == nil:
			return fmt.Errorf("%w: no node of the settings knows this node as a member and keeps copies", ErrNoCopy)
		case errors.Is(err, errBehind), r.Status().Received > before:
			failed = 0
		default:
			failed++
		}
		r.fail(err)
		if failed >= giveUp {
			return fmt.Errorf("%w: %w", ErrNoCopy, err)
		}
		_ = pause.For(ctx, wait) // the next round sees the end of ctx
		if errors.Is(err, errBehind) {
			wait = min(2*wait, time.Minute) // a source makes a bounded number of copies
		}
	}
}

// RepairDir creates and returns the directory of a repair, and a lock that keeps other repairs out.
func RepairDir(dir string) (path string, unlock func() error, err error) {
	path = filepath.Join(dir, repairName)
	if err := durable.MkdirAll(nil, path, 0o700); err != nil {
		return "", nil, err
	}
	lock, err := durable.LockStore(path)
	if err != nil {
		return "", nil, err
	}
	return path, lock.Close, nil
}

// LogDir returns the directory of the copy that Fetch makes for the node in dir.
func LogDir(dir string) string { return filepath.Join(dir, repairName, logName) }

// Position returns the last entry of the copy that Fetch has completed for the node in dir.
func Position(dir string) (wire.CopyPosition, error) {
	p, err := readPlan(filepath.Join(dir, repairName))
	return p.Copy.Position, err
}

// switched is the content of the file switching.
type switched struct {
	Damaged string `json:"damaged"` // name of the directory that keeps the damaged log
}

// CheckSwitch returns ErrSwitching if a repair of the node in dir was interrupted while it put the new log in place.
func CheckSwitch(dir string) error {
	begun, err := there(filepath.Join(dir, repairName, switchName))
	if err == nil && begun {
		err = ErrSwitching
	}
	return err
}

// Switch puts the copy that Fetch has made in the place of the log of the node in dir, and keeps that log under a
// new name, which it returns. It first removes what was folded from the old log. Before the first change it makes
// a file durable by which CheckSwitch keeps the node from starting until EndRepair, and Switch goes on after a
// crash. The caller has checked that the copy is the right one, and holds the lock of RepairDir.
func Switch(dir string, step func(string) error) (damaged string, err error) {
	repair, events := filepath.Join(dir, repairName), filepath.Join(dir, eventsName)
	if damaged, err = beginSwitch(dir); err != nil {
		return "", err
	}
	kept := filepath.Join(dir, damaged)
	copied, err := there(filepath.Join(repair, logName))
	if err != nil {
		return "", err
	}
	if copied {
		if err := dropFolds(dir, step); err != nil {
			return "", err
		}
		if err := renameOnce(events, kept); err != nil {
			return "", err
		}
		if err := step("kept the damaged log"); err != nil {
			return "", err
		}
		if err := os.Rename(filepath.Join(repair, logName), events); err != nil {
			return "", err
		}
		if err := errors.Join(durable.SyncDir(nil, dir), durable.SyncDir(nil, repair)); err != nil {
			return "", err
		}
	}
	return damaged, step("switched")
}

// EndRepair removes the directory of a repair. A node may start then.
func EndRepair(dir string) error {
	return errors.Join(clearName(filepath.Join(dir, avoidName)), os.RemoveAll(filepath.Join(dir, repairName)), durable.SyncDir(nil, dir))
}

// beginSwitch writes the file that says under which name the damaged log is kept, or reads it.
func beginSwitch(dir string) (damaged string, err error) {
	var s switched
	path := filepath.Join(dir, repairName, switchName)
	raw, err := os.ReadFile(path)
	switch {
	case err == nil:
		if err := json.Unmarshal(raw, &s); err != nil || !strings.HasPrefix(s.Damaged, damagedPrefix) ||
			filepath.Base(s.Damaged) != s.Damaged {
			return "", fmt.Errorf("%s is damaged: it does not name the directory of the damaged log", path)
		}
		return s.Damaged, nil
	case !errors.Is(err, os.ErrNotExist):
		return "", err
	}
	for n := 1; ; n++ {
		s.Damaged = fmt.Sprint(damagedPrefix, n)
		if used, err := there(filepath.Join(dir, s.Damaged)); err != nil {
			return "", err
		} else if !used {
			break
		}
	}
	if raw, err = json.Marshal(s); err != nil {
		return "", err
	}
	return s.Damaged, durable.WriteFile(path, raw, 0o600)
}

// dropFolds removes what was folded from the damaged log. The node folds all of it again, and compares the digests
// with those in the log and with the other members.
func dropFolds(dir string, step func(string) error) error {
	for _, name := range []string{"derived", "generations"} {
		path := filepath.Join(dir, name)
		if err := durable.RemoveDir(nil, path, filepath.Join(dir, repairName, name)); err != nil {
			return err
		}
		if err := step("dropped " + name); err != nil {
			return err
		}
	}
	return nil
}

// renameOnce renames a directory unless an earlier process did.
func renameOnce(from, to string) error {
	done, err := there(to)
	if err != nil || done {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return durable.SyncDir(nil, filepath.Dir(to))
}
