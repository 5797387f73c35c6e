package node

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// unusedGrace bounds how long a connection that has not carried a request yet is left open when the node stops.
const unusedGrace = 100 * time.Millisecond

// A stop waits this long for clients: for bodies that are on their way and for readers of answers, and then for
// the answers to submissions that are being decided.
const (
	bodyGrace   = 2 * time.Second
	answerGrace = 500 * time.Millisecond
)

// decidingPoll lies between two looks of a stop at whether something is still being decided.
const decidingPoll = 20 * time.Millisecond

// stopAPI answers every request that has arrived completely, as long as ctx lasts, and closes connections that
// send or read too slowly. No answer has been promised on them.
func (n *Node) stopAPI(ctx context.Context) error {
	unused := time.AfterFunc(unusedGrace, n.unused.closeAll)
	defer unused.Stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- n.server.Shutdown(ctx) }()
	wait := time.NewTimer(bodyGrace)
	defer wait.Stop()
	for last := false; ; {
		select {
		case err := <-done:
			if !errors.Is(err, context.DeadlineExceeded) {
				return errors.Join(err, n.server.Close())
			}
		case <-wait.C:
			switch {
			case n.deciding.Load() > 0:
				wait.Reset(decidingPoll)
				continue
			case !last:
				last = true
				wait.Reset(answerGrace)
				continue
			}
		}
		n.log.Info("cut off clients that sent or read too slowly")
		return n.server.Close()
	}
}

// unusedConns tracks the connections that have not carried a request yet. The HTTP server waits five seconds
// for each of them when it shuts down, and clients open such connections ahead.
type unusedConns struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// track is an http.Server.ConnState hook.
func (u *unusedConns) track(c net.Conn, s http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if s != http.StateNew {
		delete(u.conns, c)
		return
	}
	if u.conns == nil {
		u.conns = map[net.Conn]struct{}{}
	}
	u.conns[c] = struct{}{}
}

func (u *unusedConns) closeAll() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for c := range u.conns {
		_ = c.Close() // no answer has been promised on it
	}
}
