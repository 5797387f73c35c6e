package copies

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/recount-ledger/recount/wire"
)

// readStep is the largest read of a file, in bytes.
const readStep = 256 << 10

// File is an open file of a copy. Reads wait as the bound on all reads requires, at most until the context of Open
// ends. It implements io.ReadSeekCloser.
type File struct {
	wire.CopyFile

	f    *os.File
	ctx  context.Context
	pace *pacer
	once sync.Once
	done func()
}

// Read implements io.Reader.
func (f *File) Read(p []byte) (int, error) {
	p = p[:min(len(p), readStep)]
	if err := f.pace.wait(f.ctx, len(p)); err != nil {
		return 0, err
	}
	return f.f.Read(p)
}

// Seek implements io.Seeker.
func (f *File) Seek(offset int64, whence int) (int64, error) { return f.f.Seek(offset, whence) }

// Close ends the use of the copy.
func (f *File) Close() error {
	err := f.f.Close()
	f.once.Do(f.done)
	return err
}

// hashAll sets the hashes of files, and counts the bytes in the answer of c.
func (m *Manager) hashAll(ctx context.Context, c *copyOf, files []file) error {
	for i := range files {
		f := &files[i]
		sum, known := m.sums.of(f)
		if !known {
			var err error
			if sum, err = m.hash(ctx, c, f); err != nil {
				return err
			}
		} else {
			m.addHashed(c, f.Size)
		}
		f.SHA256 = sum
	}
	return nil
}

func (m *Manager) addHashed(c *copyOf, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c.answer.Hashed += bytes
}

// hash hashes a file, and counts its bytes as it reads them: at a low rate, a large table takes minutes.
func (m *Manager) hash(ctx context.Context, c *copyOf, of *file) (string, error) {
	path, size := filepath.Join(c.dir, of.Name), of.Size
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	file := &File{f: f, ctx: ctx, pace: &m.pace, done: func() {}}
	counted := io.TeeReader(file, writeFunc(func(p []byte) { m.addHashed(c, int64(len(p))) }))
	n, err := io.CopyBuffer(sum, counted, make([]byte, readStep))
	if err = errors.Join(err, file.Close()); err != nil {
		return "", err
	}
	if n != size {
		return "", fmt.Errorf("copies: %s has %d bytes and had %d", path, n, size)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// writeFunc is an io.Writer that calls a function.
type writeFunc func([]byte)

// Write implements io.Writer.
func (f writeFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}
