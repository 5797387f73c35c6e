package wire

// Values of KeyAnswer.Status.
const (
	KeyActive  = "active"
	KeyRetired = "retired" // ended as planned; what it signed before stands
	KeyRevoked = "revoked" // compromised; a recount with hindsight can reject what it signed since then
)

// KeyRequest is the body of POST /v1/keys: a new key, or other terms for a registered one. The ledger receives
// only the fingerprint of an HMAC key. The nodes read its secret from their own files.
type KeyRequest struct {
	Op
	Alg         string `json:"alg"`                   // hmac-sha256 or ed25519
	Public      string `json:"public,omitempty"`      // Ed25519: 32 bytes, base64
	Fingerprint string `json:"fingerprint,omitempty"` // HMAC: 64 hex digits
	Owner       string `json:"owner,omitempty"`       // at most 128 bytes
	// shard ids, or prefixes followed by a star; none means every shard
	Scope     []string `json:"scope,omitempty"`
	NotBefore string   `json:"not_before,omitempty"` // RFC 3339, log time, inclusive
	NotAfter  string   `json:"not_after,omitempty"`  // RFC 3339, log time, exclusive
	Comment   string   `json:"comment,omitempty"`    // at most 256 bytes
}

// KeyAnswer describes a registered key. It is the response to operations on keys and GET /v1/keys/{key_id}, and
// an item of KeysPage.
type KeyAnswer struct {
	KeyID         string   `json:"key_id"`
	Alg           string   `json:"alg"`
	Fingerprint   string   `json:"fingerprint"`      // hex
	Public        string   `json:"public,omitempty"` // Ed25519, base64
	Status        string   `json:"status"`
	Owner         string   `json:"owner"`
	Scope         []string `json:"scope"`
	NotBefore     string   `json:"not_before,omitempty"`
	NotAfter      string   `json:"not_after,omitempty"`
	Comment       string   `json:"comment"`
	Seq           uint64   `json:"seq"`       // event that registered it
	TermsSeq      uint64   `json:"terms_seq"` // event that set owner, scope, validity and comment
	At            string   `json:"at"`        // log time of the registration
	Source        string   `json:"source"`    // settings of a node, or an operator
	RevokedSeq    uint64   `json:"revoked_seq,omitempty"`
	RevokedSince  string   `json:"revoked_since,omitempty"`
	RetiredSeq    uint64   `json:"retired_seq,omitempty"`
	SecretRetired uint64   `json:"secret_retired_seq,omitempty"`
	// last submission that it signed, as far as this node has folded
	LastSeq  uint64 `json:"last_seq,omitempty"`
	LastUsed string `json:"last_used,omitempty"` // log time of it
	Held     bool   `json:"held"`                // the responding node can check its signatures now

	AsOf uint64 `json:"as_of,omitempty"` // as in ShardAnswer
}

// KeysPage is the response to GET /v1/keys, in the order of registration.
type KeysPage struct {
	Items      []KeyAnswer `json:"items"`
	AppliedSeq uint64      `json:"applied_seq"`
	AsOf       uint64      `json:"as_of,omitempty"` // as in AuditPage
}

// Values of FreezeRequest.Scope.
const (
	FreezeAll   = "all"
	FreezeShard = "shard"
	FreezeKey   = "key"
)

// FreezeRequest is the body of POST /v1/freezes and POST /v1/thaw. A thaw ends the freeze of exactly this scope
// and subject. The reason is required.
type FreezeRequest struct {
	Op
	Scope   string `json:"scope"`             // FreezeAll, FreezeShard or FreezeKey
	Subject string `json:"subject,omitempty"` // shard id or key id
}

// FreezeAnswer describes a freeze. Every node refuses submissions between the two events. It is the response to
// both operations and an item of FreezesPage.
type FreezeAnswer struct {
	Seq       uint64 `json:"seq"`
	At        string `json:"at"` // log time
	Scope     string `json:"scope"`
	Subject   string `json:"subject,omitempty"`
	ThawedSeq uint64 `json:"thawed_seq,omitempty"` // absent while it is in force
	Reason    string `json:"reason"`
	Ticket    string `json:"ticket,omitempty"`
	Actor     string `json:"actor,omitempty"`
}

// FreezesPage is the response to GET /v1/freezes, oldest first, including thawed ones.
type FreezesPage struct {
	Items      []FreezeAnswer `json:"items"`
	AppliedSeq uint64         `json:"applied_seq"`
	AsOf       uint64         `json:"as_of,omitempty"` // as in AuditPage
}

// KnownShardsRequest is the body of POST /v1/known-shards.
type KnownShardsRequest struct {
	Op
	Patterns []string `json:"patterns"` // shard ids, or prefixes followed by a star
}

// KnownShardsAnswer is one registration of known shards. It is the response to POST /v1/known-shards and an
// item of KnownShardsPage.
type KnownShardsAnswer struct {
	Seq      uint64   `json:"seq"`
	At       string   `json:"at"` // log time
	Patterns []string `json:"patterns"`
	Reason   string   `json:"reason,omitempty"`
	Ticket   string   `json:"ticket,omitempty"`
	Actor    string   `json:"actor,omitempty"`
}

// KnownShardsPage is the response to GET /v1/known-shards, oldest first.
type KnownShardsPage struct {
	Items      []KnownShardsAnswer `json:"items"`
	AppliedSeq uint64              `json:"applied_seq"`
	AsOf       uint64              `json:"as_of,omitempty"` // as in AuditPage
}
