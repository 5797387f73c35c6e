package node

import (
	"context"
	"sync"
	"time"
)

// roll names the members of the cluster and their addresses for clients. The log says who they are.
type roll struct {
	n    *Node
	apis sync.Map // by id, the base URL of the API that a member named last
}

// voterIDs returns the ids of the voters now. Before the log is open, they are those of the settings.
func (r *roll) voterIDs() []string {
	if r.n.cluster == nil {
		return r.n.cfg.ids()
	}
	return r.n.cluster.Configuration().Voters
}

// memberIDs returns the ids of the voters and the learners now.
func (r *roll) memberIDs() (out []string) {
	for _, m := range r.n.cluster.Configuration().Members {
		out = append(out, m.ID)
	}
	return out
}

// apiOf returns the base URL of the API of a member: the one that it named itself, that of the settings, or that of the
// operator who added it. It is "" if nobody said.
func (r *roll) apiOf(id string) string {
	if said, ok := r.apis.Load(id); ok {
		return said.(string)
	}
	if at := r.n.cfg.apiOf(id); at != "" {
		return at
	}
	return r.n.derived.Control().MemberAPI(id)
}

// watchLeader asks a leader that the settings do not name for its API, until ctx ends.
func (r *roll) watchLeader(ctx context.Context) error {
	for {
		changed := r.n.cluster.Watch()
		if id, ok := r.n.cluster.Leader(); ok && r.apiOf(id) == "" {
			ask, cancel := context.WithTimeout(ctx, positionTimeout)
			if _, err := r.n.placeOf(ask, id); err != nil {
				r.n.log.Debug("the API of the leader is not known", "leader", id, "error", err)
			}
			cancel()
		}
		wait := time.NewTimer(time.Second)
		select {
		case <-changed:
		case <-wait.C:
		case <-ctx.Done():
		}
		wait.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
