package notary

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/recount-ledger/recount/evidence"
)

// Pauses before a witness that failed is asked again. They double.
const (
	firstPause = time.Second
	mostPause  = time.Minute
)

// cosigner asks witnesses to cosign checkpoints: one checkpoint at a time, the newest one when the one before
// is settled, and one request at a time to each witness. A checkpoint is settled once the policy is reached, or
// no witness has still to answer.
type cosigner struct {
	policy  evidence.WitnessPolicy
	tree    Tree
	client  *http.Client
	logger  *slog.Logger
	peers   []peer
	answers chan answer

	current *Shown
	reached bool

	mu     sync.Mutex
	counts map[string]uint64 // answers by result
}

// peer is the state of one witness.
type peer struct {
	busy   *Shown // asked about, nil for none
	size   uint64 // that it has seen
	done   bool   // with the current checkpoint
	line   []byte
	cosig  evidence.Cosignature
	result string // of the answer before
	pause  time.Duration
	again  time.Time // not asked before
}

// newCosigner returns nil for a policy without witnesses that can be asked.
func newCosigner(o *Options) *cosigner {
	if len(o.Witnesses.Witnesses) == 0 {
		return nil
	}
	n := len(o.Witnesses.Witnesses)
	c := &cosigner{policy: o.Witnesses, tree: o.Tree, logger: o.Logger, peers: make([]peer, n),
		answers: make(chan answer, n), counts: map[string]uint64{}}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, MaxConnsPerHost: 2,
		IdleConnTimeout: time.Minute, TLSHandshakeTimeout: askTimeout, ForceAttemptHTTP2: true,
		MaxResponseHeaderBytes: answerBytes}
	c.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	return c
}

// cosign collects cosignatures until ctx ends.
func (n *Notary) cosign(ctx context.Context) error {
	c := n.cosigner
	var asking sync.WaitGroup
	defer func() {
		asking.Wait()
		c.client.CloseIdleConnections()
	}()
	for {
		next := n.next()
		wait := c.step(ctx, n.shown.Load(), time.Now(), &asking)
		timer := time.NewTimer(wait)
		select {
		case a := <-c.answers:
			if c.take(a, time.Now()) {
				n.publish(c.whole())
			}
		case <-next:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
}

// step takes the newest checkpoint when the current one is settled, asks the witnesses that are due, and returns the
// time until the next one is.
func (c *cosigner) step(ctx context.Context, newest *Shown, now time.Time, asking *sync.WaitGroup) time.Duration {
	if newest != c.current && c.settled() {
		c.current, c.reached = newest, false
		for i := range c.peers {
			c.peers[i].done, c.peers[i].line = false, nil
		}
	}
	wait := mostPause
	for i := range c.peers {
		p := &c.peers[i]
		if c.current == nil || p.busy != nil || p.done {
			continue
		}
		if due := p.again.Sub(now); due > 0 {
			wait = min(wait, due)
			continue
		}
		p.busy = c.current
		w, size, shown := c.policy.Witnesses[i], p.size, c.current
		asking.Go(func() {
			a := c.ask(ctx, w, size, shown)
			a.witness = i
			c.answers <- a
		})
	}
	return wait
}

// settled reports whether the current checkpoint needs no further answer, or can have none.
func (c *cosigner) settled() bool {
	if c.reached {
		return true
	}
	for i := range c.peers {
		if c.current != nil && c.peers[i].busy == c.current {
			return false
		}
	}
	return true
}

// take notes an answer, and reports whether the current checkpoint has more cosignatures than before and a quorum.
func (c *cosigner) take(a answer, now time.Time) bool {
	p := &c.peers[a.witness]
	p.busy, p.size = nil, a.size
	if a.size > a.shown.Size {
		p.size = 0 // nobody signs this number, so the next question does not rely on it
	}
	c.mu.Lock()
	c.counts[a.result]++
	c.mu.Unlock()
	c.tell(a, p.result)
	p.result = a.result
	switch a.result {
	case Cosigned, Ahead:
		p.pause, p.again = 0, time.Time{}
		p.done = a.shown == c.current
	default:
		p.pause = min(max(2*p.pause, firstPause), mostPause)
		p.again = now.Add(p.pause)
	}
	if a.result != Cosigned || a.shown != c.current {
		return false
	}
	p.line, p.cosig = a.line, a.cosig
	c.reached = c.policy.Reached(c.cosignatures())
	return c.reached
}

// tell logs that a witness answers otherwise than before.
func (c *cosigner) tell(a answer, before string) {
	w := c.policy.Witnesses[a.witness]
	switch {
	case a.result == before || a.result == Ahead && before == Cosigned || a.result == Cosigned && before == Ahead:
	case a.result == Cosigned:
		c.logger.Info("a witness cosigns checkpoints", "witness", w.Name, "url", w.URL)
	case a.result == Refused:
		c.logger.Error("a witness refuses a checkpoint: it has seen another ledger under this origin", "witness", w.Name,
			"url", w.URL, "size", a.shown.Size, "error", a.err)
	case a.result != Ahead:
		c.logger.Warn("a witness does not cosign; it is asked again", "witness", w.Name, "url", w.URL, "result", a.result,
			"error", a.err)
	}
}

func (c *cosigner) cosignatures() (list []evidence.Cosignature) {
	for i := range c.peers {
		if c.peers[i].line != nil {
			list = append(list, c.peers[i].cosig)
		}
	}
	return list
}

// whole returns the current checkpoint with its cosignatures.
func (c *cosigner) whole() *Shown {
	s := *c.current
	s.Note = bytes.Clone(s.Note)
	for i := range c.peers {
		s.Note = append(s.Note, c.peers[i].line...)
	}
	return &s
}

// byResult returns the numbers of answers.
func (c *cosigner) byResult() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]uint64{}
	for _, r := range Results() {
		out[r] = c.counts[r]
	}
	return out
}
