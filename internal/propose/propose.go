// Package propose carries events into the log: it packs what waits into one entry when this node leads, and forwards it
// to the leader, once, when it does not. A pack whose fate is unknown is sent again until its deadline; that is safe
// because the fold answers a repeated submission with its first outcome.
//
// The package refuses to queue without bound, to forward what was forwarded to it, and to guess an outcome: a caller
// gets the folded outcome, "not proposed" or "unknown".
package propose

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/recount-ledger/recount/internal/event"
)

// What a caller is told instead of an outcome.
var (
	// ErrOverloaded: the queue is full or did not move in time; nothing was proposed.
	ErrOverloaded = errors.New("propose: the queue of this node is full")
	// ErrNoLeader: no leader was found before the deadline; nothing was proposed.
	ErrNoLeader = errors.New("propose: no leader")
	// ErrUnknown: the deadline passed after the pack had been sent; it may or may not be in the log.
	ErrUnknown = errors.New("propose: outcome unknown")
	// ErrClosed: the node is stopping; nothing was proposed.
	ErrClosed = errors.New("propose: closed")
)

// Limits of packing. Sizes are bytes.
const (
	maxPackEvents = 512
	maxPackBytes  = 256 << 10
	maxInFlight   = 2
	maxWait       = 2 * time.Millisecond
	retryPause    = 50 * time.Millisecond
)

// ForwardPath is the peer RPC under which a leader accepts packs of other nodes.
const ForwardPath = "/v1/forward"

// Log is what the packer needs of consensus.
type Log interface {
	// IsLeader reports whether this node leads and may propose now.
	IsLeader() bool
	// Propose commits one entry and returns its index. The error is ErrNoLeader when nothing was proposed; any other
	// error leaves the outcome unknown.
	Propose(ctx context.Context, entry []byte) (index uint64, err error)
	// Forward hands a pack to the leader and returns where its events begin. Errors as for Propose, and ErrOverloaded.
	Forward(ctx context.Context, pack []byte) (Place, error)
	// Changed returns a channel that is closed when the view of leadership changes.
	Changed() <-chan struct{}
}

// Place says where a group of events stands in the log: the entry, and the offset of the group's first event in it.
type Place struct {
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
	// Deadline bounds how long a pack is tried.
	Deadline time.Duration
}

// Packer gathers groups of events into packs. Create it with New; Close it once.
type Packer[R any] struct {
	o      Options[R]
	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{}
	done   chan struct{}
	sends  sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	queue    []*group[R]
	queued   int // bytes in queue and in flight
	waiting  int // bytes in queue
	events   int // events in queue
	oldest   time.Time
	held     int           // holds that are not released
	landed   chan struct{} // closed when a pack has come back, made anew then
	inFlight int
	packs    uint64
}

// group is a run of events that stays together in one pack.
type group[R any] struct {
	events []event.Event
	bytes  int
	alone  bool
	place  bool // the caller wants the place, not the outcomes
	// forwarded groups came from another node and are proposed here or not at all.
	forwarded bool
	state     state // guarded by Packer.mu
	offset    int   // of its first event in the entry, once that is known
	answer    chan answer[R]
}

// state says what can be told to a caller who stops waiting.
type state uint8

const (
	queued state = iota // in the queue
	idle                // in a pack that is known to be in no log
	tried               // in a pack that may be in a log
	gone                // its caller was told that it was not proposed, and it will not be
)

type answer[R any] struct {
	place    Place
	outcomes []R
	err      error
}

// New starts a packer.
func New[R any](o Options[R]) *Packer[R] {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Packer[R]{o: o, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1), done: make(chan struct{}), landed: make(chan struct{})}
	go p.run()
	return p
}

// Close refuses new events, tells those that wait, and returns when nothing is in flight.
func (p *Packer[R]) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	<-p.done
	p.sends.Wait()
}

// Stats are the bytes queued or in flight and the packs sent so far.
func (p *Packer[R]) Stats() (queuedBytes int, packs uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queued, p.packs
}

// Submit puts one event into the log and returns its folded outcome.
func (p *Packer[R]) Submit(ctx context.Context, ev event.Event) (R, Place, error) {
	var none R
	a, err := p.enqueue(ctx, &group[R]{events: []event.Event{ev}})
	if err != nil {
		return none, Place{}, err
	}
	if len(a.outcomes) != 1 {
		return none, a.place, ErrUnknown
	}
	return a.outcomes[0], a.place, nil
}

// SubmitAlone puts one event into an entry of its own, as operator events want it.
func (p *Packer[R]) SubmitAlone(ctx context.Context, ev event.Event) (Place, error) {
	a, err := p.enqueue(ctx, &group[R]{events: []event.Event{ev}, alone: true, place: true})
	return a.place, err
}

// Accept packs a group that another node forwarded; it is proposed here or refused, never forwarded again.
func (p *Packer[R]) Accept(ctx context.Context, pack event.Pack) (Place, error) {
	if !p.o.Log.IsLeader() {
		return Place{}, ErrNoLeader
	}
	g := &group[R]{events: pack.Events, place: true, forwarded: true, alone: len(pack.Events) == 1 && pack.Events[0].Kind != event.Submission}
	a, err := p.enqueue(ctx, g)
	return a.place, err
}

// Hold keeps submissions in the queue until release is called, and returns when nothing is in flight. Events that want an entry
// of their own still leave. Without success nothing is held.
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
		inFlight, landed := p.inFlight, p.landed
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
	g.answer = make(chan answer[R], 1)
	for _, e := range g.events {
		g.bytes += len(e.Payload)
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return answer[R]{}, ErrClosed
	}
	if p.queued+g.bytes > p.o.MaxQueue {
		p.mu.Unlock()
		return answer[R]{}, ErrOverloaded
	}
	if len(p.queue) == 0 {
		p.oldest = time.Now()
	}
	p.queue = append(p.queue, g)
	p.queued += g.bytes
	p.waiting += g.bytes
	p.events += len(g.events)
	p.mu.Unlock()
	p.poke()
	select {
	case a := <-g.answer:
		return a, a.err
	case <-ctx.Done():
		return p.leave(g)
	}
}

// leave ends the wait for a group: what no attempt has carried is taken back.
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
		i := slices.Index(p.queue, g)
		p.queue = slices.Delete(p.queue, i, i+1)
		p.queued -= g.bytes
		p.waiting -= g.bytes
		p.events -= len(g.events)
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
