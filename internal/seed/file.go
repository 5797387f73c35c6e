package seed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/recount-ledger/recount/wire"
)

// download is one file under way.
type download struct {
	member, id string
	file       wire.CopyFile
	say        func() // tells the progress now and then
}

// file gets one file, or what is missing of it. If the whole is not what it should be, a part of an earlier attempt may
// be the reason, so it is got once more from its beginning.
func (r *Receiver) file(ctx context.Context, d *download) error {
	resumed, err := r.try(ctx, d)
	if errors.Is(err, errDamaged) && resumed {
		_, err = r.try(ctx, d)
	}
	return err
}

// try gets a file once and removes it if its hash does not agree. resumed reports whether a part of it was here.
func (r *Receiver) try(ctx context.Context, d *download) (resumed bool, err error) {
	before := r.Status().Have
	defer func() {
		if err != nil {
			r.change(func(s *Status) { s.Have = before })
		}
	}()
	path := filepath.Join(r.logDir(), d.file.Name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return false, fmt.Errorf("%w: %w", errWrite, err)
	}
	sum := sha256.New()
	have, err := io.Copy(sum, io.LimitReader(f, d.file.Size))
	if err != nil {
		return false, errors.Join(fmt.Errorf("%w: %w", errWrite, err), f.Close())
	}
	r.change(func(s *Status) { s.Have += have })
	err = r.fetch(ctx, d, f, have, sum)
	if err = errors.Join(err, f.Close()); err != nil {
		return have > 0, err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != d.file.SHA256 {
		err := fmt.Errorf("%w: %s has the hash %.16s… instead of %.16s…", errDamaged, d.file.Name, got, d.file.SHA256)
		if gone := os.Remove(path); gone != nil {
			err = fmt.Errorf("%w: %w", errWrite, gone)
		}
		return have > 0, err
	}
	return have > 0, nil
}

// fetch appends the bytes that are missing to f and makes them durable.
func (r *Receiver) fetch(ctx context.Context, d *download, f *os.File, have int64, sum hash.Hash) error {
	for have < d.file.Size {
		d.say()
		want := int(min(maxPart, d.file.Size-have))
		raw, err := r.read(ctx, d, part{ID: d.id, Name: d.file.Name, Offset: have, Bytes: want})
		if err != nil {
			return err
		}
		if _, err := f.WriteAt(raw, have); err != nil {
			return fmt.Errorf("%w: %w", errWrite, err)
		}
		_, _ = sum.Write(raw) // never fails
		have += int64(len(raw))
		r.change(func(s *Status) {
			s.Have += int64(len(raw))
			s.Received += uint64(len(raw))
		})
		if err := r.o.step("part"); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	return nil
}

// read gets one part of exactly the size that was asked for.
func (r *Receiver) read(ctx context.Context, d *download, p part) ([]byte, error) {
	body, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	raw, err := r.o.Call(ctx, d.member, ReadPath, body)
	if err != nil {
		return nil, err
	}
	if len(raw) != p.Bytes {
		return nil, fmt.Errorf("%w: %s is shorter than it said, %d bytes instead of %d at %d", errDamaged, p.Name,
			len(raw), p.Bytes, p.Offset)
	}
	return raw, nil
}
