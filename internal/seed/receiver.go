package seed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/pause"
)

// Times of a receiver.
const (
	askEvery  = time.Second     // between two questions whether this node was added
	askLimit  = 3 * time.Second // of an offer
	callLimit = time.Minute     // of every other call: a source may hold a part back to keep its rate
	tryAgain  = 2 * time.Second // after no member gave a copy
	sayEvery  = 5 * time.Second // progress in the log
)

// giveUp is the number of rounds without a copy and without a single new byte after which Raft replicates the log.
const giveUp = 5

// Outcome is one of the two ways in which a joining node gets the log.
type Outcome int

// Outcomes of Run.
const (
	Copied    Outcome = iota + 1 // the copy is ready: close the node, Install, open it
	Replicate                    // the log is small, or no member gives a copy: Raft replicates it
)

// Options of a receiver. The fields up to Logger must be set, for Fetch without From and Added.
type Options struct {
	Dir             string // of the node
	Node, ClusterID string
	From            uint64          // a smaller log is replicated, in bytes
	Members         func() []string // other nodes that may be members
	Added           <-chan struct{} // has a signal once the cluster may have added this node
	Room            func() uint64   // bytes that the disk has for a copy
	Call            func(ctx context.Context, member, path string, body []byte) ([]byte, error)
	Logger          *slog.Logger

	// Repair makes Fetch work below events.repair/, for a node that has a log. Run is for nodes that join.
	Repair  bool
	AtLeast uint64 // a copy must reach this entry; 0 for any

	step func(name string) error // tests: ends the process at a point, or damages what is there
}

// Receiver gets a copy of the log for a node that joins with an empty one.
type Receiver struct {
	o     Options
	added bool // of Run: a leader tried to send entries

	mu     sync.Mutex
	status Status
}

// NewReceiver returns a receiver. Run runs it.
func NewReceiver(o Options) *Receiver {
	if o.step == nil {
		o.step = func(string) error { return nil }
	}
	return &Receiver{o: o, status: Status{Phase: Waiting}}
}

// Run waits until the cluster has added this node, and returns how it gets the log. It returns ctx's error when ctx
// ends, and no other one: what fails is tried again, with another member if there is one.
func (r *Receiver) Run(ctx context.Context) (Outcome, error) {
	failed := 0
	for {
		before := r.Status().Received
		out, err := r.round(ctx)
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		switch {
		case out == Replicate, out == Copied:
			return r.end(out)
		case err == nil && r.added:
			failed++ // a leader sends entries, and no node of the settings is a member that knows it
		case err == nil:
		case errors.Is(err, errNoRoom), errors.Is(err, errWrite), r.Status().Received > before:
			failed = 0
			r.fail(err)
		default:
			failed++
			r.fail(err)
		}
		if failed >= giveUp {
			r.o.Logger.Warn("no member gives a copy of the log; Raft replicates it", "error", err)
			return r.end(Replicate)
		}
		r.rest(ctx, err)
	}
}

// end removes what was copied if nobody needs it.
func (r *Receiver) end(out Outcome) (Outcome, error) {
	if out == Replicate {
		if err := r.remove(); err != nil {
			r.o.Logger.Warn("a part of a copy of the log stays on the disk", "error", err)
		}
		r.enter(Replicating, "")
	}
	return out, nil
}

// rest waits before the next round.
func (r *Receiver) rest(ctx context.Context, err error) {
	if err != nil {
		_ = pause.For(ctx, tryAgain)
		return
	}
	timer := time.NewTimer(askEvery)
	defer timer.Stop()
	select {
	case <-r.o.Added:
		r.added = true
	case <-timer.C:
	case <-ctx.Done():
	}
}

// round asks all members once, and copies from one. It returns neither an outcome nor an error while no member knows
// this node.
func (r *Receiver) round(ctx context.Context) (Outcome, error) {
	answers := r.ask(ctx)
	var able []answer
	var largest uint64
	known, silent := false, 0
	for _, a := range answers {
		switch {
		case a.err == nil:
			known, largest = true, max(largest, a.Bytes)
			if a.Can && a.Seq > 0 {
				able = append(able, a)
			}
		case codeOf(a.err) == cluster.CodeNoHandler:
			known = true // an earlier release
		case codeOf(a.err) != cluster.CodeNoMember:
			silent++
		}
	}
	switch {
	case len(answers) == 0 && len(r.avoided()) > 0: // they gave copies, so the cluster has added this node
		return Replicate, nil
	case !known:
		r.enter(Waiting, "")
		return 0, nil
	case len(able) > 0 && largest < r.o.From, len(able) == 0 && silent == 0:
		return Replicate, nil
	case len(able) == 0:
		return 0, errors.New("seed: no member that can be reached keeps copies")
	}
	var errs []error
	for _, a := range able {
		err := r.receive(ctx, a.member)
		if err == nil {
			return Copied, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", a.member, err))
		if ctx.Err() != nil || errors.Is(err, errNoRoom) || errors.Is(err, errWrite) {
			break // it would end in the same way with every member
		}
		r.o.Logger.Warn("a member could not give a copy of the log", "member", a.member, "error", err)
	}
	return 0, errors.Join(errs...)
}

// answer is the answer of a member to OfferPath.
type answer struct {
	member string
	offer
	err error
}

// ask returns the answers of all members: first the one whose copy is here in part, then followers, then the leader,
// then those that are far behind, such as other nodes that join.
func (r *Receiver) ask(ctx context.Context) []answer {
	bad := r.avoided()
	members := slices.DeleteFunc(r.o.Members(), func(m string) bool { return slices.Contains(bad, m) })
	out := make([]answer, len(members))
	var all sync.WaitGroup
	for i, m := range members {
		all.Go(func() {
			out[i].member = m
			out[i].err = r.call(ctx, askLimit, m, OfferPath, nil, &out[i].offer)
		})
	}
	all.Wait()
	begun := ""
	if p, err := readPlan(r.dir()); err == nil {
		begun = p.Member
	}
	var newest uint64
	for _, a := range out {
		newest = max(newest, a.Seq)
	}
	rank := func(a answer) int {
		switch {
		case a.Seq < newest/10*9:
			return 3
		case a.member == begun:
			return 0
		case !a.Leads:
			return 1
		}
		return 2
	}
	slices.SortFunc(out, func(a, b answer) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(b.Seq, a.Seq), cmp.Compare(a.member, b.member))
	})
	return out
}

// codeOf returns the code with which a member refused a call, or "".
func codeOf(err error) string {
	var refused *cluster.RemoteError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}
