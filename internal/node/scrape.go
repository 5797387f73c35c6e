package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/recount-ledger/recount/internal/api"
)

// openMetrics serves /metrics on a listener of its own when there is one. It uses plain HTTP on a loopback
// address, and the certificate of the API anywhere else. conf is the API's.
func (n *Node) openMetrics(conf api.Config) error {
	if n.cfg.MetricsListen == "" {
		return nil
	}
	listener, err := net.Listen("tcp", n.cfg.MetricsListen)
	if err != nil {
		return fmt.Errorf("metrics.listen: %w", err)
	}
	if onLoopback(listener.Addr()) {
		conf.TLS = nil
	}
	n.scrape, err = api.NewMetricsServer(conf)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	n.running.Go(func() {
		serve := n.scrape.Serve
		if conf.TLS != nil {
			serve = func(l net.Listener) error { return n.scrape.ServeTLS(l, "", "") }
		}
		if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
			n.fail(fmt.Errorf("metrics: %w", err))
		}
	})
	n.log.Info("serving metrics", "listen", listener.Addr().String(), "tls", conf.TLS != nil)
	return nil
}

// onLoopback looks at the address that was bound, not at a name that may stand for another one.
func onLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// closeMetrics gives a running scrape a moment to finish.
func (n *Node) closeMetrics(ctx context.Context) error {
	if n.scrape == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerGrace)
	defer cancel()
	if err := n.scrape.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return errors.Join(err, n.scrape.Close())
	}
	return n.scrape.Close()
}
