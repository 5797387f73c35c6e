package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/wire"
)

// fakeTokens keeps tokens in a slice, and is asked about them when a request is authenticated.
type fakeTokens struct {
	*shared
	tokens  []TokenRecord
	late    []TokenRecord // known only after Current
	revoked map[string]bool
	actors  []Meta
}

func (t *fakeTokens) Token(id string) (TokenRecord, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, row := range t.tokens {
		if row.ID == id {
			row.Revoked = row.Revoked || t.revoked[id]
			return row, true
		}
	}
	return TokenRecord{}, false
}

func (t *fakeTokens) CertificateRevoked(serial string) bool {
	return t.revoked[event.CertificatePrefix+serial]
}

func (t *fakeTokens) Current(context.Context) error {
	t.tokens, t.late = append(t.tokens, t.late...), nil
	return nil
}

func (t *fakeTokens) Tokens(context.Context) ([]wire.TokenAnswer, error) {
	var out []wire.TokenAnswer
	for _, row := range t.tokens {
		out = append(out, t.tokenAnswer(row))
	}
	return out, t.fail
}

func (t *fakeTokens) tokenAnswer(row TokenRecord) wire.TokenAnswer {
	state := "active"
	if t.revoked[row.ID] {
		state = "revoked"
	}
	return wire.TokenAnswer{ID: row.ID, Name: row.Name, Role: row.Role, State: state, Source: "log", ExpiresAt: wire.TimeNS(row.ExpiresAt)}
}

func (t *fakeTokens) CreateToken(_ context.Context, r wire.TokenRequest, meta Meta) (*wire.TokenAnswer, error) {
	sum, err := hex.DecodeString(r.Digest)
	if err != nil {
		return nil, err
	}
	at, err := wire.ParseTime(r.ExpiresAt)
	if err != nil {
		return nil, err
	}
	row := TokenRecord{ID: r.ID, Name: r.Name, Role: r.Role, SHA256: [32]byte(sum), ExpiresAt: at.UnixNano()}
	t.tokens, t.actors = append(t.tokens, row), append(t.actors, meta)
	a := t.tokenAnswer(row)
	return &a, t.fail
}

func (t *fakeTokens) RevokeToken(_ context.Context, id string, _ wire.TokenRevokeRequest, meta Meta) (*wire.TokenAnswer, error) {
	if t.revoked == nil {
		t.revoked = map[string]bool{}
	}
	row, ok := t.Token(id)
	if !ok && id[:5] != event.CertificatePrefix {
		return nil, ErrNotFound
	}
	t.revoked[id], t.actors = true, append(t.actors, meta)
	a := t.tokenAnswer(row)
	a.ID = id
	return &a, t.fail
}

// give makes a token that counts, and gives its text.
func (t *fakeTokens) give(role wire.Role, name string, expires time.Time) string {
	text, id, err := wire.NewToken(role)
	if err != nil {
		panic(err)
	}
	t.tokens = append(t.tokens, TokenRecord{ID: id, Name: name, Role: role, SHA256: sha256.Sum256([]byte(text)), ExpiresAt: expires.UnixNano()})
	return text
}

// fakeOperations keeps operations that wait for another actor.
type fakeOperations struct {
	*shared
	waiting []wire.ApprovalAnswer
}

func (t *fakeOperations) List(_ context.Context, from uint64, limit int) (items []wire.OperationItem, next uint64, err error) {
	for seq := from; seq <= 5; seq++ {
		if len(items) == limit {
			return items, seq, nil
		}
		items = append(items, wire.OperationItem{Seq: seq, Kind: "frozen", Effect: wire.EffectApplied, About: map[string]any{}})
	}
	return items, 0, nil
}

func (t *fakeOperations) Approve(_ context.Context, r wire.ApprovalRequest, meta Meta) (*wire.ApprovalAnswer, error) {
	for i := range t.waiting {
		if a := &t.waiting[i]; a.OpID == r.Approve {
			a.Actors = append(a.Actors, meta.Actor)
			return a, t.fail
		}
	}
	return nil, ErrNotFound
}

func (t *fakeOperations) Approvals(context.Context, bool) ([]wire.ApprovalAnswer, error) {
	return t.waiting, t.fail
}
