package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/internal/version"
	"github.com/recount-ledger/recount/wire"
)

// Version returns name and version of the build.
func (s *status) Version() wire.VersionAnswer {
	b := version.Get()
	names := s.names()
	return wire.VersionAnswer{Version: b.Version, Go: b.Go, Platform: b.Platform, Commit: b.Commit, CommitTime: b.Time,
		Node: s.cfg.NodeID, ClusterID: s.cfg.ClusterID,
		Formerly: names[:max(len(names)-1, 0)], Kernels: verify.Kernels(), KnowsVersion: event.NewestVersion}
}

// check is one of the checks of readiness.
type check struct {
	name string
	err  func(ctx context.Context) error
}

// Ready runs the readiness checks.
func (s *status) Ready(ctx context.Context) []api.Check {
	out := make([]api.Check, len(s.checks))
	for i, c := range s.checks {
		out[i] = api.Check{Name: c.name, Err: c.err(ctx)}
	}
	return out
}

// readiness lists the checks of this node, in the order in which readyz names them.
func (n *Node) readiness() []check {
	now := func(err func() error) func(context.Context) error {
		return func(context.Context) error { return err() }
	}
	return []check{
		{"stopping", now(n.checkStopping)},
		{"quarantine", now(n.quarantine.check)},
		{"disk", now(n.checkDisk)},
		{"agreement", now(n.checkAgreement)},
		{"clock", now(n.clock.check)},
		{"member", now(func() error { return checkMember(n) })},
		{"leader", now(n.checkLeader)},
		{"keys", now(n.keys.checkRegistered)},
		{"secrets", now(n.keys.checkSecrets)},
		{"applied", n.checkApplied},
	}
}

func (n *Node) checkStopping() error {
	if n.closing.Load() {
		return errors.New("the node is stopping")
	}
	return nil
}

func (n *Node) checkDisk() error {
	if n.disk.Short() {
		return fmt.Errorf("%d bytes of disk are free, submissions need %d", n.disk.Free(), n.disk.Needed())
	}
	return nil
}

func (n *Node) checkAgreement() error {
	if reason := n.doubts.Suspended(); reason != "" {
		return errors.New(reason)
	}
	return nil
}

func (n *Node) checkLeader() error {
	if _, ok := n.cluster.Leader(); !ok {
		return errors.New("no leader is known")
	}
	return nil
}

// checkApplied returns nil when this node has folded all that was acknowledged, and has once been open for
// submissions.
func (n *Node) checkApplied(ctx context.Context) error {
	if err := n.confirm(ctx); err != nil {
		return err
	}
	if !n.caughtUp.Load() {
		return errors.New("the node has not caught up yet")
	}
	return nil
}
