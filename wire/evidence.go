package wire

// InclusionAnswer is the response to GET /v1/log/proof/inclusion. Hashes are SHA-256 in lower-case hex.
type InclusionAnswer struct {
	Seq      uint64   `json:"seq"`       // of the event. Its leaf has the index seq-1
	Size     uint64   `json:"size"`      // of the tree, in events
	LeafHash string   `json:"leaf_hash"` // RFC 6962 hash of the leaf
	Root     string   `json:"root"`      // of the tree
	Hashes   []string `json:"hashes"`    // from the sibling of the leaf upwards (RFC 6962, 2.1.1)
}

// ConsistencyAnswer is the response to GET /v1/log/proof/consistency. Hashes are SHA-256 in lower-case hex.
type ConsistencyAnswer struct {
	From     uint64   `json:"from"` // size of the older tree, in events
	To       uint64   `json:"to"`   // size of the newer tree
	FromRoot string   `json:"from_root"`
	ToRoot   string   `json:"to_root"`
	Hashes   []string `json:"hashes"` // RFC 6962, 2.1.2
}

// CheckpointPage is the response to GET /v1/checkpoints.
type CheckpointPage struct {
	Checkpoints []CheckpointEntry `json:"checkpoints"`           // the largest first
	NextBefore  uint64            `json:"next_before,omitempty"` // before of the next page; absent on the last one
}

// CheckpointEntry is a checkpoint that the node which answers signed.
type CheckpointEntry struct {
	Size     uint64 `json:"size"` // events
	Root     string `json:"root"` // SHA-256, lower-case hex
	SignedAt string `json:"signed_at"`
	Note     string `json:"note"` // as GET /checkpoint gave it, with the cosignatures that were collected
}
