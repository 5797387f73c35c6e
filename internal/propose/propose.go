// Package propose carries events into the Raft log. A Packer combines the events that wait into packs. If this
// node leads, each pack becomes one Raft entry. Otherwise the pack is forwarded to the leader. One fsync per
// node then serves up to 512 submissions.
//
// # The loop
//
// Callers add groups of events to one of two queues, called lanes: single events to the one, groups of several
// events to the other. One goroutine takes packs from them. In miniature:
//
//	for {
//		for each lane with a group, single events first {
//			if a pack of this lane is in flight {
//				wait until it is committed, or the lane has 256 KiB or 512 events,
//				or its oldest group has waited longer than packs usually take, or 10 ms
//				wait while two packs of this lane are in flight
//			}
//			wait until the lane has most of the events that usually come, 1 ms at most
//			pack := its groups, in their order, up to these bounds
//			go send(pack)
//		}
//	}
//
// An idle node sends a single submission at once. A busy node fills its next pack while the previous one is being
// committed, because a pack costs every node a fsync, a message and a step of its folds, whatever it holds. A
// second pack leaves beside one that takes long, so a long way to the other nodes does not halve the rate. A
// group never spans two packs. Operators' events get an entry of their own (SubmitAlone), and an
// operation is proposed only by the node that its operator addressed, while it leads (SubmitLocal). While that node does
// not lead, the operation stands aside and does not count as in flight.
//
//	send(pack):
//		for until the deadline {
//			if leader { index, err = Propose(pack) } else if not local { place, err = Forward(pack) }
//			if committed { wait for the fold, deliver the outcomes, return }
//			wait for a change of leadership, 50 ms at most
//		}
//
// # Lanes
//
// Large groups take long, and many of them may wait. Single events do not wait behind them: the lanes share no pack
// and no place in flight. So neither lane can stop the other. This holds on the whole way, because the leader puts a
// small pack of another node into the lane of single events. A follower makes its packs of single events no larger
// than that:
//
//	follower   single events  -> packs of up to 128 events, 64 KiB ->  lane of single events   leader
//	           groups         -> packs of up to 512 events         ->  lane of groups
//
// # What a caller learns
//
// A caller gets exactly one answer, and an error never claims more than the node knows:
//
//	outcome         the event was folded
//	ErrOverloaded   the queue is full or did not move: nothing was proposed
//	ErrNoLeader     no leader was found: nothing was proposed
//	ErrClosed       the node is stopping: nothing was proposed
//	ErrUnknown      an attempt may have reached a log
//
// Once an attempt may have reached a log, only an outcome or ErrUnknown is possible. Repeating a pack is safe,
// because the fold answers a repeated submission with its first outcome.
//
// A caller may stop waiting when its context ends. If no attempt has carried its group, the group is withdrawn
// and will not be proposed. The state of a group (queued, idle, tried, gone) decides which answer is true.
//
// # Limits
//
// The queue is bounded in bytes, including packs in flight (Options.MaxQueue). What another node forwarded is
// proposed here or rejected, never forwarded again, so packs cannot circulate. Hold stops new packs of
// submissions, for the switch of generations, while operators' events still leave.
package propose

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/laps"
)

// Errors that a caller receives instead of an outcome.
var (
	// ErrOverloaded means that the queue is full or did not move in time. Nothing was proposed.
	ErrOverloaded = errors.New("propose: the queue of this node is full")
	// ErrNoLeader means that no leader was found before the deadline. Nothing was proposed.
	ErrNoLeader = errors.New("propose: no leader")
	// ErrUnknown means that the deadline passed after the pack had been sent. It may or may not be in the log.
	ErrUnknown = errors.New("propose: outcome unknown")
	// ErrClosed means that the node is stopping. Nothing was proposed.
	ErrClosed = errors.New("propose: closed")
)

// Limits of packing. Sizes are bytes.
const (
	maxPackEvents = 512
	maxPackBytes  = 256 << 10
	maxInFlight   = 2                     // packs of each lane
	minBeside     = 2 * time.Millisecond  // a second pack leaves after this time at the earliest,
	maxBeside     = 10 * time.Millisecond // and after this time at the latest
	maxGather     = time.Millisecond      // longest wait for most of the usual events
	gatherLeast   = 8                     // fewer usual events are not waited for
	retryPause    = 50 * time.Millisecond
)

// The sizes up to which a group shares its pack with others: half of the events of a pack, and most of its bytes.
const (
	GroupEvents = maxPackEvents / 2
	GroupBytes  = maxPackBytes / 4 * 3
)

// ForwardPath is the path of the peer RPC under which a leader accepts packs of other nodes. It changes with the
// form of the answer: a node that cannot read the answer would send the pack again and again, and each copy would
// be logged.
const ForwardPath = "/v2/forward"

// Log is the part of consensus that the packer uses.
type Log interface {
	// IsLeader reports whether this node leads and may propose now.
	IsLeader() bool
	// Propose commits one entry and returns its index. The error is ErrNoLeader if nothing was proposed. Any
	// other error leaves the outcome unknown.
	Propose(ctx context.Context, entry []byte) (index uint64, err error)
	// Forward sends a pack to the leader and returns the position of its first event. Errors are those of
	// Propose and ErrOverloaded. ctx has the links of the groups that are traced (laps.Links).
	Forward(ctx context.Context, pack []byte) (LogPosition, error)
	// Changed returns a channel that is closed when the view of leadership changes.
	Changed() <-chan struct{}
}

// LogPosition is the position of a group of events in the log: the entry, and the offset of the group's first event
// in it.
type LogPosition struct {
	Index  uint64
	Offset int
	Resent bool // an earlier copy of the pack may be in the log before it
}

// Options of a Packer. R is the type of a folded outcome.
type Options[R any] struct {
	Log Log
	// Outcomes waits until this node has folded the entry and returns one outcome per event.
	Outcomes func(ctx context.Context, index uint64) ([]R, error)
	// Now is the proposer's raw clock, in Unix nanoseconds.
	Now func() int64
	// MaxQueue bounds the payload bytes that wait or are in flight.
	MaxQueue int
	// Deadline bounds the time during which a pack is tried.
	Deadline time.Duration
}

// Packer collects groups of events into packs. Create it with New and close it once.
type Packer[R any] struct {
	o      Options[R]
	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{}
	done   chan struct{}
	sends  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	lanes  [lanes]lane[R]
	queued int           // payload bytes in queues and in flight
	held   int           // holds that are not released
	landed chan struct{} // closed and replaced when a pack has come back
	packs  uint64
}

// group is a run of events that stays together in one pack.
type group[R any] struct {
	run   event.Run
	lane  *lane[R]
	alone bool
	place bool // the caller wants the position, not the outcomes
	// forwarded groups came from another node. They are proposed here or rejected.
	forwarded bool
	// local groups wait until this node leads. They are never forwarded.
	local  bool
	state  state // guarded by Packer.mu
	watch  laps.Watch
	offset int // of its first event in the entry, once that is known
	answer chan answer[R]
}

// state decides the answer to a caller that stops waiting.
type state uint8

const (
	queued state = iota // in the queue
	idle                // in a pack that is known to be in no log
	tried               // in a pack that may be in a log
	gone                // the caller was told that it was not proposed, so it will not be
)

type answer[R any] struct {
	place    LogPosition
	outcomes []R
	err      error
}

// New starts a packer.
func New[R any](o Options[R]) *Packer[R] {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Packer[R]{
		o:      o,
		ctx:    ctx,
		cancel: cancel,
		wake:   make(chan struct{}, 1),
		done:   make(chan struct{}),
		landed: make(chan struct{}),
	}
	go p.run()
	return p
}

// Close rejects new events, answers those that wait, and returns when nothing is in flight.
func (p *Packer[R]) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	<-p.done
	p.sends.Wait()
}

// Stats returns the bytes queued or in flight and the number of packs sent.
func (p *Packer[R]) Stats() (queuedBytes int, packs uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queued, p.packs
}

// Submit puts events into the log, next to each other in one entry, and returns their folded outcomes in the same
// order and the position of the first. An error holds for all of them. More than GroupEvents events, or more bytes than
// GroupBytes, leave no space in their pack for events of others.
func (p *Packer[R]) Submit(ctx context.Context, events ...event.Event) ([]R, LogPosition, error) {
	if len(events) == 0 {
		return nil, LogPosition{}, nil
	}
	a, err := p.enqueue(ctx, &group[R]{run: event.NewRun(events...)})
	if err != nil {
		return nil, LogPosition{}, err
	}
	if len(a.outcomes) != len(events) {
		return nil, a.place, ErrUnknown
	}
	return a.outcomes, a.place, nil
}

// SubmitAlone puts one event into its own entry. A node that does not lead forwards it.
func (p *Packer[R]) SubmitAlone(ctx context.Context, ev event.Event) (LogPosition, error) {
	a, err := p.enqueue(ctx, &group[R]{run: event.NewRun(ev), alone: true, place: true})
	return a.place, err
}

// SubmitLocal puts one event into its own entry, and only as the leader: an operation, which the leader would
// refuse from another node. If this node does not lead before the deadline, the error is ErrNoLeader.
func (p *Packer[R]) SubmitLocal(ctx context.Context, ev event.Event) (LogPosition, error) {
	a, err := p.enqueue(ctx, &group[R]{run: event.NewRun(ev), alone: true, place: true, local: true})
	return a.place, err
}

// Accept packs a group that another node forwarded, in the bytes that came. It is proposed here or rejected, never
// forwarded again.
func (p *Packer[R]) Accept(ctx context.Context, run event.Run) (LogPosition, error) {
	if !p.o.Log.IsLeader() {
		return LogPosition{}, ErrNoLeader
	}
	g := &group[R]{
		run:       run,
		place:     true,
		forwarded: true,
		alone:     run.Count == 1 && run.First != event.Submission,
	}
	a, err := p.enqueue(ctx, g)
	return a.place, err
}

// Hold keeps submissions in the queue until release is called. It returns when nothing is in flight. Events
// that want their own entry still leave. If Hold fails, nothing is held.
func (p *Packer[R]) Hold(ctx context.Context) (release func(), err error) {
	p.mu.Lock()
	p.held++
	p.mu.Unlock()
	release = sync.OnceFunc(func() {
		p.mu.Lock()
		p.held--
		p.mu.Unlock()
		p.poke()
	})
	for {
		p.mu.Lock()
		inFlight, landed := 0, p.landed
		for i := range p.lanes {
			inFlight += p.lanes[i].inFlight
		}
		p.mu.Unlock()
		if inFlight == 0 {
			return release, nil
		}
		select {
		case <-landed:
		case <-ctx.Done():
			release()
			return nil, ctx.Err()
		}
	}
}

func (p *Packer[R]) enqueue(ctx context.Context, g *group[R]) (answer[R], error) {
	g.answer, g.watch = make(chan answer[R], 1), laps.Of(ctx)
	g.watch.Lap(laps.Checked)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return answer[R]{}, ErrClosed
	}
	if p.queued+g.run.Payload > p.o.MaxQueue {
		p.mu.Unlock()
		return answer[R]{}, ErrOverloaded
	}
	p.queued += g.run.Payload
	if g.lane = p.laneOf(g); g.lane.add(g) || g.alone && p.held > 0 {
		p.poke()
	}
	p.mu.Unlock()
	select {
	case a := <-g.answer:
		g.watch.Lap(laps.Woken)
		return a, a.err
	case <-ctx.Done():
		return p.leave(g)
	}
}

// leave ends the wait for a group. If no attempt has carried the group, it is withdrawn.
func (p *Packer[R]) leave(g *group[R]) (answer[R], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case a := <-g.answer:
		return a, a.err
	default:
	}
	switch g.state {
	case queued:
		g.lane.remove(slices.Index(g.lane.queue, g))
		p.queued -= g.run.Payload
		g.state = gone
		return answer[R]{}, ErrOverloaded
	case idle:
		g.state = gone
		return answer[R]{}, ErrNoLeader
	}
	return answer[R]{}, ErrUnknown
}

func (p *Packer[R]) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
