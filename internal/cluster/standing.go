package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrRemoved means that the cluster has removed this node. It takes no part any more and keeps its log.
var ErrRemoved = errors.New("cluster: this node was removed from the cluster: stop it; to use its machine again, " +
	"add a new node id with an empty directory")

// denial is the statement of a member that it does not accept this node.
type denial struct {
	reason  string
	removed bool // because the cluster has removed this node
	// This node says it about itself, because it does not know the other one as a member. It is moot once it does.
	stranger bool
	at       time.Time
}

// deniedBy records that a member refuses this node, and why. An empty reason clears the record.
func (r *roster) deniedBy(id, reason string, removed bool) {
	now := r.members.now()
	r.mu.Lock()
	_, before := r.denied[id]
	if reason == "" {
		delete(r.denied, id)
	} else {
		r.denied[id] = denial{reason: reason, removed: removed, at: time.Now()}
	}
	by := slices.DeleteFunc(r.removers(), func(id string) bool { return !now.votes(id) })
	if others := len(now.voters) - r.votes(now); others > 0 && len(by) > others/2 {
		r.gone.CompareAndSwap(nil, new("says "+strings.Join(by, ", ")))
	}
	r.mu.Unlock()
	if reason != "" && !before {
		r.log.Error("cluster: a member refuses this node", "member", id, "reason", reason)
	}
}

// votes returns 1 if this node is a voter of a configuration, else 0.
func (r *roster) votes(now *configuration) int {
	if now.votes(r.cfg.NodeID) {
		return 1
	}
	return 0
}

// removers returns the members that said recently that this node was removed. r.mu must be held.
func (r *roster) removers() (by []string) {
	for id, d := range r.denied {
		if d.removed && time.Since(d.at) < standingFor {
			by = append(by, id)
		}
	}
	slices.Sort(by)
	return by
}

// left returns ErrRemoved once the removal of this node is certain: it has applied it, or a majority of the other
// voters has said it within standingFor. That is permanent, so this node calls nobody any more. A removed node that
// reaches fewer of them calls again when their statements have expired.
func (r *roster) left() error {
	if entry := r.members.removed(r.cfg.NodeID); entry != 0 {
		return fmt.Errorf("%w (by entry %d)", ErrRemoved, entry)
	}
	if says := r.gone.Load(); says != nil {
		return fmt.Errorf("%w (%s)", ErrRemoved, *says)
	}
	return nil
}

// removed returns ErrRemoved if this node has left, or if more of the members heard recently know its removal than
// accept it. Members know it once it is committed and they have applied it.
func (r *roster) removed() error {
	if err := r.left(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if by := r.removers(); len(by) > len(r.accepting()) {
		return fmt.Errorf("%w (%s)", ErrRemoved, "says "+strings.Join(by, ", "))
	}
	return nil
}

// noLonger forgets that a node has accepted this one: the cluster has removed that node.
func (r *roster) noLonger(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.agreed, id)
}

// sayRemoved logs once that this node was removed.
func (r *roster) sayRemoved() {
	if err := r.removed(); err != nil && !r.told.Swap(true) {
		r.log.Error("cluster: removed: this node takes no part any more and keeps its log", "error", err)
	}
}

// accepting returns the members heard recently that accept this node. r.mu must be held.
func (r *roster) accepting() []string {
	return slices.DeleteFunc(recent(r.agreed), func(id string) bool {
		d, ok := r.denied[id]
		return ok && time.Since(d.at) < standingFor
	})
}

// standing returns why this node must not serve: it was removed, or among the members heard recently, more refuse
// this node than accept it, or more have other founding members than the same ones. A single member, faulty or with
// wrong settings, cannot stop another.
func (r *roster) standing() error {
	if err := r.removed(); err != nil {
		return err
	}
	now := r.members.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	denied := map[string]time.Time{}
	for id, d := range r.denied {
		if _, known := now.member(id); d.stranger && known {
			delete(r.denied, id)
			continue
		}
		denied[id] = d.at
	}
	deny, differ, agree := recent(denied), recent(r.differs), r.accepting()
	if len(deny) > len(agree) {
		return fmt.Errorf("%w by %s: %s", errRefused, strings.Join(deny, ", "), r.denied[deny[0]].reason)
	}
	if len(differ) > len(agree) {
		return fmt.Errorf("%w: %s of this cluster were founded with other members than this node, %d with the same",
			errRefused, strings.Join(differ, ", "), len(agree))
	}
	return nil
}

func recent(seen map[string]time.Time) (ids []string) {
	for id, at := range seen {
		if time.Since(at) < standingFor {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Standing returns why this node must not serve although it runs: it was removed, or other members refuse it. It
// returns nil if they do not.
func (c *Cluster) Standing() error { return c.peer.roster.standing() }

// Left returns ErrRemoved once it is certain, and thus permanent, that the cluster has removed this node.
func Left(c *Cluster) error { return c.peer.roster.left() }

// PeerRefusals counts the messages of other nodes that this node has refused.
func (c *Cluster) PeerRefusals() uint64 { return c.peer.roster.refusals.Load() }
