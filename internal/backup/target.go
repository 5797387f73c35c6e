package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/recount-ledger/recount/internal/osfile"
)

// Target keeps objects under names with slashes. It never has a part of an object.
type Target interface {
	// Put stores what write writes. When it returns nil, the object survives a power loss. It replaces an object of that
	// name. An error of write leaves the target as it was.
	Put(ctx context.Context, name string, write func(io.Writer) error) error
	// Open reads an object. It fails with ErrAbsent.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// Size returns the size of an object in bytes. It fails with ErrAbsent.
	Size(ctx context.Context, name string) (int64, error)
	// List returns the names that begin with prefix, which ends with a slash, in order.
	List(ctx context.Context, prefix string) ([]string, error)
	Remove(ctx context.Context, name string) error
	// Lock keeps others from writing and removing until unlock. It fails with ErrLocked at once if it is held.
	Lock(ctx context.Context) (unlock func() error, err error)
}

// ErrLocked means that another backup, or a removal of old ones, works on the target.
var ErrLocked = errors.New("backup: another backup or prune works on this target; wait until it has ended")

// Dir is a target in a directory of a file system.
type Dir struct{ root string }

// lockName is the file that is locked.
const lockName = "lock"

// newPrefix begins the names of files that are being written.
const newPrefix = "new-"

// CreateDir returns the target in a directory, which it makes. It refuses a directory with other things in it.
func CreateDir(root string) (*Dir, error) {
	if err := makeDir(root); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case name == lockName, name == "files", name == "manifests", name == "lost+found", strings.HasPrefix(name, newPrefix):
		default:
			return nil, fmt.Errorf("%s is no target of backups: it has %q in it; name an empty directory", root, name)
		}
	}
	for _, name := range []string{"files", "manifests"} {
		if err := makeDir(filepath.Join(root, name)); err != nil {
			return nil, err
		}
	}
	return &Dir{root}, nil
}

// OpenDir returns the target in a directory that has one.
func OpenDir(root string) (*Dir, error) {
	if _, err := os.Stat(filepath.Join(root, "manifests")); err != nil {
		return nil, fmt.Errorf("%s has no backups: %w", root, err)
	}
	return &Dir{root}, nil
}

func (d *Dir) path(name string) string { return filepath.Join(d.root, filepath.FromSlash(name)) }

// Put implements Target.
func (d *Dir) Put(_ context.Context, name string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(d.root, newPrefix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	to := d.path(name)
	if err := makeDir(filepath.Dir(to)); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), to); err != nil {
		return err
	}
	return errors.Join(f.Close(), syncDir(filepath.Dir(to)))
}

func absent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	return err
}

// Open implements Target.
func (d *Dir) Open(_ context.Context, name string) (io.ReadCloser, error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, absent(err)
	}
	return f, nil
}

// Size implements Target.
func (d *Dir) Size(_ context.Context, name string) (int64, error) {
	info, err := os.Stat(d.path(name))
	if err != nil {
		return 0, absent(err)
	}
	return info.Size(), nil
}

// List implements Target. It refuses a link. What is behind one would be missing from the list, and Prune would remove
// what it needs.
func (d *Dir) List(_ context.Context, prefix string) (names []string, err error) {
	err = filepath.WalkDir(d.path(prefix), func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil || e.IsDir():
			return err
		case !e.Type().IsRegular():
			return fmt.Errorf("%s is a link or a special file; a target has only files and directories", path)
		}
		rel, err := filepath.Rel(d.root, path)
		names = append(names, filepath.ToSlash(rel))
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}

// Remove implements Target.
func (d *Dir) Remove(_ context.Context, name string) error {
	if err := os.Remove(d.path(name)); err != nil {
		return absent(err)
	}
	return syncDir(filepath.Dir(d.path(name)))
}

// Lock implements Target. It also removes what an interrupted Put has left.
func (d *Dir) Lock(context.Context) (unlock func() error, err error) {
	f, err := os.OpenFile(d.path(lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := osfile.Lock(f); err != nil {
		if errors.Is(err, osfile.ErrLocked) {
			err = ErrLocked
		}
		return nil, errors.Join(err, f.Close())
	}
	if err := removePrefixed(d.root, newPrefix); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil // closing gives the lock back
}
