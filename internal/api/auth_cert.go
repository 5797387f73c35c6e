package api

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"strings"
	"time"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/wire"
)

// certificateIdentity reads the identity from a client certificate: the URI
// recount://<cluster-id>/role/<role>/<name> among its subject alternative names. It accepts only chains that
// the TLS handshake has verified. All certificates of such a chain must still be valid at now and trusted,
// because a connection may be older than that. A certificate without such a URI is not a credential.
func certificateIdentity(state *tls.ConnectionState, clusterID string, now time.Time,
	verifyChain func([]*x509.Certificate) bool) (Identity, error) {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return Identity{}, errNoCredentials
	}
	leaf := state.VerifiedChains[0][0]
	var found []*url.URL
	for _, u := range leaf.URIs {
		if u.Scheme == "recount" && strings.HasPrefix(u.Path, "/role/") {
			found = append(found, u)
		}
	}
	if len(found) == 0 {
		return Identity{}, errNoCredentials
	}
	parts := strings.Split(found[0].Path, "/")
	if len(found) > 1 || !validNow(state.VerifiedChains, now) || clusterID == "" || found[0].Host != clusterID ||
		len(parts) != 4 || found[0].RawQuery != "" || found[0].Fragment != "" || found[0].User != nil {
		return Identity{}, errBadCredentials
	}
	role := wire.Role(parts[2])
	if !role.Valid() || !wire.ValidActor(parts[3]) || verifyChain != nil && !verifyChain(state.PeerCertificates) {
		return Identity{}, errBadCredentials
	}
	return Identity{Actor: parts[3], Role: role, Credential: event.CertificatePrefix + leaf.SerialNumber.Text(16)}, nil
}

// validNow reports whether one of the chains is valid from end to end.
func validNow(chains [][]*x509.Certificate, now time.Time) bool {
	for _, chain := range chains {
		ok := len(chain) > 0
		for _, c := range chain {
			ok = ok && !now.Before(c.NotBefore) && !now.After(c.NotAfter)
		}
		if ok {
			return true
		}
	}
	return false
}
