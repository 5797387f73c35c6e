package cluster

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/test/crashfs"
)

// life is one run of a node, from a start to a stop, to the loss of its power or to a store that failed. The log is the
// real one. It and the votes are on a disk that forgets what was not synced. What the node applied is folded again from
// the log.
type life struct {
	h      *memberHistory
	id     string
	wiped  bool // it lost its disk and came back under its old id
	disk   crashfs.FS
	fs     vfs.FS
	store  *log.Store
	fsm    *memFSM
	c      *Cluster
	writes atomic.Int64 // until the power goes
	room   atomic.Int64 // writes until the disk is full
	opened chan struct{}
	ended  chan struct{} // closed when nothing of it runs

	// h.mu guards these.
	dead bool
	next crashfs.FS // the disk that the next life finds
}

const never = math.MaxInt64

func (h *memberHistory) newLife(id string, disk crashfs.FS) *life {
	l := &life{h: h, id: id, disk: disk, fsm: newMemFSM(), opened: make(chan struct{}), ended: make(chan struct{})}
	l.fs = errorfs.Wrap(disk, errorfs.InjectorFunc(l.inject))
	l.writes.Store(never)
	l.room.Store(never)
	return l
}

// inject cuts the power before a write or sync, and refuses what needs more room on a full disk. The votes and the end
// of the log are written in place and need none.
func (l *life) inject(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
		return nil
	}
	if l.writes.Add(-1) == 0 {
		l.h.crash(l, "power")
	}
	if grows := op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpFileWrite; grows && l.room.Add(-1) < 0 {
		return &os.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
	}
	return nil
}

// failed stops a node whose store has failed, as the process would.
func (l *life) failed(err error) {
	if l.room.Load() < 0 && strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		l.h.crash(l, "full disk")
		return
	}
	l.h.mu.Lock()
	dead := l.dead
	l.h.mu.Unlock()
	if !dead {
		l.h.t.Errorf("%s stops without a reason: %v", l.id, err)
	}
	l.h.crash(l, "failure")
}

// votes opens the file of the votes on the disk of this life.
func (l *life) votes(_ string, flags int) (votesFile, error) {
	const path = "node/votes"
	if flags&os.O_CREATE == 0 {
		if _, err := l.fs.Stat(path); err != nil {
			return nil, err
		}
	}
	f, err := l.fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	return f, durable.SyncDir(l.fs, "node")
}

// storedFSM tells the log what is applied, as package fsm does.
type storedFSM struct {
	*memFSM
	store *log.Store
}

func (f storedFSM) ApplyBatch(logs []*raft.Log) []any {
	out := f.memFSM.ApplyBatch(logs)
	f.store.CommittedTo(logs[len(logs)-1].Index)
	return out
}

func (f storedFSM) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// open starts the node on its disk. It does what package node does: what is known to be committed is applied first.
func (l *life) open(change func(*Config)) (err error) {
	defer close(l.opened)
	if err := durable.MkdirAll(l.fs, "node/events", 0o755); err != nil {
		return err
	}
	l.store, err = log.Open("node/events",
		log.Options{FS: l.fs, Fatal: l.failed, MemTableBytes: 256 << 10, CacheBytes: 1 << 20})
	if err != nil {
		return err
	}
	l.store.CommittedTo(l.store.Floor())
	fold := storedFSM{l.fsm, l.store}
	for i := uint64(1); i <= l.store.Floor(); i++ {
		var e raft.Log
		if err := l.store.GetLog(i, &e); err != nil {
			return err
		}
		if e.Type == raft.LogCommand || e.Type == raft.LogConfiguration {
			fold.ApplyBatch([]*raft.Log{&e})
		}
	}
	cfg := l.h.config(l.id)
	if l.h.nodes[l.id].ln == nil {
		cfg.PeerBind = cfg.addrOf(l.id)
	}
	cfg.votes, cfg.Fatal, cfg.StartTimeout = l.votes, l.failed, time.Second
	if change != nil {
		change(&cfg)
	}
	if l.c, err = Open(cfg, l.store, fold, l.fsm); err != nil {
		return err
	}
	l.h.nodes[l.id].ln = nil
	l.store.SetCommitSource(l.c.CommitIndex)
	return l.c.Start()
}

// end closes what runs on a disk that no longer counts.
func (l *life) end() {
	defer close(l.ended)
	<-l.opened
	l.room.Store(never)
	if l.c != nil {
		if err := l.c.Close(short(l.h.t, 20*time.Second)); err != nil && !errors.Is(err, log.ErrFailed) {
			l.h.t.Errorf("close %s: %v", l.id, err)
		}
	}
	if l.store != nil {
		_ = l.store.Close() // one that failed says so again
	}
}

// run starts a life on the disk that the one before left. after is the number of writes after which the power goes. The
// error is nil if the power went during the start.
func (h *memberHistory) run(id string, after int64, change func(*Config)) error {
	disk := crashfs.New()
	if old := h.lives[id]; old != nil {
		<-old.ended
		disk = old.next
	}
	l := h.newLife(id, disk)
	l.wiped = h.lost[id]
	h.lives[id] = l
	h.net.power(id, true)
	l.writes.Store(after)
	err := l.open(change)
	h.mu.Lock()
	dead := l.dead
	if !dead && err == nil {
		h.running[id] = l
		h.mu.Unlock()
		return nil
	}
	if !dead {
		l.dead, l.next = true, disk
		go l.end()
	}
	h.mu.Unlock()
	if dead {
		return nil
	}
	return err
}

// crash takes the power of a node. First nobody gets anything more from it, then its disk loses what was not synced. The
// old node goes on for a while, on the old disk, where nobody sees it.
func (h *memberHistory) crash(l *life, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.dead {
		return
	}
	l.dead = true
	delete(h.running, l.id)
	h.net.power(l.id, false)
	percent := []int{0, 50, 100}[h.fate.IntN(3)]
	l.next = l.disk.Cut(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: h.fate})
	h.sum.crashed(why)
	h.ops = append(h.ops, l.id+" ends: "+why)
	go l.end()
}

// stop stops a node in good order.
func (h *memberHistory) stop(l *life) {
	h.mu.Lock()
	dead := l.dead
	l.dead, l.next = true, l.disk
	delete(h.running, l.id)
	h.mu.Unlock()
	if !dead {
		l.end()
	}
}

// wipe loses the disk of a node.
func (h *memberHistory) wipe(id string) {
	l := h.lives[id]
	h.crash(l, "lost disk")
	<-l.ended
	h.mu.Lock()
	l.next = crashfs.New()
	h.mu.Unlock()
	if err := os.RemoveAll(filepath.Join(h.dir, id)); err != nil {
		h.t.Error(err)
	}
}
