package node

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime"

	"github.com/recount-ledger/recount/internal/api"
)

// Debug are the settings of the listener for profiles.
type Debug struct {
	Listen        string // host:port on loopback, empty for no listener
	BlockRate     int    // ns of waiting for which a block profile has one sample, 0 for none
	MutexFraction int    // a mutex profile has one of so many waits for locks, 0 for none
}

// leastBlockRate is the finest block profile in ns. A finer one slows the node down.
const leastBlockRate = 1000

// validateDebug refuses a listener that anybody but an operator on this machine could reach.
func (c Config) validateDebug() (bad problems) {
	d := c.Debug
	if d.BlockRate != 0 && d.BlockRate < leastBlockRate {
		bad.add("debug.block_rate: 0 (off), or %d or more ns, not %d", leastBlockRate, d.BlockRate)
	}
	if d.MutexFraction < 0 {
		bad.add("debug.mutex_fraction: 0 (off) or more, not %d", d.MutexFraction)
	}
	if d.Listen == "" {
		return bad
	}
	host, _, err := net.SplitHostPort(d.Listen)
	if a, _ := netip.ParseAddr(host); err == nil && host != "localhost" && !a.IsLoopback() {
		bad.add("debug.listen: %q is not on loopback, and profiles show how the node works inside: use 127.0.0.1, "+
			"[::1] or localhost, and ssh to reach it from elsewhere", d.Listen)
	}
	if c.NoAuth {
		bad.add("debug.listen: needs auth.required, else every program on this machine could take profiles")
	}
	return bad
}

// openDebug serves profiles when there is a listener for them. conf is the API's.
func openDebug(n *Node, conf api.Config) error {
	if n.cfg.Debug.Listen == "" {
		return nil
	}
	listener, err := net.Listen("tcp", n.cfg.Debug.Listen)
	if err != nil {
		return fmt.Errorf("debug.listen: %w", err)
	}
	if !onLoopback(listener.Addr()) { // a name may stand for any address
		return errors.Join(fmt.Errorf("debug.listen: %q is %s, which is not on loopback", n.cfg.Debug.Listen,
			listener.Addr()), listener.Close())
	}
	runtime.SetBlockProfileRate(n.cfg.Debug.BlockRate)
	runtime.SetMutexProfileFraction(n.cfg.Debug.MutexFraction)
	n.debug = api.NewDebugServer(conf)
	n.running.Go(func() {
		if err := n.debug.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			n.fail(fmt.Errorf("debug: %w", err))
		}
	})
	n.log.Info("serving profiles to operators", "listen", listener.Addr().String())
	return nil
}

// closeDebug ends the listener, and profiles that are being taken.
func closeDebug(n *Node) error {
	if n.debug == nil {
		return nil
	}
	return n.debug.Close()
}
