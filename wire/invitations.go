package wire

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// MemberWithdrawn is the change of a MemberAnswer after an invitation was withdrawn.
const MemberWithdrawn = "withdrawn"

// Times for which an invitation may be open.
const (
	MinInvitation = time.Minute
	MaxInvitation = 24 * time.Hour
)

// Codes with which a member refuses a join token. None of these refusals changes anything, and none goes away by itself.
const (
	JoinTokenUnknown      = "join_token_unknown"       // no invitation has this secret, or it ended long ago
	JoinTokenOtherCluster = "join_token_other_cluster" // it is a token of another cluster
	JoinTokenOtherNode    = "join_token_other_node"    // it invites another node id
	JoinTokenUsed         = "join_token_used"          // the node was added with it, from another directory
	JoinTokenExpired      = "join_token_expired"       // its time is over
	JoinTokenWithdrawn    = "join_token_withdrawn"     // it was withdrawn, or the node was invited again
)

// InvitationRequest is the body of POST /v1/cluster/invitations. The caller has made the secret with NewJoinSecret and
// keeps it. The ledger receives only its digest, so a repeated request is the same request.
type InvitationRequest struct {
	Op
	NodeID      string `json:"node_id"`               // never used before in this cluster
	PeerAddress string `json:"peer_address"`          // host:port at which the other members will reach the node
	APIAddress  string `json:"api_address,omitempty"` // base URL for clients, such as https://10.0.0.4:9440
	Digest      string `json:"digest"`                // SHA-256 of the secret, lower-case hex
	ValidS      int64  `json:"valid_s"`               // seconds for which it is open, 60 to 86400
}

// InvitationAnswer is the response to POST /v1/cluster/invitations: all that the new node needs besides the secret.
type InvitationAnswer struct {
	NodeID      string       `json:"node_id"`
	PeerAddress string       `json:"peer_address"`
	APIAddress  string       `json:"api_address,omitempty"`
	ExpiresAt   string       `json:"expires_at"` // log time, RFC 3339
	Seq         uint64       `json:"seq"`
	ClusterID   string       `json:"cluster_id"`
	Members     []JoinMember `json:"members"`     // where the new node finds the cluster
	Authorities [][]byte     `json:"authorities"` // certificates of the authorities of nodes, DER
}

// JoinMember is a member at which a new node finds the cluster.
type JoinMember struct {
	ID   string `json:"id"`
	Peer string `json:"peer"` // host:port
	API  string `json:"api"`  // base URL for clients, empty if nobody said
}

// JoinToken holds what a new node needs to find its cluster and to add itself. An operator hands over its text form.
type JoinToken struct {
	ClusterID   string       `json:"cluster"`
	NodeID      string       `json:"node"`
	PeerAddress string       `json:"peer"`
	APIAddress  string       `json:"api,omitempty"`
	ExpiresAt   string       `json:"expires_at"`
	Secret      []byte       `json:"secret"` // 32 bytes
	Members     []JoinMember `json:"members"`
	Authorities [][]byte     `json:"authorities"` // DER
}

// A join token is rcj1_<content>_<checksum>. The content is JoinToken as JSON in unpadded base64url. The checksum is the
// CRC-32 (IEEE) of everything before its underscore, in 8 lower-case hex digits.
const (
	JoinTokenPrefix = "rcj1_"
	maxJoinToken    = 64 << 10
	joinSecret      = sha256.Size
)

// NewJoinSecret returns a new random secret of a join token.
func NewJoinSecret() ([]byte, error) {
	secret := make([]byte, joinSecret)
	_, err := rand.Read(secret)
	return secret, err
}

// JoinDigest returns the digest under which the ledger keeps the secret of a join token, in hex.
func JoinDigest(secret []byte) string {
	sum := sha256.Sum256(secret)
	return hex.EncodeToString(sum[:])
}

// JoinTokenOf puts the answer to an invitation and its secret together.
func JoinTokenOf(a *InvitationAnswer, secret []byte) JoinToken {
	return JoinToken{
		ClusterID:   a.ClusterID,
		NodeID:      a.NodeID,
		PeerAddress: a.PeerAddress,
		APIAddress:  a.APIAddress,
		ExpiresAt:   a.ExpiresAt,
		Secret:      secret,
		Members:     a.Members,
		Authorities: a.Authorities,
	}
}

// Text returns the token as text.
func (t JoinToken) Text() (string, error) {
	content, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	body := JoinTokenPrefix + base64.RawURLEncoding.EncodeToString(content)
	return body + "_" + checksum(body), nil
}

// String hides the secret. So does GoString from %#v.
func (t JoinToken) String() string { return "join token of " + t.NodeID + " for " + t.ClusterID }

// GoString is String.
func (t JoinToken) GoString() string { return t.String() }

// ErrJoinToken means that a text is no join token. It does not contain the text, so that it can be shown.
var ErrJoinToken = errors.New("not a join token")

// ParseJoinToken checks form and checksum. It does not check whether the token counts anywhere.
func ParseJoinToken(text string) (t JoinToken, err error) {
	text = strings.TrimSpace(text)
	at := strings.LastIndexByte(text, '_')
	switch {
	case otherFormat(text):
		return t, fmt.Errorf("%w of this release: its format is another one than %s; use the release that made it",
			ErrJoinToken, JoinTokenPrefix)
	case len(text) > maxJoinToken || at < len(JoinTokenPrefix) || !strings.HasPrefix(text, JoinTokenPrefix):
		return t, fmt.Errorf("%w: it does not begin with %s", ErrJoinToken, JoinTokenPrefix)
	case text[at+1:] != checksum(text[:at]):
		return t, fmt.Errorf("%w: its checksum is wrong: a part is missing or changed", ErrJoinToken)
	}
	content, err := base64.RawURLEncoding.DecodeString(text[len(JoinTokenPrefix):at])
	if err != nil {
		return t, fmt.Errorf("%w: its content is not base64url", ErrJoinToken)
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&t); err != nil || d.More() {
		return JoinToken{}, fmt.Errorf("%w: its content is not that of this release", ErrJoinToken)
	}
	if t.ClusterID == "" || t.NodeID == "" || t.PeerAddress == "" || len(t.Secret) != joinSecret || len(t.Members) == 0 ||
		len(t.Authorities) == 0 {
		return JoinToken{}, fmt.Errorf("%w: it lacks a part", ErrJoinToken)
	}
	return t, nil
}

// otherFormat reports whether a text begins as a join token of another version of the format.
func otherFormat(text string) bool {
	version, ok := strings.CutPrefix(text, "rcj")
	digits, _, under := strings.Cut(version, "_")
	return ok && under && digits != "" && strings.Trim(digits, "0123456789") == "" &&
		!strings.HasPrefix(text, JoinTokenPrefix)
}
