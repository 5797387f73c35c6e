package operator

import (
	"context"
	"encoding/hex"
	"math"
	"strings"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// Tokens creates and revokes the tokens of callers.
type Tokens struct{ core *core }

// Token returns a token of the log or of this node's file.
func (tr *Tokens) Token(id string) (api.TokenRecord, bool) {
	control := tr.core.control()
	_, revoked := control.TokenRevoked(id)
	if row, ok := control.Token(id); ok {
		return api.TokenRecord{
			ID:        id,
			Name:      row.Name,
			Role:      wire.Role(row.Role),
			SHA256:    row.SHA256,
			ExpiresAt: row.ExpiresAt,
			Revoked:   revoked,
		}, true
	}
	i, ok := tr.core.File.byID[id]
	if !ok {
		return api.TokenRecord{}, false
	}
	row := tr.core.File.rows[i]
	row.Revoked = revoked
	return row, true
}

// CertificateRevoked reports whether a client certificate was revoked by its serial number.
func (tr *Tokens) CertificateRevoked(serial string) bool {
	_, revoked := tr.core.control().TokenRevoked(event.CertificatePrefix + serial)
	return revoked
}

// Current returns once this node has folded everything that was acknowledged before the call.
func (tr *Tokens) Current(ctx context.Context) error { return tr.core.current(ctx) }

// Tokens lists the tokens of the log and those of this node's file.
func (tr *Tokens) Tokens(context.Context) ([]wire.TokenAnswer, error) {
	now, out := tr.core.Clock.Now(), []wire.TokenAnswer{}
	for _, row := range tr.core.control().Tokens() {
		out = append(out, tr.loggedToken(row, now))
	}
	for _, row := range tr.core.File.rows {
		out = append(out, tr.fileToken(row, now))
	}
	return out, nil
}

func (tr *Tokens) loggedToken(row projections.TokenRow, now time.Time) wire.TokenAnswer {
	return tr.tokenState(wire.TokenAnswer{
		ID:        row.ID,
		Name:      row.Name,
		Role:      wire.Role(row.Role),
		Source:    "log",
		CreatedAt: wire.TimeNS(row.LogTime),
		CreatedBy: row.Op.Actor,
		Seq:       row.Seq,
		Reason:    row.Op.Reason,
		Ticket:    row.Op.Ticket,
	}, row.ExpiresAt, now)
}

func (tr *Tokens) fileToken(row api.TokenRecord, now time.Time) wire.TokenAnswer {
	return tr.tokenState(wire.TokenAnswer{ID: row.ID, Name: row.Name, Role: row.Role, Source: "file"},
		row.ExpiresAt, now)
}

// tokenState adds the fields of a token that change.
func (tr *Tokens) tokenState(a wire.TokenAnswer, expires int64, now time.Time) wire.TokenAnswer {
	a.State = "active"
	if expires != 0 {
		a.ExpiresAt = wire.TimeNS(expires)
		if now.UnixNano() >= expires {
			a.State = "expired"
		}
	}
	if r, ok := tr.core.control().TokenRevoked(a.ID); ok {
		a.State, a.RevokedSeq, a.RevokedBy = "revoked", r.Seq, r.Op.Actor
	}
	return a
}

// CreateToken registers the digest of a token.
func (tr *Tokens) CreateToken(ctx context.Context, r wire.TokenRequest,
	meta api.Meta) (*wire.TokenAnswer, error) {
	if err := tr.core.current(ctx); err != nil {
		return nil, err
	}
	sum, err := hex.DecodeString(r.Digest)
	if err != nil {
		return nil, wire.NewProblem(wire.CodeBadRequest, "digest: not hex").WithField("digest")
	}
	expires, err := wire.ParseTime(r.ExpiresAt)
	if err != nil {
		return nil, wire.NewProblem(wire.CodeBadRequest, "expires_at: not a date-time").WithField("expires_at")
	}
	taken := stale("the id %s is taken; make another token", r.ID)
	if _, inFile := tr.core.File.byID[r.ID]; inFile {
		return nil, taken
	}
	m := &event.TokenCreatedV1{
		Id:        r.ID,
		Name:      r.Name,
		Role:      string(r.Role),
		Sha256:    sum,
		ExpiresAt: expires.UnixNano(),
		Op:        tr.core.op(r.Op, meta),
	}
	if _, err := tr.core.commitOnce(ctx, event.TokenCreated, m, taken); err != nil {
		return nil, err
	}
	row, ok := tr.core.control().Token(r.ID)
	if !ok {
		return nil, taken
	}
	a := tr.loggedToken(row, tr.core.Clock.Now())
	return &a, nil
}

// RevokeToken ends the use of a token or a client certificate. A second revocation changes nothing.
func (tr *Tokens) RevokeToken(ctx context.Context, id string, r wire.TokenRevokeRequest,
	meta api.Meta) (*wire.TokenAnswer, error) {
	if err := tr.core.current(ctx); err != nil {
		return nil, err
	}
	_, known := tr.Token(id)
	serial, cert := strings.CutPrefix(id, event.CertificatePrefix)
	if !known && !cert {
		return nil, api.ErrNotFound
	}
	if _, _, err := tr.core.commit(ctx, event.TokenRevoked, &event.TokenRevokedV1{
		Id: id,
		Op: tr.core.op(r.Op, meta),
	}); err != nil {
		return nil, err
	}
	if _, ok := tr.core.control().TokenRevoked(id); !ok {
		return nil, opIDReused(r.OpID)
	}
	now := tr.core.Clock.Now()
	if row, ok := tr.core.control().Token(id); ok {
		a := tr.loggedToken(row, now)
		return &a, nil
	}
	if i, ok := tr.core.File.byID[id]; ok {
		a := tr.fileToken(tr.core.File.rows[i], now)
		return &a, nil
	}
	a := tr.tokenState(wire.TokenAnswer{ID: id, Name: serial, Source: "certificate"}, 0, now)
	return &a, nil
}

// briefToken is the lifetime up to which a token is meant to end, for a shift or an incident. There is no
// warning before its end.
const briefToken = 14 * 24 * time.Hour

// FirstExpiry returns the time until the end of the first token of a role. It looks at tokens that count and
// were made to last. ok is false if there is none.
func (tr *Tokens) FirstExpiry(role wire.Role) (left time.Duration, ok bool) {
	control, now, first := tr.core.control(), tr.core.Clock.Now().UnixNano(), int64(math.MaxInt64)
	look := func(id string, has wire.Role, made, expires int64) {
		if has != role || expires == 0 || expires <= now || made != 0 && expires-made <= int64(briefToken) {
			return
		}
		if _, revoked := control.TokenRevoked(id); !revoked {
			first = min(first, expires)
		}
	}
	for _, row := range control.Tokens() {
		look(row.ID, wire.Role(row.Role), row.LogTime, row.ExpiresAt)
	}
	for _, row := range tr.core.File.rows {
		look(row.ID, row.Role, 0, row.ExpiresAt)
	}
	return time.Duration(first - now), first != math.MaxInt64
}
