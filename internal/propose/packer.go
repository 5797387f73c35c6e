package propose

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/recount-ledger/recount/internal/event"
)

// run sends packs once the queue is large or old enough.
func (p *Packer[R]) run() {
	defer close(p.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for p.ctx.Err() == nil {
		batch, wait := p.take()
		if batch != nil {
			p.sends.Add(1)
			go p.send(batch)
			continue
		}
		timer.Reset(wait)
		select {
		case <-p.wake:
		case <-timer.C:
		case <-p.ctx.Done():
		}
	}
	p.failQueue()
}

// take removes the next pack from the queue. Without a pack it returns the time to wait for one.
func (p *Packer[R]) take() (batch []*group[R], wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 || p.inFlight >= maxInFlight {
		return nil, time.Hour
	}
	if p.held > 0 {
		return p.takeAlone(), time.Hour
	}
	if wait := p.delay(time.Now()); wait > 0 {
		return nil, wait
	}
	batch = p.fill()
	p.oldest = time.Now()
	return batch, 0
}

// fill removes the groups of the next pack from the queue: the oldest, then those of one event, then others while they
// fit. So a single submission does not wait behind the batches of others, and each pack takes the batch that has waited
// longest. No group passes one that wants its own entry. p.mu must be held.
func (p *Packer[R]) fill() (batch []*group[R]) {
	end := len(p.queue)
	if i := slices.IndexFunc(p.queue, func(g *group[R]) bool { return g.alone }); i >= 0 {
		end = max(i, 1)
	}
	events, size := 0, 0
	add := func(g *group[R]) bool {
		if len(batch) > 0 && (events+g.run.Count > maxPackEvents || size+g.run.Payload > maxPackBytes) {
			return false
		}
		events, size = events+g.run.Count, size+g.run.Payload
		g.state = idle
		batch = append(batch, g)
		return true
	}
	add(p.queue[0])
	for _, single := range []bool{true, false} {
		for _, g := range p.queue[1:end] {
			if g.state == queued && (g.run.Count == 1) == single && !add(g) {
				break
			}
		}
	}
	left := make([]*group[R], 0, len(p.queue)-len(batch))
	for _, g := range p.queue {
		if g.state == queued {
			left = append(left, g)
		}
	}
	p.queue = left
	p.taken(events, size)
	return batch
}

// takeAlone removes the first group that wants its own entry. p.mu must be held.
func (p *Packer[R]) takeAlone() []*group[R] {
	i := slices.IndexFunc(p.queue, func(g *group[R]) bool { return g.alone })
	if i < 0 {
		return nil
	}
	g := p.queue[i]
	p.queue = slices.Delete(p.queue, i, i+1)
	g.state = idle
	p.taken(g.run.Count, g.run.Payload)
	return []*group[R]{g}
}

// taken counts a pack that leaves the queue. p.mu must be held.
func (p *Packer[R]) taken(events, size int) {
	p.waiting -= size
	p.events -= events
	p.inFlight++
	p.packs++
}

func (p *Packer[R]) failQueue() {
	p.mu.Lock()
	queue := p.queue
	p.queued -= p.waiting
	p.queue, p.waiting, p.events = nil, 0, 0
	for _, g := range queue {
		g.state = idle
	}
	p.mu.Unlock()
	for _, g := range queue {
		g.answer <- answer[R]{err: ErrClosed}
	}
}

// send brings one pack into the log and delivers an answer to every group.
func (p *Packer[R]) send(batch []*group[R]) {
	defer p.sends.Done()
	ctx, cancel := context.WithTimeout(p.ctx, p.o.Deadline)
	defer cancel()
	size, events, start := 0, 0, time.Now()
	for _, g := range batch {
		size, events = size+g.run.Payload, events+g.run.Count
	}
	left, place, err := p.deliver(ctx, batch)
	p.mu.Lock()
	p.inFlight--
	p.free = time.Now()
	if err == nil && !batch[0].alone {
		p.usual.note(events+p.events, p.free.Sub(start))
	}
	close(p.landed)
	p.landed = make(chan struct{})
	p.mu.Unlock()
	p.poke()
	p.answer(ctx, left, place, err)
	p.mu.Lock()
	p.queued -= size
	p.mu.Unlock()
}

// deliver tries the pack here or at the leader until it is committed or the deadline passes. It returns the
// groups that still need an answer. sent is set once an attempt may have reached a log, because "not proposed"
// would then be a guess.
func (p *Packer[R]) deliver(ctx context.Context, batch []*group[R]) (left []*group[R], place LogPosition, err error) {
	sent := false
	for {
		changed := p.o.Log.Changed()
		leads := p.o.Log.IsLeader()
		if batch = p.begin(batch, leads, sent); len(batch) == 0 {
			return nil, LogPosition{}, nil
		}
		if place, err = p.attempt(ctx, batch, leads); err == nil {
			place.Resent = place.Resent || sent
			return batch, place, nil
		}
		sent = sent || !errors.Is(err, ErrNoLeader) && !errors.Is(err, ErrOverloaded)
		if !sent {
			p.markIdle(batch)
		}
		if errors.Is(err, ErrOverloaded) && !sent {
			return batch, LogPosition{}, err
		}
		p.rest(ctx, changed, batch[0].local && !leads)
		if ctx.Err() != nil {
			return batch, LogPosition{}, p.giveUp(sent, err)
		}
	}
}

// rest waits for a change of leadership, retryPause at most. A pack that only this node may propose, as the leader,
// stands aside meanwhile and is not in flight, so that the other packs leave for the leader.
func (p *Packer[R]) rest(ctx context.Context, changed <-chan struct{}, aside bool) {
	if aside {
		p.moveInFlight(-1)
		defer p.moveInFlight(1)
	}
	pause := time.NewTimer(retryPause)
	defer pause.Stop()
	select {
	case <-changed:
	case <-pause.C:
	case <-ctx.Done():
	}
}

func (p *Packer[R]) moveInFlight(packs int) {
	p.mu.Lock()
	p.inFlight += packs
	p.mu.Unlock()
	p.poke()
}

// giveUp returns the error for a deadline that passed or a packer that was closed. It never says "not proposed"
// of a pack that may be in the log.
func (p *Packer[R]) giveUp(sent bool, last error) error {
	switch {
	case sent:
		return unknown(last)
	case p.ctx.Err() != nil:
		return ErrClosed
	}
	return ErrNoLeader
}

func unknown(cause error) error { return fmt.Errorf("%w: %s", ErrUnknown, cause) }

// begin selects the groups for the next attempt, which may be in the log from then on. It drops groups whose
// callers have gone. If this node does not lead, it also answers and drops groups that another node forwarded.
func (p *Packer[R]) begin(batch []*group[R], leads, sent bool) []*group[R] {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := make([]*group[R], 0, len(batch))
	for _, g := range batch {
		switch {
		case g.state == gone:
		case g.forwarded && !leads && sent:
			g.answer <- answer[R]{err: ErrUnknown}
		case g.forwarded && !leads:
			g.answer <- answer[R]{err: ErrNoLeader}
		default:
			g.state = tried
			kept = append(kept, g)
		}
	}
	return kept
}

// markIdle marks groups whose attempt is known to have reached no log.
func (p *Packer[R]) markIdle(batch []*group[R]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range batch {
		g.state = idle
	}
}

// attempt tries the pack once: here if this node leads, otherwise at the leader.
func (p *Packer[R]) attempt(ctx context.Context, batch []*group[R], leads bool) (LogPosition, error) {
	if !leads && batch[0].local { // a local group is alone in its pack
		return LogPosition{}, ErrNoLeader
	}
	runs := make([]event.Run, len(batch))
	for i, g := range batch {
		runs[i] = g.run
	}
	entry := event.Join(p.o.Now(), runs...)
	if leads {
		index, err := p.o.Log.Propose(ctx, entry)
		return LogPosition{Index: index}, err
	}
	return p.o.Log.Forward(ctx, entry)
}

// answer delivers the results: positions immediately, outcomes after one wait for the fold of the pack's entry.
func (p *Packer[R]) answer(ctx context.Context, batch []*group[R], place LogPosition, err error) {
	offset, waiters := place.Offset, 0
	for _, g := range batch {
		g.offset = offset
		offset += g.run.Count
		if g.place {
			at := LogPosition{Index: place.Index, Offset: g.offset, Resent: place.Resent}
			g.answer <- answer[R]{place: at, err: err}
			continue
		}
		waiters++
	}
	if waiters == 0 {
		return
	}
	var outcomes []R
	if err == nil {
		if outcomes, err = p.o.Outcomes(ctx, place.Index); err != nil {
			err = unknown(err)
		} else if len(outcomes) < offset {
			err = ErrUnknown
		}
	}
	for _, g := range batch {
		if g.place {
			continue
		}
		a := answer[R]{place: LogPosition{Index: place.Index, Offset: g.offset, Resent: place.Resent}, err: err}
		if err == nil {
			a.outcomes = outcomes[g.offset : g.offset+g.run.Count]
		}
		g.answer <- a
	}
}
