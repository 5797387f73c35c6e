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

// Role says what a caller may do; docs/roles.md has the table. A role is in the log and in certificates, so the words are
// for ever. Submitters have none: their signature speaks for them.
type Role string

// The roles, each but metrics with all that the one before may do.
const (
	RoleMetrics   Role = "metrics"   // reads /metrics and nothing else
	RoleAuditor   Role = "auditor"   // reads everything
	RoleResponder Role = "responder" // does what an incident needs
	RoleOperator  Role = "operator"  // also tokens, keys and the cluster itself
)

// Roles returns all roles, the one with the fewest rights first.
func Roles() []Role { return []Role{RoleMetrics, RoleAuditor, RoleResponder, RoleOperator} }

// Valid reports whether r is one of Roles.
func (r Role) Valid() bool { return slices.Contains(Roles(), r) }

// TokenRequest is the body of POST /v1/tokens. Whoever asks has made the token with NewToken and keeps it: the ledger learns
// its digest only, so the text is in no request, no log and no node, and a repeated request is the same request.
type TokenRequest struct {
	Act
	ID        string `json:"id"`
	Name      string `json:"name"` // who holds it: the actor of every act done with it
	Role      Role   `json:"role"`
	Digest    string `json:"digest"`     // SHA-256 of the whole text, lower-case hex
	ExpiresAt string `json:"expires_at"` // RFC 3339
}

// TokenAnswer describes a token. It answers POST /v1/tokens (201) and POST /v1/tokens/{token_id}/revoke and is an item of
// TokensPage.
type TokenAnswer struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Role       Role   `json:"role"`
	State      string `json:"state"`                 // active, expired or revoked
	Source     string `json:"source"`                // log, or file for those of the node's tokens file
	ExpiresAt  string `json:"expires_at,omitempty"`  // empty: it does not expire
	CreatedAt  string `json:"created_at,omitempty"`  // log time; empty for those of a file
	CreatedBy  string `json:"created_by,omitempty"`  // actor
	Seq        uint64 `json:"seq,omitempty"`         // event that created it
	RevokedSeq uint64 `json:"revoked_seq,omitempty"` // event that revoked it
	RevokedBy  string `json:"revoked_by,omitempty"`  // actor
	LastUsed   string `json:"last_used,omitempty"`   // at this node since it started
	Reason     string `json:"reason,omitempty"`
	Ticket     string `json:"ticket,omitempty"`
}

// TokensPage answers GET /v1/tokens: those of the log by seq, then those of the file of the node that answers.
type TokensPage struct {
	Items []TokenAnswer `json:"items"`
	Node  string        `json:"node"` // whose LastUsed these are
}

// TokenRevokeRequest is the body of POST /v1/tokens/{token_id}/revoke.
type TokenRevokeRequest struct{ Act }

// A token is rct_<role>_<id>_<secret>_<checksum>: the id is 16 and the secret 52 characters of lower-case base32 (80 and 256
// random bits), the checksum is the CRC-32 (IEEE) of all that stands before its underscore, in 8 lower-case hex digits.
const (
	TokenPrefix = "rct_"
	tokenID     = 16
	tokenSecret = 52
)

var tokenText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ErrToken means that a text is not a token. It says no more, so that it can be shown.
var ErrToken = errors.New("not a token")

// NewToken makes a token of a role.
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

// ParseToken checks form and checksum and gives what a token says of itself; whether it is one that counts is another question.
func ParseToken(text string) (role Role, id string, err error) {
	at := strings.LastIndexByte(text, '_')
	if at < 0 || len(text) > 128 || text[at+1:] != checksum(text[:at]) {
		return "", "", ErrToken
	}
	parts := strings.Split(text, "_")
	if len(parts) != 5 || parts[0]+"_" != TokenPrefix || !Role(parts[1]).Valid() || !ValidTokenID(parts[2]) || !isToken32(parts[3], tokenSecret) {
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

// TokenDigest is what a ledger keeps of a token, in hex.
func TokenDigest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// ValidActor reports whether name may be the name of a token or of a client certificate: 1 to 64 of A-Z a-z 0-9 . _ @ -
func ValidActor(name string) bool {
	for i := 0; i < len(name); i++ {
		c := name[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '@' || c == '-'
		if !ok {
			return false
		}
	}
	return len(name) >= 1 && len(name) <= 64
}

// WhoamiAnswer answers GET /v1/whoami: how the node that answers knows the caller. All but the cluster and the node is empty where
// nobody needs credentials.
type WhoamiAnswer struct {
	ClusterID  string `json:"cluster_id"`
	Node       string `json:"node"`
	Actor      string `json:"actor"`
	Role       Role   `json:"role"`
	Credential string `json:"credential"`           // "token:" and its id, or "cert:" and its serial number in hex
	ExpiresAt  string `json:"expires_at,omitempty"` // of the credential
	Subject    string `json:"subject,omitempty"`    // of the client certificate
}
