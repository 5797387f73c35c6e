package wire

// What MemberAnswer says was done to the members.
const (
	MemberAdded    = "added"    // as a learner: it gets all entries and does not vote
	MemberPromoted = "promoted" // from learner to voter
	MemberRemoved  = "removed"  // permanently: the id is never used again
	MemberMoved    = "moved"    // to another peer address
	MemberLeads    = "leads"    // the cluster has another leader
)

// MemberRequest is the body of POST /v1/cluster/members. The node must run with join at the peer address.
type MemberRequest struct {
	Op
	NodeID      string `json:"node_id"`               // never used before in this cluster
	PeerAddress string `json:"peer_address"`          // host:port at which the other members reach it
	APIAddress  string `json:"api_address,omitempty"` // base URL for clients, such as https://10.0.0.4:9440
}

// MemberAddressRequest is the body of POST /v1/cluster/members/{node_id}/address.
type MemberAddressRequest struct {
	Op
	PeerAddress string `json:"peer_address"`
}

// LeaderRequest is the body of POST /v1/cluster/leader. An empty node id stands for the voter that holds most entries.
type LeaderRequest struct {
	Op
	NodeID string `json:"node_id,omitempty"`
}

// MemberAnswer is the response to a change of the members. Seq is the event that names the operator, or 0 if there was
// nothing to change.
type MemberAnswer struct {
	Change string `json:"change"`
	NodeID string `json:"node_id"`
	Seq    uint64 `json:"seq"`
}

// ClusterVersionRequest is the body of POST /v1/cluster/version.
type ClusterVersionRequest struct {
	Op
	Version uint32 `json:"version"` // every member must know it
}

// ClusterVersionAnswer is the response to it. Seq is the event that names the operator, or 0 if the cluster was at the
// version before.
type ClusterVersionAnswer struct {
	Version uint32 `json:"version"`
	From    uint32 `json:"from"` // before the request
	Seq     uint64 `json:"seq"`
}
