package api

import (
	"context"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/wire"
)

// whoami tells callers how this node identifies them. Except for the expiry of a token, it tells nothing that
// the credential itself does not carry.
func (s *server) whoami(c echo.Context) error {
	return serveRead(s, c, wire.ConsistencyLocal, func(context.Context, View) (any, error) {
		id := identityOf(c)
		a := wire.WhoamiAnswer{
			ClusterID:  s.Ledger.Status.Version().ClusterID,
			Node:       s.NodeID,
			Actor:      id.Actor,
			Role:       id.Role,
			Credential: id.Credential,
		}
		switch token, isToken := strings.CutPrefix(id.Credential, event.TokenPrefix); {
		case isToken:
			if row, known := s.Ledger.Credentials.Token(token); known && row.ExpiresAt != 0 {
				a.ExpiresAt = wire.Time(time.Unix(0, row.ExpiresAt))
			}
		case strings.HasPrefix(id.Credential, event.CertificatePrefix):
			leaf := c.Request().TLS.VerifiedChains[0][0] // authenticate has read the name from it
			a.ExpiresAt, a.Subject = wire.Time(leaf.NotAfter), leaf.Subject.String()
		}
		return a, nil
	})
}
