package nodetest

import (
	"os"
	"slices"

	"github.com/recount-ledger/recount/internal/node"
)

// Grow starts one more node, which waits until it is added to the cluster, and returns its number. Client then covers
// it too. An operator still has to add and promote it.
func (c *Cluster) Grow(id string) int {
	c.t.Helper()
	ports := freePorts(c.t, 2)
	v := node.Voter{ID: id, API: "https://" + ports[0], Peer: ports[1]}
	voters := []node.Voter{v}
	for _, m := range c.members {
		own := slices.IndexFunc(m.cfg.Voters, func(v node.Voter) bool { return v.ID == m.cfg.NodeID })
		voters = append(voters, m.cfg.Voters[own])
	}
	c.configureOne(v, voters, true)
	c.connect()
	i := len(c.members) - 1
	c.Restart(i)
	return i
}

// Forget stops node i, deletes its directory and forgets it. The numbers of the nodes after it get one less.
func (c *Cluster) Forget(i int) {
	c.t.Helper()
	c.Stop(i)
	must(c.t, os.RemoveAll(c.Dir(i)))
	c.members = slices.Delete(c.members, i, i+1)
	c.connect()
}

// Place returns the id and the peer address of node i.
func (c *Cluster) Place(i int) (id, peer string) {
	return c.members[i].cfg.NodeID, c.members[i].cfg.Peer.Listen
}
