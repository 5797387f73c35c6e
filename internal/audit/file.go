package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// stampLayout is the suffix of a rotated file, after its name and a dot: the time of its rotation, UTC.
const stampLayout = "20060102T150405.000000000Z"

// file is the current file of the stream. Only the writer uses it.
type file struct {
	name   string
	f      *os.File // nil after a failed open; the next append tries again
	size   int64
	torn   bool // the last line may be cut off
	failed bool // the last operation failed
}

func (a *file) open(name string) error {
	a.name = name
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	a.f, a.size, a.torn = f, info.Size(), false
	var last [1]byte
	if a.size > 0 {
		_, err = f.ReadAt(last[:], a.size-1)
		a.torn = err != nil || last[0] != '\n' // an earlier process died in the middle of a line
	}
	return nil
}

// append writes whole lines. After a failure it starts the next lines on a new line.
func (a *file) append(lines []byte) error {
	if a.f == nil {
		if err := a.open(a.name); err != nil {
			return err
		}
	}
	if a.torn {
		lines = append([]byte("\n"), lines...)
	}
	n, err := a.f.Write(lines)
	a.size += int64(n)
	a.torn = err != nil && (n > 0 || a.torn)
	return err
}

// rotate renames the file to a name with the time and starts a new one.
func (a *file) rotate(now time.Time) error {
	if a.f == nil {
		return nil
	}
	if err := a.f.Sync(); err != nil {
		return err
	}
	for {
		old := a.name + "." + now.UTC().Format(stampLayout)
		if _, err := os.Lstat(old); errors.Is(err, fs.ErrNotExist) {
			if err := os.Rename(a.name, old); err != nil {
				return err
			}
			return errors.Join(a.close(), a.open(a.name))
		}
		now = now.Add(time.Nanosecond)
	}
}

func (a *file) close() error {
	if a.f == nil {
		return nil
	}
	err := errors.Join(a.f.Sync(), a.f.Close())
	a.f = nil
	return err
}

// sweep deletes the files that were rotated from name before a time: regular files whose names are this name, a
// dot and a time as rotate writes it. It deletes nothing else.
func sweep(name string, before time.Time) (gone []string, err error) {
	dir, base := filepath.Split(name)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, e := range entries {
		stamp, ok := strings.CutPrefix(e.Name(), base+".")
		at, err := time.Parse(stampLayout, stamp)
		if !ok || err != nil || at.Format(stampLayout) != stamp || !e.Type().IsRegular() || !at.Before(before) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			errs = append(errs, err)
			continue
		}
		gone = append(gone, e.Name())
	}
	return gone, errors.Join(errs...)
}
