package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrInUse means that a process has a store open.
var ErrInUse = errors.New("a process has it open; stop the node first")

// LockStore keeps every process, this one too, from opening the store of Pebble in dir until the lock is closed.
func LockStore(dir string) (io.Closer, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	lock, err := vfs.Default.Lock(filepath.Join(dir, "LOCK"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w (%w)", dir, ErrInUse, err)
	}
	return lock, nil
}

// CopyStore copies the files of a closed store of Pebble into the directory to, which it creates, and makes them
// durable. Tables never change, so they become hard links, or copies on another file system. It returns their bytes.
func CopyStore(from, to string) (tables uint64, err error) {
	entries, err := os.ReadDir(from)
	if err != nil {
		return 0, err
	}
	if err := MkdirAll(nil, to, 0o700); err != nil {
		return 0, err
	}
	for _, e := range entries {
		src, dst := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		if e.Name() == "LOCK" || e.IsDir() {
			continue
		}
		table := strings.HasSuffix(e.Name(), ".sst")
		if st, err := e.Info(); err == nil && table {
			tables += uint64(st.Size())
		}
		if table {
			if err := os.Link(src, dst); err == nil {
				continue
			} else if errors.Is(err, fs.ErrExist) {
				return 0, err
			}
		}
		if err := CopyFile(src, dst); err != nil {
			return 0, err
		}
	}
	return tables, SyncDir(nil, to)
}

// CopyFile copies a file to a name that is not there yet, and makes the bytes durable. The name is for SyncDir.
func CopyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
