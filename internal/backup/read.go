package backup

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/recount-ledger/recount/wire"
)

// maxManifest bounds the size of a manifest, in bytes.
const maxManifest = 256 << 20

// List returns the manifests of a target, oldest first. The log only grows, so a longer one is newer, whatever the clocks
// of the machines said. trusted must have signed them all, nil stands for any key. A
// manifest that cannot be read is an error that names it.
func List(ctx context.Context, t Target, trusted ed25519.PublicKey) ([]*Manifest, error) {
	names, err := t.List(ctx, "manifests/")
	if err != nil {
		return nil, err
	}
	var out []*Manifest
	for _, name := range names {
		id, ok := strings.CutSuffix(strings.TrimPrefix(name, "manifests/"), manifestSuffix)
		if !ok || CheckID(id) != nil {
			return nil, fmt.Errorf("%s is in the target and is no manifest", name)
		}
		m, _, err := Read(ctx, t, id, trusted)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *Manifest) int {
		return cmp.Or(cmp.Compare(a.Position.Index, b.Position.Index), strings.Compare(a.ID, b.ID))
	})
	return out, nil
}

// Read returns a manifest and the key that signed it. trusted must have signed it, nil stands for any key. An empty id
// stands for the newest one. Errors are ErrAbsent, ErrManifest and ErrSignature.
func Read(ctx context.Context, t Target, id string, trusted ed25519.PublicKey) (*Manifest, ed25519.PublicKey, error) {
	if id == "" {
		all, err := List(ctx, t, trusted)
		if err != nil {
			return nil, nil, err
		}
		if len(all) == 0 {
			return nil, nil, fmt.Errorf("%w: the target has no backup", ErrAbsent)
		}
		id = all[len(all)-1].ID
	}
	f, err := t.Open(ctx, manifestName(id))
	if err != nil {
		return nil, nil, fmt.Errorf("backup %s: %w", id, err)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, nil, fmt.Errorf("backup %s: %w", id, err)
	}
	m, key, err := decode(raw, trusted)
	if err == nil && m.ID != id {
		err = fmt.Errorf("%w: it is that of backup %s", ErrManifest, m.ID)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", manifestName(id), err)
	}
	return m, key, nil
}

// Check reads every file of a backup and compares its hash. It reports all damaged files, each by the name that it has
// in the log and the name in the target. progress may be nil.
func Check(ctx context.Context, t Target, m *Manifest, progress func(done, total uint64)) error {
	return each(ctx, t, m, progress, func(wire.CopyFile) (io.WriteCloser, error) { return discard{}, nil })
}

// Fetch writes the files of a backup into a directory, which must be there, and makes them durable. It compares every
// hash.
func Fetch(ctx context.Context, t Target, m *Manifest, dir string, progress func(done, total uint64)) error {
	err := each(ctx, t, m, progress, func(f wire.CopyFile) (io.WriteCloser, error) {
		out, err := os.OpenFile(filepath.Join(dir, f.Name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		return syncing{out}, err
	})
	return errors.Join(err, syncDir(dir))
}

// each copies every file to what open returns.
func each(ctx context.Context, t Target, m *Manifest, progress func(done, total uint64),
	open func(wire.CopyFile) (io.WriteCloser, error)) error {
	var errs []error
	done := uint64(0)
	for _, f := range m.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		out, err := open(f)
		if err != nil {
			return err
		}
		err = copyFile(ctx, t, f, out)
		if err = errors.Join(err, out.Close()); err != nil {
			errs = append(errs, err)
		}
		if done += uint64(f.Size); progress != nil {
			progress(done, uint64(m.Bytes))
		}
	}
	return errors.Join(errs...)
}

func copyFile(ctx context.Context, t Target, f wire.CopyFile, to io.Writer) error {
	name := fileName(f.SHA256)
	in, err := t.Open(ctx, name)
	if errors.Is(err, ErrAbsent) {
		return fmt.Errorf("%w: %s (%s) is missing", ErrDamaged, f.Name, name)
	}
	if err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, sum), io.LimitReader(in, f.Size+1)) // one more byte is too many
	if err = errors.Join(err, in.Close()); err != nil {
		return fmt.Errorf("%s (%s): %w", f.Name, name, err)
	}
	want, _ := hex.DecodeString(f.SHA256) // checked with the manifest
	if n != f.Size || !bytes.Equal(sum.Sum(nil), want) {
		return fmt.Errorf("%w: %s (%s) has other bytes than were backed up", ErrDamaged, f.Name, name)
	}
	return nil
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) Close() error                { return nil }

// syncing makes a file durable when it is closed.
type syncing struct{ *os.File }

func (s syncing) Close() error { return errors.Join(s.Sync(), s.File.Close()) }
