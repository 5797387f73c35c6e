package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/recount-ledger/recount/internal/cluster/certs"
)

// peerTLS is the result of reading the TLS files once. It is replaced as a whole and never modified.
type peerTLS struct {
	cert  tls.Certificate
	roots *x509.CertPool
}

// readTLS reads the files and makes sure that they belong together and to this node.
func (p *peerPort) readTLS() (*peerTLS, error) {
	roots, err := certs.ReadPool(p.cfg.TLS.CA)
	if err != nil {
		return nil, fmt.Errorf("cluster: peer CA: %w", err)
	}
	cert, err := certs.ReadPair(p.cfg.TLS.Cert, p.cfg.TLS.Key)
	if err != nil {
		return nil, fmt.Errorf("cluster: peer certificate: %w", err)
	}
	id, err := p.nodeOf(cert.Leaf)
	if err != nil {
		return nil, fmt.Errorf("cluster: own peer certificate: %s: %w", p.cfg.TLS.Cert, err)
	}
	if id != p.cfg.NodeID {
		return nil, fmt.Errorf("cluster: own peer certificate: %s names node %q, not %q", p.cfg.TLS.Cert, id,
			p.cfg.NodeID)
	}
	return &peerTLS{cert: cert, roots: roots}, nil
}

// CheckTLS reads the files of the peer port as a start and a renewal do, and says whether nodes with the same
// authorities would take the certificate. It opens nothing.
func CheckTLS(cfg Config, now time.Time) (tls.Certificate, error) {
	own, err := (&peerPort{cfg: &cfg}).readTLS()
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := certs.CheckValid(own.cert, now); err != nil {
		return own.cert, nil // for the caller to say
	}
	if err := own.trusted(now); err != nil {
		return own.cert,
			fmt.Errorf("cluster: other nodes will refuse the peer certificate %s under the authorities in %s: %w",
				cfg.TLS.Cert, cfg.TLS.CA, err)
	}
	return own.cert, nil
}

// trusted reports whether nodes with the same authorities would take the certificate in both directions.
func (s *peerTLS) trusted(now time.Time) error {
	if err := certs.CheckValid(s.cert, now); err != nil {
		return err
	}
	var chain []*x509.Certificate
	for _, der := range s.cert.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		chain = append(chain, cert)
	}
	if err := s.verify(chain, x509.ExtKeyUsageServerAuth); err != nil {
		return err // the other direction mostly has the same fault
	}
	return s.verify(chain, x509.ExtKeyUsageClientAuth)
}

func (s *peerTLS) verify(chain []*x509.Certificate, use x509.ExtKeyUsage) error {
	if len(chain) == 0 {
		return errors.New("no peer certificate")
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         s.roots,
		Intermediates: between,
		KeyUsages:     []x509.ExtKeyUsage{use},
	})
	return err
}

// ReloadTLS reads the peer port's files again. Connections that stand go on as they are; new ones in both
// directions use what was read. When the files do not parse, do not match, name another node, or would be
// refused by nodes with the same authorities, everything stays as it was and the error says which file and why.
func (c *Cluster) ReloadTLS() error {
	fresh, err := c.peer.readTLS()
	if err != nil {
		return err
	}
	if err := fresh.trusted(time.Now()); err != nil {
		return fmt.Errorf("cluster: peer certificate %s under the authorities in %s: %w", c.cfg.TLS.Cert,
			c.cfg.TLS.CA, err)
	}
	c.peer.tls.Store(fresh)
	return nil
}

// CertificateEnd returns the time at which the peer certificate in use expires.
func (c *Cluster) CertificateEnd() time.Time { return c.peer.tls.Load().cert.Leaf.NotAfter }

func (p *peerPort) serverTLS() *tls.Config {
	own := p.tls.Load()
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own.cert}, ClientCAs: own.roots,
		ClientAuth:             tls.RequireAndVerifyClientCert,
		NextProtos:             []string{alpnRPC, alpnRaft},
		SessionTicketsDisabled: true,

		DynamicRecordSizingDisabled: true, // one write is few records
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := p.identify(&state)
			return err
		},
	}
}

// clientTLS expects one certain node. The identity is the URI SAN, so host names are not looked at; the chain is.
func (p *peerPort) clientTLS(id, alpn string) *tls.Config {
	own := p.tls.Load()
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own.cert}, NextProtos: []string{alpn},
		DynamicRecordSizingDisabled: true,

		InsecureSkipVerify: true, // replaced by VerifyConnection, which checks chain and identity
		VerifyConnection: func(state tls.ConnectionState) error {
			if err := own.verify(state.PeerCertificates, x509.ExtKeyUsageServerAuth); err != nil {
				return err
			}
			if state.NegotiatedProtocol != alpn {
				return fmt.Errorf("peer does not speak %s", alpn)
			}
			got, err := p.identify(&state)
			if err == nil && got != id {
				err = fmt.Errorf("peer is node %q, not %q", got, id)
			}
			return err
		},
	}
}
