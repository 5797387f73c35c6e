package propose

import (
	"context"
	"errors"
	"time"

	"github.com/recount-ledger/recount/internal/event"
)

// run decides when a pack leaves: at once when nothing is in flight, else when it is large or old enough.
func (p *Packer[R]) run() {
	defer close(p.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
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
			p.failQueue()
			return
		}
	}
}

// take removes the next pack from the queue, or says how long to wait for one.
func (p *Packer[R]) take() (batch []*group[R], wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 || p.inFlight >= maxInFlight {
		return nil, time.Hour
	}
	age := time.Since(p.oldest)
	if p.inFlight > 0 && p.waiting < maxPackBytes && p.events < maxPackEvents && age < maxWait {
		return nil, maxWait - age
	}
	events, size := 0, 0
	for i, g := range p.queue {
		full := events+len(g.events) > maxPackEvents || size+g.bytes > maxPackBytes
		if i > 0 && (full || g.alone || p.queue[i-1].alone) {
			break
		}
		events, size = events+len(g.events), size+g.bytes
		batch = append(batch, g)
	}
	p.queue = append(p.queue[:0:0], p.queue[len(batch):]...)
	p.waiting -= size
	p.events -= events
	p.oldest = time.Now()
	p.inFlight++
	p.packs++
	return batch, 0
}

func (p *Packer[R]) failQueue() {
	p.mu.Lock()
	queue := p.queue
	p.queue, p.waiting, p.events = nil, 0, 0
	p.mu.Unlock()
	for _, g := range queue {
		g.answer <- answer[R]{err: ErrClosed}
	}
}

// send brings one pack into the log and hands every group its answer.
func (p *Packer[R]) send(batch []*group[R]) {
	defer p.sends.Done()
	ctx, cancel := context.WithTimeout(p.ctx, p.o.Deadline)
	defer cancel()
	pack, size := event.Pack{}, 0
	for _, g := range batch {
		pack.Events = append(pack.Events, g.events...)
		size += g.bytes
	}
	place, err := p.deliver(ctx, pack)
	p.mu.Lock()
	p.inFlight--
	p.mu.Unlock()
	p.poke()
	p.answer(ctx, batch, place, err)
	p.mu.Lock()
	p.queued -= size
	p.mu.Unlock()
}

// deliver tries the pack here or at the leader until it is committed or the deadline passes. sent remembers that an
// attempt may have reached a log, after which "not proposed" can no longer be said.
func (p *Packer[R]) deliver(ctx context.Context, pack event.Pack) (Place, error) {
	sent := false
	for {
		changed := p.o.Log.Changed()
		place, err := p.attempt(ctx, pack)
		if err == nil {
			return place, nil
		}
		if !errors.Is(err, ErrNoLeader) && !errors.Is(err, ErrOverloaded) {
			sent = true
		}
		if errors.Is(err, ErrOverloaded) && !sent {
			return Place{}, err
		}
		pause := time.NewTimer(retryPause)
		select {
		case <-changed:
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			if sent {
				return Place{}, errors.Join(ErrUnknown, err)
			}
			return Place{}, errors.Join(ErrNoLeader, err)
		}
		pause.Stop()
	}
}

func (p *Packer[R]) attempt(ctx context.Context, pack event.Pack) (Place, error) {
	pack.ProposedAt = p.o.Now()
	entry := pack.Append(nil)
	if p.o.Log.IsLeader() {
		index, err := p.o.Log.Propose(ctx, entry)
		return Place{Index: index}, err
	}
	return p.o.Log.Forward(ctx, entry)
}

// answer hands each group its part: places at once, outcomes after one wait for the fold of the pack's entry.
func (p *Packer[R]) answer(ctx context.Context, batch []*group[R], place Place, err error) {
	offset, waiters := place.Offset, 0
	for _, g := range batch {
		g.offset = offset
		offset += len(g.events)
		if g.place {
			g.answer <- answer[R]{place: Place{Index: place.Index, Offset: g.offset}, err: err}
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
			err = errors.Join(ErrUnknown, err)
		} else if len(outcomes) < offset {
			err = ErrUnknown
		}
	}
	for _, g := range batch {
		if g.place {
			continue
		}
		a := answer[R]{place: Place{Index: place.Index, Offset: g.offset}, err: err}
		if err == nil {
			a.outcomes = outcomes[g.offset : g.offset+len(g.events)]
		}
		g.answer <- a
	}
}
