package operator

import (
	"context"
	"fmt"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/wire"
)

// MemberVersion is the newest cluster version that the build of a member knows, 0 if it does not answer.
type MemberVersion struct {
	ID     string
	Newest uint32
}

// Releases asks nodes which cluster versions their builds know.
type Releases interface {
	// Versions asks all members, VersionAt a node that need not be a member, at its peer address.
	Versions(ctx context.Context) []MemberVersion
	VersionAt(ctx context.Context, id, addr string) (uint32, error)
}

// RaiseVersion raises the cluster version once every member knows it. Raising to the present version changes nothing.
func (ms *Members) RaiseVersion(ctx context.Context, r wire.ClusterVersionRequest,
	meta api.Meta) (*wire.ClusterVersionAnswer, error) {
	if err := ms.core.current(ctx); err != nil {
		return nil, err
	}
	a := &wire.ClusterVersionAnswer{Version: r.Version, From: ms.core.control().ClusterVersion()}
	switch {
	case r.Version == a.From:
		return a, nil
	case r.Version < a.From:
		return nil, stale("the cluster is at version %d, and versions never fall", a.From).WithField("version")
	}
	for _, m := range ms.core.Releases.Versions(ctx) {
		if err := knows(m, r.Version); err != nil {
			return nil, err
		}
	}
	var err error
	m := &event.ClusterVersionRaisedV1{Version: r.Version, From: a.From, Op: ms.core.op(r.Op, meta)}
	a.Seq, err = ms.core.commitOnce(ctx, event.ClusterVersionRaised, m,
		stale("the cluster version was raised meanwhile; look at it again"))
	if err != nil {
		return nil, err
	}
	return a, nil
}

// knows refuses a member at which a cluster version would stop.
func knows(m MemberVersion, version uint32) error {
	switch {
	case m.Newest == 0:
		return stale("%s does not answer, so nobody can tell whether it knows cluster version %d; start it, or remove it",
			m.ID, version)
	case m.Newest < version:
		return stale("%s runs a build that knows cluster versions up to %d, not %d; upgrade it first", m.ID, m.Newest,
			version)
	}
	return nil
}

// knowsVersion refuses to add or promote a node whose build does not know the cluster version.
func (ms *Members) knowsVersion(ctx context.Context, ch cluster.Change) error {
	version := ms.core.control().ClusterVersion()
	if version == event.FirstVersion {
		return nil // every build knows it
	}
	switch ch.Kind {
	case cluster.Added:
		newest, err := ms.core.Releases.VersionAt(ctx, ch.ID, ch.Addr)
		if err != nil {
			return memberProblem(fmt.Errorf("%w: %s at %s: %w", cluster.ErrNoAnswer, ch.ID, ch.Addr, err))
		}
		return knows(MemberVersion{ch.ID, newest}, version)
	case cluster.Promoted:
		for _, m := range ms.core.Releases.Versions(ctx) {
			if m.ID == ch.ID {
				return knows(m, version)
			}
		}
	}
	return nil
}
