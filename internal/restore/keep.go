package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/survivor"
	"github.com/recount-ledger/recount/wire"
)

// Errors of Keep.
var (
	ErrRecovered = errors.New("restore: a cluster was founded with this log already; a second one would be another " +
		"history of the same ledger")
	ErrMajority = errors.New("restore: this node is a majority of its cluster, and nothing is lost; start it")
)

// KeepOptions of Keep.
type KeepOptions struct {
	Dir  string // data directory of the survivor, which is stopped
	Into string // data directory of the new node, absent or empty. Tables are linked if it is on the same file system

	ClusterID string // new
	NodeID    string // of the first node, never used in the ledger
	PeerAddr  string // host:port at which later members reach it

	Actor, Reason, Ticket string
	At                    time.Time
	Tell                  Progress

	// Confirm is asked when nothing but its consent is missing. Its error ends Keep, which then has changed nothing.
	Confirm func(*survivor.Comparison) error
}

// Kept describes the new ledger.
type Kept struct {
	Dir       string            `json:"dir"`
	ClusterID string            `json:"cluster_id"`
	NodeID    string            `json:"node_id"`
	PeerAddr  string            `json:"peer_address"`
	From      string            `json:"from_cluster_id"`
	Survivor  string            `json:"survivor"`
	Floor     survivor.Place    `json:"floor"`    // last entry that the survivor knew to be committed
	Position  wire.CopyPosition `json:"position"` // last entry with events, which were all kept
	Digest    wire.CopyDigest   `json:"digest"`   // there
	Logged    uint64            `json:"logged_digests"`
	Differ    uint64            `json:"logged_digests_that_differ"`
}

// Keep founds a cluster of one node with the log of a survivor, up to its last entry. What was not known to be committed
// is committed by that. The directory of the survivor stays as it is, but for the file survivor.RecoveredFile, by
// which it cannot be kept twice. An interrupted Keep leaves a directory that cannot start. Remove it and do the same
// again. Errors are also those of survivor.Look.
func Keep(ctx context.Context, o KeepOptions) (k Kept, err error) {
	if err := checkTarget(o.ClusterID, o.NodeID, o.Into); err != nil {
		return k, err
	}
	r, err := survivor.Look(ctx, o.Dir, survivor.Progress(o.Tell))
	if err != nil {
		return k, err
	}
	if err := o.check(r); err != nil {
		return k, err
	}
	lock, err := durable.LockStore(filepath.Join(o.Dir, "events"))
	if err != nil {
		return k, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := o.checkMark(); err != nil {
		return k, err
	}
	work, events := filepath.Join(o.Into, workName), filepath.Join(o.Into, "events")
	if err := durable.MkdirAll(nil, work, 0o700); err != nil {
		return k, err
	}
	if _, err := durable.CopyStore(filepath.Join(o.Dir, "events"), events); err != nil {
		return k, err
	}
	l, err := openLedger(ctx, events, work, r.Last.Index, 0, o.Tell)
	if err != nil {
		return k, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	return o.found(l, r)
}

// check refuses what must not be kept.
func (o *KeepOptions) check(r *survivor.Report) error {
	c, err := survivor.Compare([]survivor.Report{*r})
	switch {
	case err != nil:
		return err
	case r.Recovered != "" && r.Recovered != o.mark():
		return recovered(r.Recovered)
	case c.Majority:
		return fmt.Errorf("%w: %s", ErrMajority, o.Dir)
	case r.ClusterID == o.ClusterID:
		return fmt.Errorf("%w: %q", ErrSameID, o.ClusterID)
	case slices.ContainsFunc(r.Members, func(m survivor.Member) bool { return m.ID == o.NodeID }):
		return fmt.Errorf("%w: %q", cluster.ErrUsedID, o.NodeID)
	}
	return o.Confirm(c)
}

// mark is the content of survivor.RecoveredFile. The same recovery may be repeated when it was interrupted.
func (o *KeepOptions) mark() string {
	return fmt.Sprintf("%s as node %q of cluster %q", o.Into, o.NodeID, o.ClusterID)
}

// checkMark looks for the mark again, under the lock: another recovery may have ended while this one asked for consent.
func (o *KeepOptions) checkMark() error {
	raw, err := os.ReadFile(filepath.Join(o.Dir, survivor.RecoveredFile))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err == nil && string(raw) != o.mark():
		return recovered(string(raw))
	}
	return err
}

func recovered(mark string) error { return fmt.Errorf("%w: it is in %s", ErrRecovered, mark) }

// found ends the new log with the two entries of a new cluster.
func (o *KeepOptions) found(l *ledger, r *survivor.Report) (k Kept, err error) {
	k = Kept{Dir: o.Into, ClusterID: o.ClusterID, NodeID: o.NodeID, PeerAddr: o.PeerAddr, From: r.ClusterID,
		Survivor: r.NodeID, Floor: r.Floor, Logged: l.compared.Load(), Differ: l.differ.Load()}
	if k.Position, k.Digest, err = l.end(); err != nil {
		return k, err
	}
	if k.Digest.Log != r.Last.Log {
		return k, fmt.Errorf("%w: the log has the digest %s, and %s when it was examined", ErrDiffers, k.Digest.Log,
			r.Last.Log)
	}
	if err := l.checkNames(o.ClusterID, o.NodeID, k.Position.Seq); err != nil {
		return k, err
	}
	data, err := entry(&event.RestoredV1{
		FromClusterId: r.ClusterID,
		ClusterId:     o.ClusterID,
		Survivor:      r.NodeID,
		Floor:         r.Floor.Index,
		FloorSeq:      r.Floor.Seq,
		Node:          o.NodeID,
		RestoredAt:    o.At.UnixNano(),
		Op: &event.OpV1{OpId: "recover-" + o.ClusterID, Actor: o.Actor, Reason: o.Reason, Ticket: o.Ticket,
			Node: o.NodeID, Role: string(wire.RoleOperator)},
	}, &k.Position, &k.Digest)
	if err != nil {
		return k, err
	}
	work := filepath.Join(o.Into, workName)
	if err := errors.Join(l.closeFolds(), os.RemoveAll(work), durable.SyncDir(nil, o.Into)); err != nil {
		return k, err
	}
	err = durable.WriteFile(filepath.Join(o.Dir, survivor.RecoveredFile), []byte(o.mark()), 0o600)
	if err != nil {
		return k, err
	}
	return k, cluster.Found(cluster.Founding{Dir: o.Into, ClusterID: o.ClusterID, NodeID: o.NodeID, PeerAddr: o.PeerAddr,
		Created: o.At}, l.store, data)
}
