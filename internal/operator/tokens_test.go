package operator_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/ledgertest"
	"github.com/recount-ledger/recount/internal/operator"
	"github.com/recount-ledger/recount/wire"
)

// tokenID is the id of a test token, from one letter.
func tokenID(letter string) string { return strings.Repeat(letter, 16) }

// after is a time in the form of a request, counted from the start of the clock.
func after(d time.Duration) string { return wire.TimeNS(ledgertest.Start.Add(d).UnixNano()) }

// tokenBench has the tokens f, of an auditor and for an hour, and g, of metrics without an end, in its settings.
func tokenBench(t *testing.T) *bench {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	digest := strings.Repeat("0f", 32)
	text := tokenID("f") + " auditor " + digest + " " + after(time.Hour) + " frida\n" +
		tokenID("g") + " metrics " + digest + " never\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := operator.ReadTokensFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return newBench(t, func(o *operator.Options) { o.File = file })
}

// create makes a token and expects success.
func (b *bench) create(letter string, role wire.Role, lifetime time.Duration) {
	b.Helper()
	_, err := b.Tokens.CreateToken(b.Context(), wire.TokenRequest{
		Op:        wire.Op{Reason: "shift", Ticket: "T-1"},
		ID:        tokenID(letter),
		Name:      "name-" + letter,
		Role:      role,
		Digest:    strings.Repeat("0e", 32),
		ExpiresAt: wire.TimeNS(b.ledger.Now().Add(lifetime).UnixNano()),
	}, as("alice"))
	b.is("token "+letter, err, "")
}

// TestTokenStates: a token is active until its end or its revocation, wherever it comes from.
func TestTokenStates(t *testing.T) {
	b := tokenBench(t)
	ctx := t.Context()
	b.create("a", wire.RoleOperator, 2*time.Hour)
	b.create("b", wire.RoleAuditor, time.Hour)
	states := func(when, want string) {
		t.Helper()
		list, err := b.Tokens.Tokens(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range list {
			got = append(got, a.ID[:1]+" "+a.Source+" "+a.State)
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%s: %s", when, s)
		}
	}
	states("at first", "a log active, b log active, f file active, g file active")
	revoked, err := b.Tokens.RevokeToken(ctx, tokenID("a"), wire.TokenRevokeRequest{}, as("carol"))
	b.is("a revocation", err, "")
	if revoked.State != "revoked" || revoked.RevokedBy != "carol" || revoked.RevokedSeq <= revoked.Seq ||
		revoked.CreatedBy != "alice" || revoked.Ticket != "T-1" {
		t.Errorf("%+v", revoked)
	}
	if row, ok := b.Tokens.Token(tokenID("a")); !ok || !row.Revoked || row.Role != wire.RoleOperator ||
		row.SHA256[0] != 0x0e || row.ExpiresAt != ledgertest.Start.Add(2*time.Hour).UnixNano() {
		t.Errorf("%+v %v", row, ok)
	}
	b.ledger.Advance(time.Hour - 1)
	states("before the end", "a log revoked, b log active, f file active, g file active")
	b.ledger.Advance(1)
	states("at the end", "a log revoked, b log expired, f file expired, g file active")
	_, err = b.Tokens.RevokeToken(ctx, tokenID("g"), wire.TokenRevokeRequest{}, as("carol"))
	b.is("a token of the settings", err, "")
	states("then", "a log revoked, b log expired, f file expired, g file revoked")
	if row, ok := b.Tokens.Token(tokenID("g")); !ok || !row.Revoked || row.Name != "metrics" {
		t.Errorf("%+v %v", row, ok)
	}
	if row, ok := b.Tokens.Token(tokenID("b")); !ok || row.Revoked {
		t.Errorf("%+v %v", row, ok)
	}
}

// TestRevokeToken: whatever is revoked has to be known, except a certificate. A second revocation leaves the first.
func TestRevokeToken(t *testing.T) {
	b := tokenBench(t)
	ctx := t.Context()
	revoke := func(id, opID, by string) (*wire.TokenAnswer, error) {
		return b.Tokens.RevokeToken(ctx, id, wire.TokenRevokeRequest{Op: wire.Op{OpID: opID}}, as(by))
	}
	if b.grow(func() {
		if _, err := revoke(tokenID("x"), "", "alice"); !errors.Is(err, api.ErrNotFound) {
			t.Errorf("an unknown token: %v", err)
		}
	}) {
		t.Error("the revocation of an unknown token is in the log")
	}
	if _, ok := b.Tokens.Token(tokenID("x")); ok {
		t.Error("an unknown token")
	}
	first, err := revoke(tokenID("f"), "one", "alice")
	b.is("a token", err, "")
	again, err := revoke(tokenID("f"), "two", "bob")
	b.is("once more", err, "")
	if first.RevokedSeq == 0 || again.RevokedSeq != first.RevokedSeq || again.RevokedBy != "alice" {
		t.Errorf("%+v, then %+v", first, again)
	}
	_, err = revoke(tokenID("g"), "one", "alice")
	b.is("another token under the op_id", err, reused)
	cert, err := revoke(event.CertificatePrefix+"0a1b", "three", "alice")
	b.is("a certificate", err, "")
	if cert.Source != "certificate" || cert.Name != "0a1b" || cert.State != "revoked" || cert.RevokedBy != "alice" {
		t.Errorf("%+v", cert)
	}
	if !b.Tokens.CertificateRevoked("0a1b") || b.Tokens.CertificateRevoked("0a1c") {
		t.Error("the wrong certificate is revoked")
	}
}

// TestCreateTokenRefused: a token that cannot be used, or whose id is taken anywhere, is refused.
func TestCreateTokenRefused(t *testing.T) {
	b := tokenBench(t)
	ctx := t.Context()
	b.create("a", wire.RoleOperator, time.Hour)
	_, err := b.Tokens.RevokeToken(ctx, event.CertificatePrefix+"0a", wire.TokenRevokeRequest{}, as("alice"))
	b.is("a certificate", err, "")
	for name, c := range map[string]struct {
		change func(*wire.TokenRequest)
		want   wire.Code
		inLog  bool
	}{
		"a digest that is no hex": {func(r *wire.TokenRequest) { r.Digest = "xy" }, wire.CodeBadRequest, false},
		"an expiry without a day": {func(r *wire.TokenRequest) { r.ExpiresAt = "tomorrow" }, wire.CodeBadRequest, false},
		"an id of the settings":   {func(r *wire.TokenRequest) { r.ID = tokenID("f") }, wire.CodeStale, false},
		"an id of the log":        {func(r *wire.TokenRequest) { r.ID = tokenID("a") }, wire.CodeStale, true},
		"a short digest":          {func(r *wire.TokenRequest) { r.Digest = "00" }, wire.CodeStale, true},
	} {
		r := wire.TokenRequest{ID: tokenID("b"), Name: "b", Role: wire.RoleAuditor,
			Digest: strings.Repeat("0", 64), ExpiresAt: after(time.Hour)}
		c.change(&r)
		if inLog := b.grow(func() {
			_, err := b.Tokens.CreateToken(ctx, r, as("alice"))
			b.is(name, err, c.want)
		}); inLog != c.inLog {
			t.Errorf("%s: in the log %v", name, inLog)
		}
	}
	if row, ok := b.Tokens.Token(tokenID("a")); !ok || row.Name != "name-a" || row.Role != wire.RoleOperator {
		t.Errorf("%+v %v", row, ok)
	}
	if _, ok := b.Tokens.Token(tokenID("b")); ok {
		t.Error("a refused token counts")
	}
}

// TestFirstExpiry: the warning is about tokens of the role that count and were made to last.
func TestFirstExpiry(t *testing.T) {
	const day = 24 * time.Hour
	b := tokenBench(t)
	first := func(what string, role wire.Role, want time.Duration) {
		t.Helper()
		if left, ok := b.Tokens.FirstExpiry(role); ok != (want != 0) || ok && left != want {
			t.Errorf("%s: %v %v, not %v", what, left, ok, want)
		}
	}
	first("a token that never ends", wire.RoleMetrics, 0)
	first("a token of the settings", wire.RoleAuditor, time.Hour)
	b.create("a", wire.RoleOperator, 14*day)
	first("a token for a shift", wire.RoleOperator, 0)
	b.create("b", wire.RoleOperator, 90*day)
	b.create("c", wire.RoleOperator, 30*day)
	b.create("d", wire.RoleResponder, 20*day)
	first("two that last", wire.RoleOperator, 30*day)
	_, err := b.Tokens.RevokeToken(t.Context(), tokenID("c"), wire.TokenRevokeRequest{}, as("alice"))
	b.is("a revocation", err, "")
	first("without the revoked one", wire.RoleOperator, 90*day)
	b.ledger.Advance(day)
	first("a day later", wire.RoleOperator, 89*day)
	first("the ended one of the settings", wire.RoleAuditor, 0)
	b.ledger.Advance(89 * day)
	first("at the end", wire.RoleOperator, 0)
}

// TestCurrent: the credentials are current only while a quorum confirms them.
func TestCurrent(t *testing.T) {
	b := newBench(t)
	b.is("with a quorum", b.Tokens.Current(t.Context()), "")
	b.ledger.LoseQuorum()
	b.is("without", b.Tokens.Current(t.Context()), wire.CodeNoLeader)
}
