package audit

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// blockingHandler holds whoever logs, while it is on.
type blockingHandler struct {
	slog.Handler
	on   *atomic.Bool
	at   chan<- struct{}
	free <-chan struct{}
}

func (h blockingHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h blockingHandler) Handle(ctx context.Context, r slog.Record) error {
	if h.on.Load() {
		h.at <- struct{}{}
		<-h.free
	}
	return h.Handler.Handle(ctx, r)
}
