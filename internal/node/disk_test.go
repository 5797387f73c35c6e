package node_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
)

// TestLeaderShortOfDisk: a leader without room refuses also what the other nodes hand over, with the reason, and takes it again
// when there is room.
func TestLeaderShortOfDisk(t *testing.T) {
	var short atomic.Value
	short.Store("")
	c := nodetest.Start(t, 3, func(cfg *node.Config) {
		id := cfg.NodeID
		cfg.DiskFree = func() uint64 {
			if short.Load() == id {
				return 1 << 20
			}
			return 100 << 30
		}
	})
	f := nodetest.NewRecords(t)
	send := func(leader int) (int, string) {
		status, text := c.Once((leader+1)%3, "POST", client.SubmitPath, f.Sign(nodetest.Record{Shard: "s", Epoch: time.Now().UnixNano(), Root: "r"}))
		return status, string(text)
	}
	c.Await("a refusal of the leader", func() error {
		leader := c.Leader()
		short.Store(c.Config(leader).NodeID)
		if status, text := send(leader); status != 503 || !strings.Contains(text, "the leader is short of disk space") {
			return fmt.Errorf("%d %s", status, text)
		}
		return nil
	})
	short.Store("")
	c.Await("submissions again", func() error {
		if status, text := send(c.Leader()); status != 200 {
			return fmt.Errorf("%d %s", status, text)
		}
		return nil
	})
}
