// Package survivor reads the logs that are left after most disks of a cluster were lost, and says which one to keep.
//
// Look reads one directory of a stopped node, on a copy, so that nothing in it changes:
//
//	events/   the log: the end, the terms, the floor, and with the scrub every block of every table
//	derived/  folded up to the end of the log: numbers, times and digests of events, and the members
//	stable/   the newest term
//	members.json  what the other members told this node
//
// Compare ranks the reports of several survivors. It relies on what Raft guarantees (Ongaro and Ousterhout, section 5):
//
//	two entries with the same index and term are the same, and so is everything before them (log matching)
//	a leader has every entry that was committed in an earlier term (leader completeness)
//
// The log whose last entry has the highest term, and among those the highest index, came from the newest leader that
// any survivor has heard. So it has every committed entry that any of the survivors has. What another survivor has
// beyond the common part was never committed, and nobody was told that it is kept.
//
// A committed entry is on a majority. If a majority is gone, there may be none on any survivor. No survivor can
// know. It knows a floor: the highest entry that it knew to be committed. All entries up to there are in the log.
// Entries behind the floor are kept, too, and may have been committed or not. What members told this node of their
// commit index can prove that entries are lost. It can never prove that none are.
//
// The memory is that of an open log and of one folded state, about 200 MiB.
package survivor

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"sync/atomic"
	"time"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/wire"
)

// Place is a position in a log and the digest of all events up to there.
type Place struct {
	Index   uint64 `json:"index"`
	Term    uint64 `json:"term"`
	Seq     uint64 `json:"seq"`      // last event up to the entry
	LogTime string `json:"log_time"` // of that event, RFC 3339
	Log     string `json:"log"`      // Merkle root of the events up to it, hex
}

// Run is a part of a log whose entries have the same term. It ends where the next one begins.
type Run struct {
	Term  uint64 `json:"term"`
	First uint64 `json:"first"`
}

// Member is a member by the newest configuration of a log.
type Member struct {
	ID    string `json:"id"`
	Peer  string `json:"peer"`
	Voter bool   `json:"voter"`
}

// Format is the format of reports.
const Format = 1

// Report describes one survivor.
type Report struct {
	Format     int      `json:"format"`
	Dir        string   `json:"dir"`
	NodeID     string   `json:"node_id"`
	ClusterID  string   `json:"cluster_id"`
	Formerly   []string `json:"formerly,omitempty"` // earlier ids of the ledger, oldest first
	Term       uint64   `json:"term"`               // newest that the node knows
	Last       Place    `json:"last"`               // last entry of the log
	Floor      Place    `json:"floor"`              // last entry that the node knew to be committed
	Runs       []Run    `json:"runs"`               // oldest first
	Members    []Member `json:"members"`
	MembersAt  uint64   `json:"members_at"` // entry of that configuration
	Heard      uint64   `json:"heard"`      // highest commit index that another member told this node, without its term
	HeardFrom  string   `json:"heard_from,omitempty"`
	Quarantine string   `json:"quarantine,omitempty"` // reason, if the node is in quarantine
	Recovered  string   `json:"recovered,omitempty"`  // id of the cluster that was founded with this log
}

// Errors of Look.
var (
	ErrDamaged = errors.New("survivor: this log is damaged")
	ErrNoNode  = errors.New("survivor: this is no directory of a node")
)

// RecoveredFile is in the directory of a survivor whose log has founded a cluster. It has the id of that cluster.
const RecoveredFile = "recovered"

// Progress is called during long stages, with bytes or entries.
type Progress func(stage string, done, total uint64)

// batchBytes is the size of the entries that are folded at once.
const batchBytes = fsm.DefaultBatchBytes

// view is a copy of a log with what is folded of it.
type view struct {
	dir, copied string
	store       *log.Store
	derived     *fsm.Derived
	failed      atomic.Pointer[error]
	tell        Progress
}

// copyPrefix begins the name of the directory with the copies. One that an interrupted Look has left keeps old tables on
// the disk, so the next one removes it.
const copyPrefix = "survivor-"

// Look examines the directory of a stopped node. It needs little room there for the time being.
func Look(ctx context.Context, dir string, tell Progress) (r *Report, err error) {
	lock, err := durable.LockStore(filepath.Join(dir, "events"))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: %s", ErrNoNode, dir)
	case err != nil:
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if _, _, err := cluster.Owner(dir); err != nil {
		return nil, err
	}
	if _, err := durable.RemovePrefixed(nil, dir, copyPrefix); err != nil {
		return nil, err
	}
	copied, err := os.MkdirTemp(dir, copyPrefix)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(copied)) }()
	v := &view{dir: dir, copied: copied, tell: tell}
	defer func() { err = errors.Join(err, v.close()) }()
	if err := v.open(ctx); err != nil {
		return nil, err
	}
	return v.report(ctx)
}

// open copies and opens log and fold, and reads every table of the log.
func (v *view) open(ctx context.Context) error {
	events := filepath.Join(v.copied, "events")
	tables, err := durable.CopyStore(filepath.Join(v.dir, "events"), events)
	if err != nil {
		return err
	}
	if _, err := durable.CopyStore(filepath.Join(v.dir, "stable"), filepath.Join(v.copied, "stable")); err != nil {
		return err
	}
	if v.store, err = log.Open(events, log.Options{Fatal: v.fail}); err != nil {
		return damaged(err)
	}
	read := uint64(0)
	err = v.store.Scrub(ctx, func(ctx context.Context, n int) error {
		read += uint64(n)
		v.tell("read", min(read, tables), tables)
		return ctx.Err()
	})
	if err != nil {
		return damaged(errors.Join(err, v.failure()))
	}
	return v.openDerived()
}

// openDerived opens a copy of derived/. If that is damaged or absent, it begins a new one. A folded state that is ahead
// of the log proves that the log has lost its end.
func (v *view) openDerived() (err error) {
	to, quiet := filepath.Join(v.copied, "derived"), slog.New(slog.DiscardHandler)
	if _, err = durable.CopyStore(filepath.Join(v.dir, "derived"), to); err == nil {
		v.derived, err = fsm.OpenDerived(nil, to, v.store, batchBytes, quiet, v.fail)
	}
	if errors.Is(err, fsm.ErrAhead) {
		return damaged(err)
	}
	if err == nil {
		return nil
	}
	v.failed.Store(nil)
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	v.derived, err = fsm.OpenDerived(nil, to, v.store, batchBytes, quiet, v.fail)
	return err
}

// damaged adds ErrDamaged to an error of a log.
func damaged(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, log.ErrInUse) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

func (v *view) fail(err error) { v.failed.CompareAndSwap(nil, &err) }

// failure returns the first thing that a store reported.
func (v *view) failure() error {
	if err := v.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (v *view) close() error {
	var errs []error
	if v.derived != nil {
		errs = append(errs, v.derived.Close())
	}
	if v.store != nil {
		if err := v.store.Close(); !errors.Is(err, v.failure()) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (v *view) report(ctx context.Context) (*Report, error) {
	r := &Report{Format: Format, Dir: v.dir}
	var err error
	if r.Floor, err = v.fold(ctx, v.store.Committed()); err != nil {
		return nil, err
	}
	last, err := v.store.LastIndex()
	if err != nil {
		return nil, err
	}
	v.store.CommittedTo(last)
	if r.Last, err = v.fold(ctx, last); err != nil {
		return nil, err
	}
	if r.Runs, err = runs(v.store, last); err != nil {
		return nil, damaged(err)
	}
	if err := v.members(r); err != nil {
		return nil, err
	}
	for name, into := range map[string]*string{"quarantine": &r.Quarantine, RecoveredFile: &r.Recovered} {
		raw, err := os.ReadFile(filepath.Join(v.dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		*into = string(raw)
	}
	return r, nil
}

// members adds what the files beside the log say.
func (v *view) members(r *Report) error {
	s, err := cluster.ExamineStopped(v.dir, filepath.Join(v.copied, "stable"), v.store, v.derived)
	if err != nil {
		return err
	}
	r.NodeID, r.ClusterID, r.Term, r.MembersAt = s.NodeID, s.ClusterID, s.Term, s.Configuration.Index
	for _, m := range s.Configuration.Members {
		r.Members = append(r.Members, Member{m.ID, m.PeerAddr, m.Votes()})
	}
	for id, committed := range s.Heard {
		if committed > r.Heard || committed == r.Heard && id < r.HeardFrom {
			r.Heard, r.HeardFrom = committed, id
		}
	}
	names := v.derived.Control().Names(r.Last.Seq)
	if n := len(names); n > 0 && names[n-1] != r.ClusterID {
		return fmt.Errorf("%w: node.json is of cluster %q, the log of %q", ErrDamaged, r.ClusterID, names[n-1])
	} else if n > 1 {
		r.Formerly = names[:n-1]
	}
	return nil
}

// tellEvery is the pause between two calls of Progress while events are folded.
const tellEvery = 200 * time.Millisecond

// fold folds up to entry index, which the store takes for committed, and returns the place.
func (v *view) fold(ctx context.Context, index uint64) (Place, error) {
	done := make(chan error, 1)
	go func() { done <- v.derived.CatchUp(ctx) }()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			v.tell("fold", v.derived.Cursor().Index, index)
			continue
		case err := <-done:
			if err := errors.Join(err, v.failure()); err != nil {
				return Place{}, err
			}
		}
		break
	}
	at := v.derived.Cursor()
	root, err := v.derived.Root(at.Seq)
	return Place{Index: at.Index, Term: at.Term, Seq: at.Seq, LogTime: wire.TimeNS(at.LogTime),
		Log: hex.EncodeToString(root[:])}, err
}

// runs finds the terms of a log. Terms never get lower, so it looks at few entries.
func runs(s *log.Store, last uint64) (out []Run, err error) {
	term := func(index uint64) uint64 {
		e, got := s.Entry(index)
		err = errors.Join(err, got)
		return e.Term
	}
	for first := uint64(1); first <= last && err == nil; {
		t := term(first)
		out = append(out, Run{Term: t, First: first})
		left := last - first
		first += uint64(sort.Search(int(left), func(i int) bool { return term(first+1+uint64(i)) > t })) + 1
	}
	return out, err
}
