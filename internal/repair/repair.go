// Package repair replaces the damaged log of a stopped node by a copy of the log of a member, so that the node
// keeps its id and its vote.
//
// A node has promised two things to the others: how it voted, and that it holds the entries that it acknowledged.
// The vote and the term are in stable/, which has its own checks and must be whole. Otherwise the repair is
// refused, and a new node takes the place of this one. The entries may be lost here, but not in the cluster:
//
//	the node is stopped, and Repair holds the lock of its log until the end
//	then the leader is asked for a fence: the end of its log, all of it committed, in a term not below the node's own
//	a copy that reaches the fence has all that the node ever acknowledged and that could still count
//
// Every leader that the node has heard has a term up to the node's own one. What an earlier one committed is in
// the log of the leader that gives the fence (leader completeness), and what this one sent is not behind the end
// of its log. So the node comes back with at least what it had promised. It raises its term to that of the last
// entry, as a message of that leader would.
//
// The copy comes as for a node that joins (package seed). Each of its tables is read, and the entries that can
// still be read in the damaged log are compared with it. What was folded is dropped: the node folds the copy from
// its first entry, and compares the digests with those in the log and with the other members before it answers a
// client.
//
// Repair may be ended at any point and given again. Until the copy is whole nothing but events.repair/ is written.
// Then a file keeps the node from starting until the new log is in place. The damaged log stays in
// events.damaged-1.
package repair

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/disk"
	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/seed"
)

// Errors of Repair. None of them has changed what the node starts with.
var (
	// ErrWhole means that there is nothing to repair.
	ErrWhole = errors.New("repair: the log of this node is whole, and nothing was changed")
	// ErrRefused means that this node must not come back under its id.
	ErrRefused = errors.New("repair: refused, and nothing was changed: this node cannot be sure of what it " +
		"promised to the others. Replace it by a node with a new id, recount cluster replace, as docs/members.md says")
	// ErrNoFence means that the members could not say how far the copy has to go.
	ErrNoFence = errors.New("repair: a leader with a majority of the voters has to answer, without this node. " +
		"Nothing was changed. Look at the others with recount cluster status, then repeat the command")
	// ErrForeign means that a member has other entries than this node.
	ErrForeign = errors.New("repair: the copy contradicts entries of this node that are whole and were " +
		"committed. Nothing was changed. Compare the nodes with recount digest, and do not start this one")
)

// Options of Repair.
type Options struct {
	Config node.Config
	Logger *slog.Logger
	Tell   func(line string) // progress in words, called now and then; may be nil

	step func(name string) error // tests: ends the process at a point
}

// Report has the results of a repair.
type Report struct {
	Node    string `json:"node"`
	Found   string `json:"found"`    // the damage; empty after an interruption while the log was put in place
	Member  string `json:"member"`   // that gave the copy; as Found
	Index   uint64 `json:"index"`    // last entry of the copy
	Seq     uint64 `json:"seq"`      // last event of the copy
	Fence   uint64 `json:"fence"`    // entry that the copy had to reach
	Same    uint64 `json:"same"`     // committed entries of the damaged log that were compared with the copy
	Damaged string `json:"kept_log"` // directory with the damaged log
}

// job is one Repair.
type job struct {
	o    Options
	dir  string
	work string
	r    Report
}

// Repair repairs the log of the node of the settings. The errors are ErrWhole, ErrRefused, ErrNoFence, ErrForeign,
// durable.ErrInUse, seed.ErrNoCopy, and those of the disk.
func Repair(ctx context.Context, o Options) (r Report, err error) {
	if o.step == nil {
		o.step = func(string) error { return nil }
	}
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	j := &job{o: o, dir: o.Config.Dir, r: Report{Node: o.Config.NodeID}}
	if err := cluster.CheckDirectory(j.dir, o.Config.ClusterID, o.Config.NodeID); err != nil {
		return j.r, refuse(err)
	}
	if _, _, err := cluster.Owner(j.dir); err != nil {
		return j.r, refuse(err)
	}
	var unlock func() error
	if j.work, unlock, err = seed.RepairDir(j.dir); err != nil {
		return j.r, err
	}
	defer func() {
		if errors.Is(err, ErrRefused) || errors.Is(err, ErrWhole) {
			err = errors.Join(err, seed.EndRepair(j.dir))
		}
		err = errors.Join(err, unlock())
	}()
	if err := seed.CheckSwitch(j.dir); errors.Is(err, seed.ErrSwitching) {
		return j.finish() // the node did not run since
	} else if err != nil {
		return j.r, err
	}
	return j.run(ctx)
}

// refuse adds ErrRefused and the reason.
func refuse(err error) error { return fmt.Errorf("%w. The reason: %w", ErrRefused, err) }

// run makes the copy while the lock of the log keeps the node from starting.
func (j *job) run(ctx context.Context) (r Report, err error) {
	events := filepath.Join(j.dir, "events")
	if err := durable.MkdirAll(nil, events, 0o700); err != nil { // somebody may have removed it
		return j.r, err
	}
	lock, err := durable.LockStore(events)
	if err != nil {
		return j.r, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := j.examine(ctx, events); err != nil {
		return j.r, err
	}
	term, err := j.promises()
	if err != nil {
		return j.r, err
	}
	if err := j.copy(ctx, term); err != nil {
		return j.r, err
	}
	if err := j.check(ctx); err != nil {
		return j.r, err
	}
	return j.finish()
}

// examine makes sure that there is damage. Whatever cannot be read is damage.
func (j *job) examine(ctx context.Context, events string) error {
	j.o.Tell("reading the log")
	if err := os.RemoveAll(j.old()); err != nil {
		return err
	}
	last, err := log.Examine(ctx, events, j.old(), nil)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		j.r.Found = err.Error()
	case last == 0:
		j.r.Found = "the log is empty"
	default:
		quarantined, err := node.UnreadableLog(j.dir)
		if err == nil && !quarantined {
			err = ErrWhole
		}
		if err != nil {
			return err
		}
		j.r.Found = "the node is quarantined because it could not read its log, which can be read now"
	}
	j.o.Tell("found: " + j.r.Found)
	return j.o.step("examined")
}

// old is the directory of the copy of the damaged log, hard links for the most part.
func (j *job) old() string { return filepath.Join(j.work, "damaged") }

// promises returns the term that the node knows.
func (j *job) promises() (term uint64, err error) {
	stable := filepath.Join(j.work, "stable")
	if err := os.RemoveAll(stable); err != nil {
		return 0, err
	}
	if term, err = cluster.Promises(j.dir, stable); err != nil {
		return 0, refuse(err)
	}
	return term, nil
}

// copy asks for the fence and copies the log of a member.
func (j *job) copy(ctx context.Context, term uint64) error {
	visit, err := cluster.NewVisit(clusterConfig(&j.o.Config))
	if err != nil {
		return err
	}
	defer visit.Close()
	fence, err := visit.Fence(ctx)
	if err != nil {
		return refusedBy(err)
	}
	if fence.Term < term {
		return fmt.Errorf("%w. The leader is in term %d, and this node knows term %d: recount cluster transfer "+
			"makes the others begin a later one", ErrNoFence, fence.Term, term)
	}
	j.r.Fence = fence.Index
	if err := j.o.step("fenced"); err != nil {
		return err
	}
	receiver := seed.NewReceiver(seed.Options{Dir: j.dir, Node: j.o.Config.NodeID, ClusterID: j.o.Config.ClusterID,
		Members: func() []string { return others(&j.o.Config) }, Room: j.room, Call: visit.Call, Logger: j.o.Logger,
		Repair: true, AtLeast: fence.Index})
	defer j.follow(receiver)()
	if err := receiver.Fetch(ctx); err != nil {
		return err
	}
	j.r.Member = receiver.Status().Member
	return j.o.step("copied")
}

// refusedBy tells a refusal of the members from their silence.
func refusedBy(err error) error {
	var remote *cluster.RemoteError
	if errors.As(err, &remote) && (remote.Code == cluster.CodeRemoved || remote.Code == cluster.CodeNoMember) {
		return refuse(err)
	}
	return fmt.Errorf("%w. The members: %w", ErrNoFence, err)
}

// follow tells the progress of a receiver until the returned function is called.
func (j *job) follow(r *seed.Receiver) (stop func()) {
	tick, ended, done := time.NewTicker(2*time.Second), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-tick.C:
				j.o.Tell(r.Status().Reason())
			case <-ended:
				return
			}
		}
	}()
	return func() { tick.Stop(); close(ended); <-done }
}

// room returns the bytes that a copy may take. A node takes no submissions below the margin.
func (j *job) room() uint64 {
	free, _, err := disk.Usage(j.dir)
	if err != nil {
		return 0
	}
	return free - min(free, disk.Margin)
}

// check compares the copy with what can still be read here, and lets the node know the term of its last entry.
func (j *job) check(ctx context.Context) error {
	j.o.Tell("comparing the copy with what can still be read of the damaged log")
	at, err := seed.Position(j.dir)
	if err != nil {
		return err
	}
	j.r.Index, j.r.Seq = at.Index, at.Seq
	const memory = 16 << 20
	if j.r.Same, err = log.Compare(ctx, j.old(), seed.LogDir(j.dir),
		log.Options{MemTableBytes: memory, CacheBytes: memory}); errors.Is(err, log.ErrOther) {
		return errors.Join(fmt.Errorf("%w: %w", ErrForeign, err), os.RemoveAll(seed.LogDir(j.dir)))
	} else if err != nil {
		return err
	}
	if err := j.o.step("compared"); err != nil {
		return err
	}
	if err := cluster.RaiseTerm(j.dir, at.Term); err != nil {
		return err
	}
	return j.o.step("raised the term")
}

// finish puts the copy in place. It needs nobody's answer, so it works after an interruption, too.
func (j *job) finish() (r Report, err error) {
	if j.r.Damaged, err = seed.Switch(j.dir, j.o.step); err != nil {
		return j.r, err
	}
	if err := node.EndUnreadable(j.dir); err != nil {
		return j.r, err
	}
	return j.r, seed.EndRepair(j.dir)
}

func others(c *node.Config) (out []string) {
	for _, v := range c.Voters {
		if v.ID != c.NodeID {
			out = append(out, v.ID)
		}
	}
	slices.Sort(out)
	return out
}

func clusterConfig(c *node.Config) cluster.Config {
	out := cluster.Config{NodeID: c.NodeID, ClusterID: c.ClusterID, Dir: c.Dir,
		TLS: cluster.TLSFiles{CA: c.Peer.CA, Cert: c.Peer.Cert, Key: c.Peer.Key}}
	for _, v := range c.Voters {
		out.Voters = append(out.Voters, cluster.Voter{ID: v.ID, PeerAddr: v.Peer})
	}
	return out
}
