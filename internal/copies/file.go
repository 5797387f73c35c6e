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
			if sum, err = m.hash(ctx, filepath.Join(c.dir, f.Name), f.Size); err != nil {
				return err
			}
		}
		f.SHA256 = sum
		m.mu.Lock()
		c.answer.Hashed += f.Size
		m.mu.Unlock()
	}
	return nil
}

func (m *Manager) hash(ctx context.Context, path string, size int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	file := &File{f: f, ctx: ctx, pace: &m.pace, done: func() {}}
	n, err := io.CopyBuffer(sum, file, make([]byte, readStep))
	if err = errors.Join(err, file.Close()); err != nil {
		return "", err
	}
	if n != size {
		return "", fmt.Errorf("copies: %s has %d bytes and had %d", path, n, size)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
