package auditor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/export"
)

// Source is a ledger to audit: what Remote and OpenLocation return.
type Source interface {
	// Name tells people where the ledger comes from.
	Name() string
	// load brings the log of the work up to date, after a comparison of what earlier runs took with what the source
	// has now. It sets w.shown, and notes in the report what it could not compare.
	load(ctx context.Context, w *work, r *Report) error
	// said returns what the source says of the ledger at the end of the work. Its error ends no audit: a ledger
	// must not get away with a difference because it gives no digest.
	said(ctx context.Context, w *work) ([]claim, error)
	// checkpoint returns the newest checkpoint of the source, nil if there is none, and the reason if one was asked
	// for.
	checkpoint() ([]byte, error)
	// holds names the log if it is a copy, whose work cannot go on with another one; "" for a source of events.
	holds() string
}

// prover is a source that proves how its tree grew.
type prover interface {
	// consistency returns hashes from the tree of the first from events to that of the first to events.
	consistency(ctx context.Context, from, to uint64) ([][32]byte, error)
}

// OpenLocation returns the ledger in an export, in the newest backup of a directory or of s3://BUCKET/PREFIX, in the
// data directory of a stopped node, or in a copy of its log. Errors are ErrSource and those of package backup.
func OpenLocation(ctx context.Context, at string) (Source, error) {
	if strings.HasPrefix(at, "s3://") {
		return openBackup(ctx, at)
	}
	if info, err := os.Stat(at); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%w: %s is no directory", ErrSource, at)
	}
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(at, name))
		return err == nil
	}
	switch {
	case has(export.ManifestFile):
		return openExport(at)
	case has("manifests"):
		return openBackup(ctx, at)
	case has(filepath.Join("events", "end")):
		return stoppedLog{dir: filepath.Join(at, "events")}, nil
	case has("end"):
		return stoppedLog{dir: at}, nil
	}
	return nil, fmt.Errorf("%w: %s is no export, no target of backups and no directory of a node", ErrSource, at)
}

// unsigned is a source without checkpoints.
type unsigned struct{}

func (unsigned) checkpoint() ([]byte, error) { return nil, nil }

// fromExport is an export with all events from the first on.
type fromExport struct {
	unsigned
	dir string
	m   *export.Manifest
}

func openExport(dir string) (Source, error) {
	m, err := export.ReadManifest(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	if m.Range.FromSeq != 1 || m.Range.Shard != "" {
		return nil, fmt.Errorf("%w: the export %s does not have all events from the first on", ErrSource, dir)
	}
	return fromExport{dir: dir, m: m}, nil
}

func (s fromExport) Name() string  { return "the export " + s.dir }
func (s fromExport) holds() string { return "" }

func (s fromExport) load(ctx context.Context, w *work, _ *Report) error {
	a, err := w.appender(ctx, s.m.Range.ToSeq)
	if err != nil {
		return err
	}
	err = export.EachEvent(ctx, s.dir, a.add)
	if errors.Is(err, export.ErrFormat) {
		err = &differs{from: w.shown + 1, to: w.shown + 1, what: err.Error()}
	}
	if err == nil {
		err = a.all()
	}
	return a.end(err)
}

func (s fromExport) said(context.Context, *work) ([]claim, error) {
	e, to := s.m.End, s.m.Range.ToSeq
	if e.Seq != to {
		return nil, &differs{to, to, fmt.Sprintf("the manifest of the export has the digests at event %d, and none at "+
			"its last event", e.Seq)}
	}
	return []claim{claimOf("the manifest of the export", e.Seq, e.Log, e.State, e.Control, e.Generation)}, nil
}

// fromBackup is one backup. Its hashes find what was damaged. Who changed it can have changed the hashes, too.
type fromBackup struct {
	unsigned
	at     string
	target backup.Target
	m      *backup.Manifest
}

func openBackup(ctx context.Context, at string) (Source, error) {
	t, err := backup.OpenTarget(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	m, _, err := backup.Read(ctx, t, "", nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	return fromBackup{at: at, target: t, m: m}, nil
}

func (s fromBackup) Name() string  { return "the backup " + s.m.ID + " in " + s.at }
func (s fromBackup) holds() string { return s.Name() }

func (s fromBackup) load(ctx context.Context, w *work, _ *Report) error {
	return w.copied(ctx, s.m.Position.Index, func(to string) error {
		if err := durable.MkdirAll(nil, to, 0o700); err != nil {
			return err
		}
		return backup.Fetch(ctx, s.target, s.m, to, func(done, total uint64) { w.tell("copy", done, total) })
	})
}

func (s fromBackup) said(context.Context, *work) ([]claim, error) {
	d := s.m.Digest
	at := s.m.Position.Seq
	return []claim{claimOf("the manifest of the backup", at, d.Log, d.State, d.Control, d.Generation)}, nil
}

// stoppedLog is the log of a node that does not run.
type stoppedLog struct {
	unsigned
	dir string
}

func (s stoppedLog) Name() string  { return "the log in " + s.dir }
func (s stoppedLog) holds() string { return s.Name() }

func (s stoppedLog) load(ctx context.Context, w *work, r *Report) error {
	fetch := func(to string) (err error) {
		lock, err := durable.LockStore(s.dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, lock.Close()) }()
		_, err = durable.CopyStore(s.dir, to)
		return err
	}
	load := func() error { return w.copied(ctx, 0, fetch) }
	if w.resumes() {
		load = func() error { return w.copiedAgain(ctx, r, fetch) }
	}
	if err := load(); err != nil {
		return err
	}
	return w.tail(ctx, r)
}

func (s stoppedLog) said(context.Context, *work) ([]claim, error) { return nil, nil }
