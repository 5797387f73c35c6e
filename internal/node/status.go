package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/internal/version"
	"github.com/recount-ledger/recount/wire"
)

// Version returns name and version of the build.
func (n status) Version() wire.VersionAnswer {
	b := version.Get()
	return wire.VersionAnswer{Version: b.Version, Go: b.Go, Platform: b.Platform, Commit: b.Commit, CommitTime: b.Time,
		Node: n.cfg.NodeID, ClusterID: n.cfg.ClusterID, Kernels: verify.Kernels()}
}

// Ready runs the readiness checks.
func (n status) Ready(ctx context.Context) []api.Check {
	leader := func() error {
		if _, ok := n.cluster.Leader(); !ok {
			return errors.New("no leader is known")
		}
		return nil
	}
	keys := func() error {
		if missing := n.keys.unregistered(); len(missing) > 0 {
			return fmt.Errorf("%d keys of the settings are not in the ledger yet", len(missing))
		}
		return nil
	}
	agreed := func() error {
		if reason := n.doubts.Suspended(); reason != "" {
			return errors.New(reason)
		}
		return nil
	}
	disk := func() error {
		if n.disk.Short() {
			return fmt.Errorf("%d bytes of disk are free, submissions need %d", n.disk.Free(), n.disk.Needed())
		}
		return nil
	}
	stopping := func() error {
		if n.closing.Load() {
			return errors.New("the node is stopping")
		}
		return nil
	}
	folded := func() error {
		if err := n.confirm(ctx); err != nil {
			return err
		}
		if !n.caughtUp.Load() {
			return errors.New("the node has not caught up yet")
		}
		return nil
	}
	return []api.Check{{Name: "stopping", Err: stopping()}, {Name: "quarantine", Err: n.quarantine.check()},
		{Name: "disk", Err: disk()}, {Name: "agreement", Err: agreed()}, {Name: "clock", Err: n.clock.check()},
		{Name: "member", Err: n.cluster.Standing()}, {Name: "leader", Err: leader()}, {Name: "keys", Err: keys()},
		{Name: "secrets", Err: n.keys.checkSecrets()}, {Name: "applied", Err: folded()}}
}
