package propose

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/laps"
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

// take removes the next pack from a queue. Without a pack it returns the time to wait for one. Each lane has places
// of its own in flight, so neither waits for the other.
func (p *Packer[R]) take() (batch []*group[R], wait time.Duration) {
	events, bytes := maxPackEvents, maxPackBytes
	if !p.o.Log.IsLeader() {
		events, bytes = smallEvents, smallBytes
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	wait = time.Hour
	for i := range p.lanes {
		l := &p.lanes[i]
		if i == manyLane {
			events, bytes = maxPackEvents, maxPackBytes
		}
		if len(l.queue) == 0 || l.inFlight >= maxInFlight {
			continue
		}
		if p.held > 0 {
			batch = l.takeAlone()
		} else if delay := l.delay(time.Now()); delay > 0 {
			wait = min(wait, delay)
		} else {
			batch, l.oldest = l.fill(events, bytes), time.Now()
		}
		if batch != nil {
			l.inFlight++
			p.packs++
			return batch, 0
		}
	}
	return nil, wait
}

func (p *Packer[R]) failQueue() {
	p.mu.Lock()
	var queue []*group[R]
	for i := range p.lanes {
		queue = append(queue, p.lanes[i].clear()...)
	}
	for _, g := range queue {
		p.queued -= g.run.Payload
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
	l, size, events, start := batch[0].lane, 0, 0, time.Now()
	for _, g := range batch {
		size, events = size+g.run.Payload, events+g.run.Count
	}
	left, place, err := p.deliver(ctx, batch)
	p.mu.Lock()
	l.inFlight--
	l.free = time.Now()
	if err == nil && !batch[0].alone {
		l.usual.note(events+l.events, l.free.Sub(start))
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
		p.rest(ctx, changed, batch[0], leads)
		if ctx.Err() != nil {
			return batch, LogPosition{}, p.giveUp(sent, err)
		}
	}
}

// rest waits for a change of leadership, retryPause at most. A pack that only this node may propose, as the leader,
// stands aside meanwhile and is not in flight, so that the other packs leave for the leader.
func (p *Packer[R]) rest(ctx context.Context, changed <-chan struct{}, first *group[R], leads bool) {
	if first.local && !leads {
		p.moveInFlight(first.lane, -1)
		defer p.moveInFlight(first.lane, 1)
	}
	pause := time.NewTimer(retryPause)
	defer pause.Stop()
	select {
	case <-changed:
	case <-pause.C:
	case <-ctx.Done():
	}
}

func (p *Packer[R]) moveInFlight(l *lane[R], packs int) {
	p.mu.Lock()
	l.inFlight += packs
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
	var links []laps.Link
	for _, g := range batch {
		links = g.watch.AppendLink(links)
	}
	return p.o.Log.Forward(laps.WithLinks(ctx, links), entry)
}

// answer delivers the results: positions immediately, outcomes after one wait for the fold of the pack's entry.
func (p *Packer[R]) answer(ctx context.Context, batch []*group[R], place LogPosition, err error) {
	offset, waiters := place.Offset, 0
	for _, g := range batch {
		g.offset = offset
		offset += g.run.Count
		g.watch.Lap(laps.Committed)
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
		g.watch.Lap(laps.Folded)
		g.answer <- a
	}
}
