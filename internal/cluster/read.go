package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

const (
	pathTerm      = "/cluster/term"
	pathReadIndex = "/cluster/readindex"
	pathAbout     = "/cluster/about"

	// term, Unix nanoseconds, 1 if the clock stepped too far; big-endian. If asked, 1 follows when fit to lead.
	termResponseSize = 17
)

// readLoop confirms leadership for reads. One round runs at a time. Reads that arrive meanwhile share the next
// round, so every voter is asked after all reads of the round arrived.
type readLoop struct {
	c        *Cluster
	requests chan *readRequest
	ready    atomic.Uint64 // the newest term with an entry of this leader that is known to be committed
}

type readRequest struct {
	ctx    context.Context
	result chan readResult // buffered
}

type readResult struct {
	at  position
	err error
}

// position is an entry of the log. The zero position is before every entry.
type position struct{ index, term uint64 }

// positionSize is the size of an encoded position: index and term, big-endian.
const positionSize = 16

func (p position) append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, p.index), p.term)
}

func newReadLoop(c *Cluster) *readLoop { return &readLoop{c: c, requests: make(chan *readRequest)} }

func (c *Cluster) registerInternal() {
	c.Handle(pathTerm, c.serveTerm)
	c.Handle(pathAbout, func(context.Context, string, []byte) (out []byte, err error) {
		if c.cfg.About != nil {
			out = c.cfg.About()
		}
		return out, nil
	})
	c.Handle(pathFence, c.reads.serveFence)
	OpenToVisits(c, pathFence)
	c.Handle(pathReadIndex, func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		at, err := c.reads.request(ctx)
		switch {
		case errors.Is(err, ErrNotLeader):
			return nil, &RemoteError{codeNotLeader, err.Error()}
		case err != nil:
			return nil, &RemoteError{codeNoQuorum, err.Error()}
		}
		return at.append(nil), nil
	})
}

// serveTerm returns this node's term and clock and, if asked, whether it is fit to lead. It runs outside
// Raft's main goroutine. Raft makes a term durable and visible before it grants a vote in it. A node that
// answers term T has therefore not yet voted for a leader later than T.
func (c *Cluster) serveTerm(_ context.Context, _ string, body []byte) ([]byte, error) {
	out := binary.BigEndian.AppendUint64(make([]byte, 0, termResponseSize+len(queryFitness)), c.Term())
	out = c.clocks.appendTo(out)
	switch {
	case len(body) == 0:
	case c.fit():
		out = append(out, 1)
	default:
		out = append(out, 0)
	}
	return out, nil
}

// ReadIndex returns a Raft index such that a state folded up to it is linearizable with respect to the call:
// after the call began, a quorum of voters confirmed that it knows no later term than the leader's. The index
// belongs to an entry that reaches the FSM, or is 0. A follower asks the leader, and its log learns from the
// response that the entry is committed, so a read does not wait for the next AppendEntries. Errors: ErrNoLeader,
// ErrNotLeader, ErrNotConfirmed, ErrUnreachable, ErrShutdown.
func (c *Cluster) ReadIndex(ctx context.Context) (index uint64, err error) {
	if _, ok := c.IsLeader(); ok {
		at, err := c.reads.request(ctx)
		return at.index, err
	}
	leader, ok := c.Leader()
	if !ok {
		return 0, ErrNoLeader
	}
	if leader == c.cfg.NodeID {
		return 0, ErrNotLeader
	}
	out, err := c.Call(ctx, leader, pathReadIndex, nil)
	var remote *RemoteError
	switch {
	case errors.As(err, &remote) && remote.Code == codeNotLeader:
		return 0, fmt.Errorf("%w: %s says so", ErrNotLeader, leader)
	case errors.As(err, &remote):
		return 0, fmt.Errorf("%w: %w", ErrNotConfirmed, remote)
	case err != nil:
		return 0, err
	case len(out) != positionSize:
		return 0, fmt.Errorf("%w: %s answered %d bytes", ErrNotConfirmed, leader, len(out))
	}
	index = binary.BigEndian.Uint64(out)
	c.logs.CommittedAt(index, binary.BigEndian.Uint64(out[8:]))
	return index, nil
}

func (l *readLoop) request(ctx context.Context) (position, error) {
	r := &readRequest{ctx: ctx, result: make(chan readResult, 1)}
	select {
	case l.requests <- r:
	case <-ctx.Done():
		return position{}, fmt.Errorf("%w: %w", ErrNotConfirmed, ctx.Err())
	case <-l.c.stop.Done():
		return position{}, ErrShutdown
	}
	select {
	case got := <-r.result:
		return got.at, got.err
	case <-ctx.Done():
		return position{}, fmt.Errorf("%w: %w", ErrNotConfirmed, ctx.Err())
	case <-l.c.stop.Done():
		return position{}, ErrShutdown
	}
}

// run serves requests in rounds until the cluster closes. Requests that arrive during a round wait for the next
// one.
func (l *readLoop) run() {
	var waiting []*readRequest
	done := make(chan struct{}, 1)
	busy := false
	for {
		if !busy && len(waiting) > 0 {
			round := waiting
			waiting, busy = nil, true
			l.c.wg.Go(func() {
				l.round(round)
				done <- struct{}{}
			})
		}
		select {
		case r := <-l.requests:
			waiting = append(waiting, r)
		case <-done:
			busy = false
		case <-l.c.stop.Done():
			return
		}
	}
}

func (l *readLoop) round(requests []*readRequest) {
	ctx, cancel := context.WithTimeout(l.c.stop, l.c.cfg.Timings.Election)
	defer cancel()
	at, err := l.confirm(ctx)
	for _, r := range requests {
		r.result <- readResult{at, err}
	}
	if err == nil {
		l.c.counts.rounds.Add(1)
		l.c.counts.reads.Add(uint64(len(requests)))
	}
}

func (l *readLoop) confirm(ctx context.Context) (position, error) {
	term, ok := l.c.IsLeader()
	if !ok {
		return position{}, ErrNotLeader
	}
	index, err := l.committedInTerm(ctx, term)
	if err != nil {
		return position{}, err
	}
	if err := l.quorum(ctx, term); err != nil {
		return position{}, err
	}
	if now, ok := l.c.IsLeader(); !ok || now != term {
		return position{}, ErrNotLeader
	}
	return l.lastFolded(index)
}

// commitPoll is the interval at which a new leader looks for its first committed entry.
const commitPoll = 5 * time.Millisecond

// committedInTerm waits until an entry of this leader's own term is committed. Before that, its commit index
// may be behind what earlier leaders acknowledged.
func (l *readLoop) committedInTerm(ctx context.Context, term uint64) (uint64, error) {
	tick := time.NewTicker(commitPoll)
	defer tick.Stop()
	for {
		index := l.c.CommitIndex()
		if l.ready.Load() == term {
			return index, nil
		}
		var entry raft.Log
		if index > 0 && l.c.logs.GetLog(index, &entry) == nil && entry.Term == term {
			l.ready.Store(term)
			return index, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: this leader has not committed in its term yet", ErrNotConfirmed)
		}
		if now, ok := l.c.IsLeader(); !ok || now != term {
			return 0, ErrNotLeader
		}
	}
}

// quorum asks all voters for their term. A majority, including this node if it votes, must answer exactly term. Late
// answers are not cancelled but ignored. The number of open questions per voter is bounded.
func (l *readLoop) quorum(ctx context.Context, term uint64) error {
	now := l.c.members.now()
	others := l.c.calls.of(now.voters)
	answers := make(chan uint64, len(others))
	need, left := now.majority(), 0
	if now.votes(l.c.cfg.NodeID) {
		need--
	}
	for _, p := range others {
		select {
		case p.inFlight <- struct{}{}:
		default:
			continue
		}
		left++
		l.c.wg.Go(func() {
			defer func() { <-p.inFlight }()
			asked, cancel := context.WithTimeout(l.c.stop, l.c.cfg.Timings.Election)
			defer cancel()
			answers <- l.c.clocks.poll(asked, p.id)
		})
	}
	for need > 0 {
		if left < need {
			return ErrNotConfirmed
		}
		select {
		case got := <-answers:
			left--
			if got > term {
				return fmt.Errorf("%w: a voter is in term %d, this node leads in %d", ErrNotLeader, got, term)
			}
			if got == term {
				need--
			}
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrNotConfirmed, ctx.Err())
		}
	}
	return nil
}

// lastFolded steps back over entries that never reach the FSM (no-ops, barriers), so that waiting for the index
// ends.
func (l *readLoop) lastFolded(index uint64) (position, error) {
	for ; index > 0; index-- {
		var entry raft.Log
		if err := l.c.logs.GetLog(index, &entry); err != nil {
			return position{}, fmt.Errorf("%w: entry %d: %w", ErrNotConfirmed, index, err)
		}
		if entry.Type == raft.LogCommand || entry.Type == raft.LogConfiguration {
			return position{index, entry.Term}, nil
		}
	}
	return position{}, nil
}
