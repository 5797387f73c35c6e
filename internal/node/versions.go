package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/operator"
)

// certainVersion is the cluster version from which on every member has all that version 1 left to questions about
// capabilities.
const certainVersion = 2

func (r *releases) certain() bool { return r.active() >= certainVersion }

// saidBy holds the answer of a member about itself, nil without one in time.
type saidBy struct {
	id    string
	place *place
}

// poll asks all members at once, this node included.
func (r *releases) poll(ctx context.Context) []saidBy {
	ctx, cancel := context.WithTimeout(ctx, positionTimeout)
	defer cancel()
	members := r.members()
	said := make([]saidBy, len(members))
	var wg sync.WaitGroup
	for i, id := range members {
		said[i].id = id
		wg.Go(func() {
			if p, err := r.ask(ctx, id); err == nil {
				said[i].place = &p
			}
		})
	}
	wg.Wait()
	return said
}

// newestOf returns the newest cluster version that a member knows. Builds from before cluster versions do not say it.
func newestOf(p *place) uint32 { return max(p.ClusterVersion, event.FirstVersion) }

// Versions returns the newest cluster version that the build of each member knows, 0 for one that is not reachable.
func (r *releases) Versions(ctx context.Context) (out []operator.MemberVersion) {
	for _, s := range r.poll(ctx) {
		m := operator.MemberVersion{ID: s.id}
		if s.place != nil {
			m.Newest = newestOf(s.place)
		}
		out = append(out, m)
	}
	return out
}

// VersionAt asks a node that is to be added, at its peer address.
func (r *releases) VersionAt(ctx context.Context, id, addr string) (uint32, error) {
	b, err := r.askAt(ctx, id, addr)
	var remote *cluster.RemoteError
	switch {
	case errors.As(err, &remote) && remote.Code == cluster.CodeNoHandler:
		return event.FirstVersion, nil
	case err != nil:
		return 0, err
	case len(b) != 4:
		return 0, fmt.Errorf("%s says %d bytes about its build", id, len(b))
	}
	return binary.BigEndian.Uint32(b), nil
}

// founding returns the cluster version of a new ledger: the newest that every member knows. A member that is not
// reachable has no part of the ledger yet, and stops at its first event if it does not know the version.
func (r *releases) founding(ctx context.Context) uint32 {
	version := r.newest
	for _, m := range r.Versions(ctx) {
		if m.Newest != 0 {
			version = min(version, m.Newest)
		}
	}
	return version
}

// about tells a member that wants to add this node which cluster versions it knows.
func (r *releases) about() []byte { return binary.BigEndian.AppendUint32(nil, r.newest) }
