package log

import (
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/durable"
)

// markerPrefix begins the names of the files with which Pebble names its current manifest and format.
const markerPrefix = "marker."

// MarkersLast wraps fs so that the entries of a directory are durable before a marker is created in it, and the
// marker before another one is removed. Pebble syncs a new manifest, creates the marker that names it, removes
// the marker before, and syncs the directory only then. POSIX lets a power cut in between keep any part of that:
// a marker of a manifest that is gone, or no marker. Nothing opens the database after that.
func MarkersLast(fs vfs.FS) vfs.FS { return markersLast{fs} }

type markersLast struct{ vfs.FS }

// Create implements vfs.FS.
func (m markersLast) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if !strings.HasPrefix(m.PathBase(name), markerPrefix) {
		return m.FS.Create(name, category)
	}
	if err := durable.SyncDir(m.FS, m.PathDir(name)); err != nil {
		return nil, err
	}
	f, err := m.FS.Create(name, category)
	if err != nil {
		return nil, err
	}
	if err := durable.SyncDir(m.FS, m.PathDir(name)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Unwrap implements vfs.FS.
func (m markersLast) Unwrap() vfs.FS { return m.FS }
