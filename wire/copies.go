package wire

// States of a copy of the log.
const (
	CopyPreparing = "preparing" // the node reads the files to compute their hashes
	CopyReady     = "ready"     // the files can be read
	CopyFailed    = "failed"    // Error has the reason
)

// CopyAnswer is the response to POST /v1/copies and GET /v1/copies/{copy_id}: a copy of the log that a node keeps for
// some time, so that its files can be read. It belongs to that node alone.
type CopyAnswer struct {
	ID        string       `json:"id"`
	Node      string       `json:"node"`
	ClusterID string       `json:"cluster_id"`
	State     string       `json:"state"` // CopyPreparing, CopyReady or CopyFailed
	Error     string       `json:"error,omitempty"`
	CreatedAt string       `json:"created_at"`
	ExpiresAt string       `json:"expires_at"` // the node removes it then, unless it is used before
	Position  CopyPosition `json:"position"`
	Digest    CopyDigest   `json:"digest"`
	Bytes     int64        `json:"bytes"`  // of all files
	Hashed    int64        `json:"hashed"` // bytes whose hash is known
	Files     []CopyFile   `json:"files"`  // by name, empty until the copy is ready
}

// CopyPosition is the end of a copy: its last entry, and the last event in it.
type CopyPosition struct {
	Index   uint64 `json:"index"` // of the Raft entry
	Term    uint64 `json:"term"`  // of the Raft entry
	Seq     uint64 `json:"seq"`
	LogTime string `json:"log_time"`
}

// CopyDigest has the digests at the last event of a copy, in hex. Log covers every event, State the outcomes in
// Generation, Control what operators did.
type CopyDigest struct {
	Log        string `json:"log"`
	State      string `json:"state"`
	Control    string `json:"control"`
	Generation uint32 `json:"generation"`
}

// CopyFile is one file of a copy. SHA256 is in lower-case hex.
type CopyFile struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// CopiesPage is the response to GET /v1/copies: the copies of one node, oldest first.
type CopiesPage struct {
	Node  string       `json:"node"`
	Items []CopyAnswer `json:"items"`
}
