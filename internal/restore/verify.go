package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/wire"
)

// Report is the result of a verification that found no fault.
type Report struct {
	Backup   string            `json:"backup"`
	Position wire.CopyPosition `json:"position"`
	Digest   wire.CopyDigest   `json:"digest"`
	Files    int               `json:"files"`
	Bytes    int64             `json:"bytes"`
	// digests that the cluster logged, and those of them that this fold contradicts
	Logged  uint64 `json:"logged_digests"`
	Differ  uint64 `json:"logged_digests_that_differ"`
	Entries uint64 `json:"entries"`
}

// Verify copies a backup to a new directory below work, opens the log there, folds it, and compares its end and its
// digests with the manifest. It removes the directory. Errors are those of backup.Fetch, log.Open and ErrDiffers.
func Verify(ctx context.Context, t backup.Target, m *backup.Manifest, work string,
	tell Progress) (r Report, err error) {
	dir, err := os.MkdirTemp(work, "recount-verify-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	l, err := fetch(ctx, t, m, filepath.Join(dir, "events"), dir, tell)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	r = Report{Backup: m.ID, Files: len(m.Files), Bytes: m.Bytes, Logged: l.compared.Load(), Differ: l.differ.Load(),
		Entries: m.Position.Index}
	r.Position, r.Digest, err = l.end()
	return r, err
}

// fetch copies a backup into events, folds it below work, and compares the end with the manifest.
func fetch(ctx context.Context, t backup.Target, m *backup.Manifest, events, work string,
	tell Progress) (*ledger, error) {
	if err := durable.MkdirAll(nil, events, 0o755); err != nil {
		return nil, err
	}
	err := backup.Fetch(ctx, t, m, events, func(done, total uint64) { tell("copy", done, total) })
	if err != nil {
		return nil, err
	}
	l, err := openLedger(ctx, events, work, m.Position.Index, m.Digest.Generation, tell)
	if err != nil {
		return nil, err
	}
	position, digest, err := l.end()
	switch {
	case err != nil:
	case position != m.Position:
		err = fmt.Errorf("%w: it ends at %+v, the manifest says %+v", ErrDiffers, position, m.Position)
	case digest != m.Digest:
		err = fmt.Errorf("%w: it has the digests %+v, the manifest says %+v", ErrDiffers, digest, m.Digest)
	default:
		var name string
		if name, err = l.name(position.Seq); err == nil && name != m.ClusterID {
			err = fmt.Errorf("%w: it is of cluster %q, the manifest says %q", ErrDiffers, name, m.ClusterID)
		}
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}
