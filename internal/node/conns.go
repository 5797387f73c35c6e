package node

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// unusedGrace is how long a connection that has not carried a request yet is left open when the node stops.
const unusedGrace = 100 * time.Millisecond

// unusedConns knows the connections that have not carried a request yet. The HTTP server waits five seconds for each of
// them when it shuts down, and clients open such connections ahead.
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
		_ = c.Close() // nobody has been promised anything on it
	}
}
