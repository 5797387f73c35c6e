package api

import (
	"context"
	"strings"
	"time"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/wire"
)

// whoami tells callers how this node identifies them. Except for the expiry of a token, it tells nothing that
// the credential itself does not carry.
func whoami(l *Ledger, p *params) readFunc[wire.WhoamiAnswer] {
	return func(context.Context, View) (wire.WhoamiAnswer, error) {
		id, node := identityOf(p.c), l.Status.Version()
		a := wire.WhoamiAnswer{
			ClusterID:  node.ClusterID,
			Formerly:   node.Formerly,
			Node:       node.Node,
			Actor:      id.Actor,
			Role:       id.Role,
			Credential: id.Credential,
		}
		switch token, isToken := strings.CutPrefix(id.Credential, event.TokenPrefix); {
		case isToken:
			if row, known := l.Credentials.Token(token); known && row.ExpiresAt != 0 {
				a.ExpiresAt = wire.Time(time.Unix(0, row.ExpiresAt))
			}
		case strings.HasPrefix(id.Credential, event.CertificatePrefix):
			leaf := p.c.Request().TLS.VerifiedChains[0][0] // authenticate has read the name from it
			a.ExpiresAt, a.Subject = wire.Time(leaf.NotAfter), leaf.Subject.String()
		}
		return a, nil
	}
}
