package restore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/wire"
)

// Errors of Restore about what it was asked for.
var (
	ErrNotEmpty = errors.New("restore: the directory is not empty; a backup is restored into a new one only")
	ErrSameID   = errors.New("restore: the ledger had this cluster id; a restored cluster needs one that was never " +
		"used, so that its nodes and those of the other one refuse each other")
	// ErrUsedID means that the ledger names a node of this id.
	ErrUsedID = cluster.ErrUsedID
	ErrRange  = errors.New("restore: the backup does not have this position")
)

// Options of Restore.
type Options struct {
	Target    backup.Target
	Manifest  *backup.Manifest
	Dir       string // data directory of the new node, absent or empty
	ClusterID string // new
	NodeID    string // of the first node, never used in the ledger
	PeerAddr  string // host:port at which later members reach it

	// ToSeq and ToTime end the ledger earlier than the backup: at the last pack whose events all are at or before the
	// event, or the log time. At most one is set. A time after the backup was made is refused.
	ToSeq  uint64
	ToTime time.Time

	Actor, Reason, Ticket string
	At                    time.Time
	Tell                  Progress
}

// Result describes the restored ledger.
type Result struct {
	Dir       string            `json:"dir"`
	ClusterID string            `json:"cluster_id"`
	NodeID    string            `json:"node_id"`
	PeerAddr  string            `json:"peer_address"`
	Backup    string            `json:"backup"`
	From      string            `json:"from_cluster_id"`
	Position  wire.CopyPosition `json:"position"` // last entry and event that were kept
	Digest    wire.CopyDigest   `json:"digest"`   // there
	CutEvents uint64            `json:"cut_events"`
}

// workName is the directory in which a restore folds. It is removed before the node can start.
const workName = "restoring"

// Restore founds a cluster of one node with a backup. A directory that an interrupted restore leaves cannot start and
// has to be removed.
func Restore(ctx context.Context, o Options) (r Result, err error) {
	if err := o.check(); err != nil {
		return r, err
	}
	work, events := filepath.Join(o.Dir, workName), filepath.Join(o.Dir, "events")
	if err := durable.MkdirAll(nil, work, 0o700); err != nil {
		return r, err
	}
	l, err := fetch(ctx, o.Target, o.Manifest, events, work, o.Tell)
	if err != nil {
		return r, err
	}
	if l, err = o.cut(ctx, l, events, work); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	r = Result{Dir: o.Dir, ClusterID: o.ClusterID, NodeID: o.NodeID, PeerAddr: o.PeerAddr, Backup: o.Manifest.ID}
	if r.Position, r.Digest, err = l.end(); err != nil {
		return r, err
	}
	if r.From, err = l.name(r.Position.Seq); err != nil { // it had an earlier one before it was restored itself
		return r, err
	}
	r.CutEvents = o.Manifest.Position.Seq - r.Position.Seq
	if err := l.checkNames(o.ClusterID, o.NodeID, r.Position.Seq); err != nil {
		return r, err
	}
	data, err := o.event(&r)
	if err != nil {
		return r, err
	}
	if err := errors.Join(l.closeFolds(), os.RemoveAll(work), durable.SyncDir(nil, o.Dir)); err != nil {
		return r, err
	}
	return r, cluster.Found(cluster.Founding{Dir: o.Dir, ClusterID: o.ClusterID, NodeID: o.NodeID, PeerAddr: o.PeerAddr,
		Created: o.At}, l.store, data)
}

// CheckPeerAddress returns an error unless other nodes could dial addr: a host, and a port from 1 to 65535.
func CheckPeerAddress(addr string) error { return cluster.CheckPeerAddress(addr) }

// check refuses what can be refused before anything is copied.
func (o *Options) check() error {
	switch {
	case o.ClusterID == o.Manifest.ClusterID:
		return fmt.Errorf("%w: %q", ErrSameID, o.ClusterID)
	case o.NodeID == o.Manifest.Node:
		return fmt.Errorf("%w: %q", cluster.ErrUsedID, o.NodeID)
	case o.ToSeq > o.Manifest.Position.Seq:
		return fmt.Errorf("%w: it ends with event %d", ErrRange, o.Manifest.Position.Seq)
	}
	made, err := wire.ParseTime(o.Manifest.CreatedAt)
	if err != nil {
		return fmt.Errorf("%w: created at %q: %w", backup.ErrManifest, o.Manifest.CreatedAt, err)
	}
	if o.ToTime.After(made) {
		return fmt.Errorf("%w: it was made at %s, and may lack events up to %s", ErrRange, wire.Time(made), wire.Time(o.ToTime))
	}
	return checkTarget(o.ClusterID, o.NodeID, o.Dir)
}

// checkTarget refuses ids that no certificate can have, and a directory with something in it.
func checkTarget(clusterID, nodeID, dir string) error {
	for what, id := range map[string]string{"cluster id": clusterID, "node id": nodeID} {
		if err := certs.CheckID(id); err != nil {
			return fmt.Errorf("%s %q can be in no certificate: %w", what, id, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() != "lost+found" }) {
		return fmt.Errorf("%w: %s", ErrNotEmpty, dir)
	}
	return nil
}

// checkNames refuses ids that the ledger has used.
func (l *ledger) checkNames(clusterID, nodeID string, seq uint64) error {
	if slices.Contains(l.derived.Control().Names(seq), clusterID) {
		return fmt.Errorf("%w: %q", ErrSameID, clusterID)
	}
	return cluster.CheckUnusedID(l.derived, nodeID)
}

// cut ends the ledger where the options say. It returns the shorter one, folded anew. It closes l if it returns another
// ledger or an error.
func (o *Options) cut(ctx context.Context, l *ledger, events, work string) (*ledger, error) {
	seq, err := o.lastSeq(l)
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	if seq == o.Manifest.Position.Seq {
		return l, nil
	}
	index, err := l.boundary(seq)
	if err == nil {
		err = l.checkNames(o.ClusterID, o.NodeID, o.Manifest.Position.Seq) // of what is cut, too
	}
	if err := errors.Join(err, l.close()); err != nil {
		return nil, err
	}
	for _, name := range []string{"derived", "generation"} {
		if err := os.RemoveAll(filepath.Join(work, name)); err != nil {
			return nil, err
		}
	}
	options := log.Options{Logger: slog.New(slog.DiscardHandler), MemTableBytes: memTable, CacheBytes: cache}
	if err := log.Trim(events, index, options); err != nil {
		return nil, err
	}
	return openLedger(ctx, events, work, index, 0, o.Tell)
}

// event returns the entry with the event that says where the ledger comes from.
func (o *Options) event(r *Result) ([]byte, error) {
	m := &event.RestoredV1{
		FromClusterId: r.From,
		ClusterId:     o.ClusterID,
		Backup:        r.Backup,
		BackupSeq:     o.Manifest.Position.Seq,
		Node:          o.NodeID,
		RestoredAt:    o.At.UnixNano(),
		Op: &event.OpV1{OpId: "restore-" + r.Backup, Actor: o.Actor, Reason: o.Reason, Ticket: o.Ticket, Node: o.NodeID,
			Role: string(wire.RoleOperator)},
	}
	return entry(m, &r.Position, &r.Digest)
}

// entry returns the entry with an event about a restoration, to which it adds the place and the digests that were kept.
func entry(m *event.RestoredV1, at *wire.CopyPosition, d *wire.CopyDigest) ([]byte, error) {
	m.Seq, m.Index, m.Generation = at.Seq, at.Index, d.Generation
	var errs [3]error
	m.Log, errs[0] = hex.DecodeString(d.Log)
	m.State, errs[1] = hex.DecodeString(d.State)
	m.Control, errs[2] = hex.DecodeString(d.Control)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	ev, err := propose.NewEvent(event.Restored, m)
	if err != nil {
		return nil, err
	}
	p := event.Pack{ProposedAt: m.RestoredAt, Events: []event.Event{ev}}
	p.Mark()
	return p.Append(nil), nil
}
