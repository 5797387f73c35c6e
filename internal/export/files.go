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

// ErrExists means that the directory is there already and has files.
var ErrExists = errors.New("export: the directory is there already and is not empty")

// sink writes one file and knows its size and hash.
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

// Write goes to the file and into the hash.
func (s *sink) Write(b []byte) (int, error) {
	s.sum.Write(b)
	s.size += int64(len(b))
	return s.buf.Write(b)
}

// end puts the file on disk.
func (s *sink) end() (File, error) {
	err := errors.Join(s.buf.Flush(), s.file.Sync(), s.file.Close())
	return File{Name: s.name, Size: s.size, SHA256: hex.EncodeToString(s.sum.Sum(nil))}, err
}

// writeFile is a sink for one text.
func writeFile(dir, name string, text []byte) (File, error) {
	s, err := newSink(dir, name)
	if err != nil {
		return File{}, err
	}
	_, err = s.Write(text)
	f, ended := s.end()
	return f, errors.Join(err, ended)
}

// free reports whether dir may become an export: it is not there, or empty.
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

// place gives a finished directory its name.
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

// syncDir makes the names in a directory durable. File systems that know no such thing say so; their names are as they are.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = d.Sync()
	return d.Close()
}

// sumFile hashes a file.
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
