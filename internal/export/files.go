package export

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	gohash "hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrExists means that the directory already exists and has files.
var ErrExists = errors.New("export: the directory is there already and is not empty")

// sink writes one file and computes its size and hash.
type sink struct {
	name string
	file *os.File
	buf  *bufio.Writer
	sum  gohash.Hash
	size int64
}

func newSink(dir, name string) (*sink, error) {
	f, err := os.OpenFile(filepath.Join(dir, filepath.FromSlash(name)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	s := &sink{name: name, file: f, sum: sha256.New()}
	s.buf = bufio.NewWriterSize(f, 256<<10)
	return s, nil
}

// Write writes to the file and to the hash.
func (s *sink) Write(b []byte) (int, error) {
	s.sum.Write(b)
	s.size += int64(len(b))
	return s.buf.Write(b)
}

// end syncs and closes the file.
func (s *sink) end() (File, error) {
	err := errors.Join(s.buf.Flush(), s.file.Sync(), s.file.Close())
	return File{Name: s.name, Size: s.size, SHA256: hex.EncodeToString(s.sum.Sum(nil))}, err
}

// writeFile writes a file with one text.
func writeFile(dir, name string, text []byte) (File, error) {
	s, err := newSink(dir, name)
	if err != nil {
		return File{}, err
	}
	_, err = s.Write(text)
	f, ended := s.end()
	return f, errors.Join(err, ended)
}

// free returns an error unless dir does not exist or is empty.
func free(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("%w: %s", ErrExists, dir)
	}
	return nil
}

// place renames a finished directory to its final name.
func place(made, dir string) error {
	if err := free(dir); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(made, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// syncDir makes the names in a directory durable. It ignores the error of file systems that do not support
// this.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = d.Sync()
	return d.Close()
}

// sumFile returns the size and the hash of a file.
func sumFile(path string) (size int64, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return size, hex.EncodeToString(h.Sum(nil)), err
}
