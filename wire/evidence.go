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
