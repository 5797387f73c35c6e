package node

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
)

// TestDamageInWords: a request that meets a damaged store, or one that is gone because it was, is told to ask another
// node and when to ask again; a node that is quarantined over it says that. Other errors stay unexplained.
func TestDamageInWords(t *testing.T) {
	ill := &Node{}
	ill.quarantine.why.Store(new(string))
	for _, c := range []struct {
		n    *Node
		err  error
		says string
	}{
		{&Node{}, fmt.Errorf("scan: %w", fsm.ErrDropped), "folded again; ask another node"},
		{ill, fmt.Errorf("read: %w", fsm.ErrDamaged), "quarantined; ask another one"},
		{ill, log.ErrCorrupt, "quarantined; ask another one"},
	} {
		p := c.n.explain(c.err)
		if p == nil || p.Status != http.StatusServiceUnavailable || p.RetryAfterMS == 0 ||
			!strings.Contains(p.Detail, c.says) {
			t.Errorf("%v: %+v", c.err, p)
		}
	}
	if p := ill.explain(errors.New("x")); p != nil {
		t.Errorf("%+v", p)
	}
}
