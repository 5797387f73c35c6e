package api

import (
	"context"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/wire"
)

// maxTokenLife bounds the life of a token, so that a forgotten token expires.
const maxTokenLife = 366 * 24 * time.Hour

// listTokens adds when this node has last accepted each token.
func (s *server) listTokens(c echo.Context) error {
	return serveRead(wire.ConsistencyLinearizable, func(l *Ledger, _ *params) readFunc[wire.TokensPage] {
		return func(ctx context.Context, _ View) (wire.TokensPage, error) {
			items, err := l.Tokens.Tokens(ctx)
			for i := range items {
				if at, ok := s.auth.used.of(items[i].ID); ok {
					items[i].LastUsed = wire.Time(at)
				}
			}
			return wire.TokensPage{Items: items, Node: s.NodeID}, err
		}
	})(s, c)
}

func createToken(ctx context.Context, l *Ledger, o op[wire.TokenRequest]) (int, *wire.TokenAnswer, error) {
	if err := checkTokenRequest(o.request, time.Now()); err != nil {
		return 0, nil, err
	}
	a, err := l.Tokens.CreateToken(ctx, o.request, o.meta)
	return http.StatusCreated, a, err
}

func checkTokenRequest(r wire.TokenRequest, now time.Time) error {
	sum, err := hex.DecodeString(r.Digest)
	expires, timeErr := wire.ParseTime(r.ExpiresAt)
	switch {
	case !wire.ValidTokenID(r.ID):
		return badParameter("id", "must be the id in the text of the token, 16 characters of a-z and 2-7")
	case !wire.ValidActor(r.Name):
		return badParameter("name", "must be 1 to 64 letters, digits, . _ @ -")
	case !r.Role.Valid():
		return badParameter("role", "must be metrics, auditor, responder or operator")
	case err != nil || len(sum) != 32 || strings.ToLower(r.Digest) != r.Digest:
		return badParameter("digest", "must be the SHA-256 of the whole text of the token, 64 lower-case hex digits")
	case timeErr != nil || !expires.After(now) || expires.After(now.Add(maxTokenLife)):
		return badParameter("expires_at", "must be an RFC 3339 date-time to come, at most 366 days from now")
	}
	return nil
}

func revokeToken(ctx context.Context, l *Ledger, o op[wire.TokenRevokeRequest]) (int, *wire.TokenAnswer, error) {
	id, err := pathParam(o.c, "token_id")
	if err != nil {
		return 0, nil, err
	}
	serial, cert := strings.CutPrefix(id, event.CertificatePrefix)
	if !cert && !wire.ValidTokenID(id) || cert && !isSerial(serial) {
		return 0, nil, badParameter("token_id",
			"must be the id of a token, or cert: and the serial number of a client certificate in lower-case hex")
	}
	return ok(l.Tokens.RevokeToken(ctx, id, o.request, o.meta))
}

// isSerial reports whether s is a serial number as Credential writes it.
func isSerial(s string) bool {
	return len(s) >= 1 && len(s) <= 40 && strings.Trim(s, "0123456789abcdef") == "" && (s[0] != '0' || s == "0")
}
