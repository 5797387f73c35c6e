package witness

import (
	"net"
	"sync"

	"github.com/recount-ledger/recount/internal/limit"
)

// reading counts the bodies that are read now.
type reading struct {
	mu  sync.Mutex
	all int
	of  map[string]int // by sender
}

// begin counts a body of a sender. It returns false if there are too many already.
func (r *reading) begin(sender string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == bodiesAtOnce || r.of[sender] == bodiesOfOne {
		return false
	}
	r.all++
	r.of[sender]++
	return true
}

// end takes back what begin counted.
func (r *reading) end(sender string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all--
	if r.of[sender]--; r.of[sender] == 0 {
		delete(r.of, sender)
	}
}

// senderOf returns the source of a connection from host:port.
func senderOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return limit.Prefix(host)
}
