package node

import "context"

// ProposeRaw commits a pack as a leader does whose memory is at fault, or that is in other hands: past every check.
func (n *Node) ProposeRaw(ctx context.Context, pack []byte) (uint64, error) {
	return n.cluster.Propose(pack).Wait(ctx)
}

// PretendOlder makes the node say that its release lacks a capability.
func (n *Node) PretendOlder(capability string) { n.olderThan.Store(&capability) }
