package wire

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
)

// Role determines the rights of a caller. docs/roles.md has the table. Roles are persisted in the log and in
// certificates, so the words must never change. Submitters have no role, because their signature identifies
// them.
type Role string

// The roles. Each except metrics has all rights of the one before it.
const (
	RoleMetrics   Role = "metrics"   // reads /metrics and nothing else
	RoleAuditor   Role = "auditor"   // reads everything
	RoleResponder Role = "responder" // performs the operations that an incident needs
	RoleOperator  Role = "operator"  // also manages tokens, keys and the cluster itself
)

// Roles returns all roles, the one with the fewest rights first.
func Roles() []Role { return []Role{RoleMetrics, RoleAuditor, RoleResponder, RoleOperator} }

// Valid reports whether r is one of Roles.
func (r Role) Valid() bool { return slices.Contains(Roles(), r) }

// TokenRequest is the body of POST /v1/tokens. The caller has made the token with NewToken and keeps it. The
// ledger receives only its digest, so no request, log or node holds the text, and a repeated request is the
// same request.
type TokenRequest struct {
	Op
	ID        string `json:"id"`
	Name      string `json:"name"` // the holder: the actor of every operation done with it
	Role      Role   `json:"role"`
	Digest    string `json:"digest"`     // SHA-256 of the whole text, lower-case hex
	ExpiresAt string `json:"expires_at"` // RFC 3339
}

// TokenAnswer describes a token. It is the response to POST /v1/tokens (201) and POST
// /v1/tokens/{token_id}/revoke, and an item of TokensPage.
type TokenAnswer struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Role       Role   `json:"role"`
	State      string `json:"state"`                 // active, expired or revoked
	Source     string `json:"source"`                // log, or file for a token of the node's tokens file
	ExpiresAt  string `json:"expires_at,omitempty"`  // empty if it does not expire
	CreatedAt  string `json:"created_at,omitempty"`  // log time, empty for a token of a file
	CreatedBy  string `json:"created_by,omitempty"`  // actor
	Seq        uint64 `json:"seq,omitempty"`         // event that created it
	RevokedSeq uint64 `json:"revoked_seq,omitempty"` // event that revoked it
	RevokedBy  string `json:"revoked_by,omitempty"`  // actor
	LastUsed   string `json:"last_used,omitempty"`   // on this node since it started
	Reason     string `json:"reason,omitempty"`
	Ticket     string `json:"ticket,omitempty"`
}

// TokensPage is the response to GET /v1/tokens: the tokens of the log by seq, then those of the responding
// node's file.
type TokensPage struct {
	Items []TokenAnswer `json:"items"`
	Node  string        `json:"node"` // node that recorded LastUsed
}

// TokenRevokeRequest is the body of POST /v1/tokens/{token_id}/revoke.
type TokenRevokeRequest struct{ Op }

// A token is rct_<role>_<id>_<secret>_<checksum>. The id has 16 and the secret 52 characters of lower-case
// base32 (80 and 256 random bits). The checksum is the CRC-32 (IEEE) of everything before its underscore, in 8
// lower-case hex digits.
const (
	TokenPrefix = "rct_"
	tokenID     = 16
	tokenSecret = 52
)

var tokenText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ErrToken means that a text is not a token. It does not contain the text, so that it can be shown.
var ErrToken = errors.New("not a token")

// NewToken returns a new random token of a role.
func NewToken(role Role) (text, id string, err error) {
	if !role.Valid() {
		return "", "", fmt.Errorf("%w: no role %q", ErrToken, role)
	}
	raw := make([]byte, 42)
	if _, err := rand.Read(raw); err != nil {
		return "", "", err
	}
	id = tokenText.EncodeToString(raw[:10])
	body := TokenPrefix + string(role) + "_" + id + "_" + tokenText.EncodeToString(raw[10:])
	return body + "_" + checksum(body), id, nil
}

func checksum(body string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(body))) }

// ParseToken checks form and checksum and returns role and id. It does not check whether the token is valid
// anywhere.
func ParseToken(text string) (role Role, id string, err error) {
	at := strings.LastIndexByte(text, '_')
	if at < 0 || len(text) > 128 || text[at+1:] != checksum(text[:at]) {
		return "", "", ErrToken
	}
	parts := strings.Split(text, "_")
	if len(parts) != 5 || parts[0]+"_" != TokenPrefix || !Role(parts[1]).Valid() || !ValidTokenID(parts[2]) ||
		!isToken32(parts[3], tokenSecret) {
		return "", "", ErrToken
	}
	return Role(parts[1]), parts[2], nil
}

// ValidTokenID reports whether id has the form of a token's id.
func ValidTokenID(id string) bool { return isToken32(id, tokenID) }

func isToken32(s string, length int) bool {
	_, err := tokenText.DecodeString(s)
	return len(s) == length && err == nil && !strings.ContainsAny(s, "\r\n")
}

// TokenDigest returns the digest under which a ledger keeps a token, in hex.
func TokenDigest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// ValidActor reports whether name may be the name of a token or of a client certificate: 1 to 64 of A-Z a-z 0-9 . _ @ -
func ValidActor(name string) bool {
	for i := 0; i < len(name); i++ {
		c := name[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' ||
			c == '@' || c == '-'
		if !ok {
			return false
		}
	}
	return len(name) >= 1 && len(name) <= 64
}

// WhoamiAnswer is the response to GET /v1/whoami: the caller as the responding node identifies it. If no
// credentials are needed, all members except cluster and node are empty.
type WhoamiAnswer struct {
	ClusterID string `json:"cluster_id"`
	// ids that the ledger had before it was restored from a backup under another one, oldest first
	Formerly   []string `json:"formerly,omitempty"`
	Node       string   `json:"node"`
	Actor      string   `json:"actor"`
	Role       Role     `json:"role"`
	Credential string   `json:"credential"`           // "token:" and its id, or "cert:" and its serial number in hex
	ExpiresAt  string   `json:"expires_at,omitempty"` // of the credential
	Subject    string   `json:"subject,omitempty"`    // of the client certificate
}
