package frames

import "time"

// pulse finds out that the peer is gone. If no bytes come for quiet, it sends a ping, and if none come for grace after
// that, it ends the connection.
type pulse struct {
	l            *link
	quiet, grace time.Duration
	// excused returns the time since l.began up to which silence is no sign. The pulse rests if ok is false. It is
	// called under l.mu.
	excused func() (until time.Duration, ok bool)

	timer  *time.Timer // with all below under l.mu
	armed  bool
	asked  time.Duration // since l.began: the last ping, or 0
	closed bool
}

func (l *link) newPulse(quiet, grace time.Duration, excused func() (time.Duration, bool)) {
	p := &pulse{l: l, quiet: quiet, grace: grace, excused: excused}
	p.timer = time.AfterFunc(quiet, p.beat)
	p.timer.Stop()
	l.pulse = p
}

// wake starts a pulse that rests.
func (p *pulse) wake() {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	if !p.armed && !p.closed {
		p.armed, p.asked = true, 0
		p.timer.Reset(p.quiet)
	}
}

// stop ends the pulse. The caller holds l.mu.
func (p *pulse) stop() {
	p.closed = true
	p.timer.Stop()
}

func (p *pulse) beat() {
	switch p.next() {
	case pulsePing:
		p.l.soon(func(u *urgent) { u.ping = true })
	case pulseEnd:
		p.l.end(errSilent)
	}
}

const (
	pulseWait = iota
	pulsePing
	pulseEnd
)

// next decides, and sets the timer for the next decision.
func (p *pulse) next() int {
	p.l.mu.Lock() // before excused, so that a wake after it is not lost
	defer p.l.mu.Unlock()
	until, ok := p.excused()
	now, last := time.Since(p.l.began), max(until, time.Duration(p.l.heard.Load()))
	if last >= p.asked {
		p.asked = 0
	}
	switch {
	case p.closed || !ok:
		p.armed = false
		return pulseWait
	case now-last < p.quiet:
		p.timer.Reset(p.quiet - (now - last))
		return pulseWait
	case p.asked == 0:
		p.asked = now
		p.timer.Reset(p.grace)
		return pulsePing
	}
	return pulseEnd
}
