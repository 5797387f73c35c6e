package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/recount-ledger/recount/internal/pause"
)

// askIfNew finds out whether a node that claims to be new has been a member. Members remember every incarnation
// that they have met, so every majority that this node was part of has a member that knows. askIfNew repeats
// while too few respond.
func (c *Cluster) askIfNew() error {
	limit, cancel := context.WithTimeout(c.stop, c.cfg.StartTimeout)
	defer cancel()
	heard := &census{need: len(c.cfg.Voters) - len(c.cfg.Voters)/2, answered: map[string]bool{}}
	if c.cfg.Join {
		heard.need = 0 // it does not vote, and a node in which it votes refuses it
	}
	for round := 0; ; round++ {
		c.askEach(limit, heard)
		err := heard.verdict()
		if !errors.Is(err, ErrTooFewAnswers) {
			return err
		}
		if round == 0 {
			c.log.Warn("cluster: this node is new, the cluster is not, and too few of the others answer; asking on",
				"for", c.cfg.StartTimeout)
		}
		if pause.For(limit, askPause) != nil {
			return err
		}
	}
}

// census collects what the other members told a node that claims to be new.
type census struct {
	need int // responses needed to know that this node was never a member

	mu       sync.Mutex
	answered map[string]bool // by members that accept this node as new
	used     bool            // one of them has a ledger
	refused  error
}

// verdict returns nil if this node may start.
func (s *census) verdict() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused == nil && s.used && len(s.answered) < s.need {
		return fmt.Errorf("%w: %d, needed are %d", ErrTooFewAnswers, len(s.answered), s.need)
	}
	return s.refused
}

// askEach asks every other member once.
func (c *Cluster) askEach(limit context.Context, heard *census) {
	ctx, cancel := context.WithTimeout(limit, c.cfg.askLimit)
	defer cancel()
	var round sync.WaitGroup
	for _, v := range c.cfg.Voters {
		p := c.calls.get(v.ID)
		if p == nil {
			continue
		}
		round.Go(func() {
			_, theirs, err := p.exchange(ctx, pathTerm, nil)
			heard.mu.Lock()
			defer heard.mu.Unlock()
			var remote *RemoteError
			switch {
			case errors.As(err, &remote) && remote.Code == codeOtherFounders:
				heard.refused = fmt.Errorf("%w by %s: %s", errRefused, p.id, remote.Message)
			case errors.As(err, &remote) && remote.Code == CodeRemoved:
				heard.refused = fmt.Errorf("%w: %s says: %s", errRefused, p.id, remote.Message)
			case errors.As(err, &remote) && remote.Code == codeRefused:
				heard.refused = fmt.Errorf("%w: %w by %s: %s", ErrLostLog, errRefused, p.id, remote.Message)
			case err == nil:
				heard.answered[p.id], heard.used = true, heard.used || theirs.last > 1
			}
		})
	}
	round.Wait()
}
