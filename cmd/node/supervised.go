package main

import (
	"context"
	"log/slog"
	"os"
	"sync/atomic"

	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/sdnotify"
)

// supervised tells systemd how the node does. Under another supervisor it does nothing.
type supervised struct {
	systemd sdnotify.Service
	log     *slog.Logger
	open    atomic.Pointer[node.Node] // nil while the node opens and while it closes
}

func newSupervised(log *slog.Logger) *supervised {
	return &supervised{systemd: sdnotify.New(os.LookupEnv), log: log}
}

// watch keeps the watchdog of systemd quiet until ctx ends. A node that opens may fold its log for long, so only one
// that is open is asked.
func (s *supervised) watch(ctx context.Context) {
	s.systemd.Watch(ctx, func(ctx context.Context) error {
		if n := s.open.Load(); n != nil {
			return node.Alive(ctx, n)
		}
		return nil
	}, func(err error) { s.log.Warn("the watchdog is not told that all is well", "error", err) })
}

// serving reports that the node listens. It may still wait for others, because the nodes of a new cluster start one
// after another.
func (s *supervised) serving(n *node.Node, at string) {
	s.open.Store(n)
	s.tell(s.systemd.Ready("serving at " + at))
}

// closing reports that the node closes, for good or to open again.
func (s *supervised) closing(ctx context.Context) {
	s.open.Store(nil)
	if ctx.Err() != nil {
		s.tell(s.systemd.Stopping())
		return
	}
	s.tell(s.systemd.Status("closing"))
}

func (s *supervised) tell(err error) {
	if err != nil {
		s.log.Warn("systemd does not know how this node does", "error", err)
	}
}
