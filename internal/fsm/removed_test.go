package fsm

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// TestRemovedNodes: the fold remembers the nodes that a configuration does not name any more, in one batch or in many, and
// after a restart. A node that was never a member, and one that only changed its address, is not removed.
func TestRemovedNodes(t *testing.T) {
	b := &builder{}
	config := func(servers ...raft.Server) {
		b.other(raft.LogConfiguration, raft.EncodeConfiguration(raft.Configuration{Servers: servers}))
	}
	server := func(id, addr string) raft.Server {
		return raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(addr)}
	}
	config(server("n1", "a:1"), server("n2", "b:1"))
	b.other(raft.LogNoop, nil)
	config(server("n1", "a:1"), server("n2", "b:1"), server("n3", "c:1"))
	config(server("n1", "a:2"), server("n3", "c:1"))
	b.other(raft.LogNoop, nil)
	config(server("n1", "a:2"))
	want := map[string]uint64{"n1": 0, "n2": 4, "n3": 6, "n4": 0}
	for _, batch := range []int{1, DefaultBatchBytes} {
		m := newMachine(t, vfs.NewMem(), batch)
		m.store(b.logs)
		m.run(uint64(len(b.logs)))
		for range 2 {
			for id, index := range want {
				if got := m.derived.Removed(id); got != index {
					t.Errorf("%s was removed by entry %d, want %d", id, got, index)
				}
			}
			m.close()
			m.open()
			m.run(uint64(len(b.logs)))
		}
		m.close()
	}
}
