package log

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

type nopFSM struct{}

func (nopFSM) Apply(*raft.Log) any                 { return nil }
func (nopFSM) Snapshot() (raft.FSMSnapshot, error) { return nopSnapshot{}, nil }
func (nopFSM) Restore(r io.ReadCloser) error       { return r.Close() }

type nopSnapshot struct{}

func (nopSnapshot) Persist(sink raft.SnapshotSink) error { return sink.Close() }
func (nopSnapshot) Release()                             {}

type node struct {
	conf   *raft.Config
	store  *Store
	fatals *fatals
	stable *raft.InmemStore
	snaps  raft.SnapshotStore
	trans  raft.Transport
	config raft.Configuration
}

func newNode(t *testing.T, fs vfs.FS) *node {
	t.Helper()
	n := &node{conf: raft.DefaultConfig(), stable: raft.NewInmemStore(), snaps: raft.NewInmemSnapshotStore()}
	n.conf.LocalID = "n1"
	n.conf.HeartbeatTimeout, n.conf.ElectionTimeout, n.conf.LeaderLeaseTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	n.conf.Logger = hclog.NewNullLogger()
	n.store, n.fatals = openMem(t, fs, Options{})
	addr, trans := raft.NewInmemTransport("")
	n.trans = trans
	n.config = raft.Configuration{Servers: []raft.Server{{ID: "n1", Address: addr}}}
	return n
}

// start runs a single voter until it leads.
func (n *node) start(t *testing.T) *raft.Raft {
	t.Helper()
	has, err := raft.HasExistingState(n.store, n.stable, n.snaps)
	must(t, err)
	if !has {
		must(t, raft.BootstrapCluster(n.conf, n.store, n.stable, n.snaps, n.trans, n.config))
	}
	r, err := raft.NewRaft(n.conf, nopFSM{}, n.store, n.stable, n.snaps, n.trans)
	must(t, err)
	n.store.SetCommitSource(r.CommitIndex)
	for leader := range r.LeaderCh() {
		if leader {
			break
		}
	}
	return r
}

func apply(t *testing.T, r *raft.Raft, n int) {
	t.Helper()
	for range n {
		must(t, r.Apply(make([]byte, 100), time.Second).Error())
	}
}

func allPresent(t *testing.T, s *Store, last uint64) {
	t.Helper()
	for i := uint64(1); i <= last; i++ {
		must(t, s.GetLog(i, new(raft.Log)))
	}
}

// TestRecoverClusterIsRefused runs Raft's own recovery, which deletes the whole log.
func TestRecoverClusterIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	n := newNode(t, fs)
	r := n.start(t)
	apply(t, r, 20)
	must(t, r.Shutdown().Error())
	last, _ := n.store.LastIndex()
	must(t, n.store.Close())
	// Reopened: the floor is known from the headers alone.
	n.store, n.fatals = openMem(t, fs, Options{})
	err := raft.RecoverCluster(n.conf, nopFSM{}, n.store, n.stable, n.snaps, n.trans, n.config)
	if err == nil || !errors.Is(n.fatals.first(), ErrRefusedDelete) {
		t.Fatalf("recovery: %v, fatal %v", err, n.fatals.first())
	}
	s, _ := openMem(t, vfsCopy(t, fs), Options{})
	allPresent(t, s, last)
	must(t, s.Close())
}

// vfsCopy copies the files of an abandoned store, whose lock is never released.
func vfsCopy(t *testing.T, from vfs.FS) vfs.FS {
	t.Helper()
	to := vfs.NewMem()
	must(t, to.MkdirAll("node", 0o755))
	ok, err := vfs.Clone(from, to, "node/events", "node/events")
	if err != nil || !ok {
		t.Fatalf("copy: %v %v", ok, err)
	}
	return to
}

// TestCompactionIsRefused takes a snapshot with few trailing logs, upon which Raft compacts the log.
func TestCompactionIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	n := newNode(t, fs)
	n.conf.TrailingLogs = 5
	r := n.start(t)
	apply(t, r, 30)
	last, _ := n.store.LastIndex()
	if err := r.Snapshot().Error(); err == nil {
		t.Fatal("the compaction of a snapshot was not refused")
	}
	if !errors.Is(n.fatals.first(), ErrRefusedDelete) {
		t.Fatalf("fatal: %v", n.fatals.first())
	}
	_ = r.Shutdown().Error()
	s, _ := openMem(t, vfsCopy(t, fs), Options{})
	allPresent(t, s, last)
	must(t, s.Close())
}

// TestRaftRestart: Raft works on the store across restarts.
func TestRaftRestart(t *testing.T) {
	fs := vfs.NewMem()
	n := newNode(t, fs)
	for range 3 {
		r := n.start(t)
		apply(t, r, 10)
		must(t, r.Shutdown().Error())
		must(t, n.store.Close())
		n.store, n.fatals = openMem(t, fs, Options{})
	}
	last, _ := n.store.LastIndex()
	allPresent(t, n.store, last)
	if last < 30 || n.store.Floor()+3 < last {
		t.Fatalf("last %d floor %d", last, n.store.Floor())
	}
	must(t, n.store.Close())
}
