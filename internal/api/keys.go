package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// NewKey is a checked KeyRequest.
type NewKey struct {
	ID, Owner, Comment  string
	Alg                 verify.Alg
	Public              []byte // Ed25519 only
	Fingerprint         [32]byte
	Scope               []string
	NotBefore, NotAfter int64 // log time, Unix nanoseconds; 0 is no bound
}

func listKeys(l *Ledger, p *params) readFunc[wire.KeysPage] {
	return asOf(p, func(ctx context.Context, view View, seq uint64) (wire.KeysPage, error) {
		items, err := l.Keys.Keys(ctx, seq)
		return wire.KeysPage{Items: items, AppliedSeq: view.Position().AppliedSeq, AsOf: seq}, err
	})
}

// keyID reads the id of a key in the path.
func keyID(c echo.Context) (string, error) {
	id := c.Param("key_id")
	if id == "" || len(id) > 64 {
		return "", badParameter("key_id", "must be 1 to 64 bytes")
	}
	return id, nil
}

func oneKey(l *Ledger, p *params) readFunc[*wire.KeyAnswer] {
	id, err := keyID(p.c)
	p.keep(err)
	return asOf(p, func(ctx context.Context, _ View, seq uint64) (*wire.KeyAnswer, error) {
		a, err := l.Keys.Key(ctx, id, seq)
		if err == nil {
			a.AsOf = seq
		}
		return a, err
	})
}

func addKey(ctx context.Context, l *Ledger, o op[wire.KeyRequest]) (int, *wire.KeyAnswer, error) {
	k, err := newKey(&o.request)
	if err != nil {
		return 0, nil, err
	}
	return okOrCreated(l.Keys.AddKey(ctx, k, o.request.Op, o.meta))
}

// newKey validates the request for a key and derives the key's id.
func newKey(r *wire.KeyRequest) (NewKey, error) {
	k := NewKey{Owner: r.Owner, Comment: r.Comment, Scope: r.Scope}
	alg, err := verify.ParseAlg(r.Alg)
	if err != nil {
		return k, badParameter("alg", "must be hmac-sha256 or ed25519")
	}
	k.Alg = alg
	if alg == verify.Ed25519 {
		if r.Fingerprint != "" {
			return k, badParameter("fingerprint", "follows from the public key; leave it out for ed25519")
		}
		raw, err := base64.StdEncoding.Strict().DecodeString(r.Public)
		if err != nil {
			return k, badParameter("public", "must be standard base64 of 32 bytes")
		}
		key, err := verify.NewEd25519Key(raw)
		if err != nil {
			return k, badParameter("public",
				"must be the 32 bytes of an Ed25519 public key, canonical and not of small order")
		}
		k.Public, k.Fingerprint, k.ID = key.Public, key.Fingerprint, key.ID
	} else {
		raw, err := hex.DecodeString(r.Fingerprint)
		if err != nil || len(raw) != 32 || r.Public != "" {
			return k, badParameter("fingerprint",
				"an HMAC key is registered by its fingerprint, 64 hex digits, and nothing else of it")
		}
		k.Fingerprint = [32]byte(raw)
		k.ID = verify.HMACKeyID(k.Fingerprint)
	}
	if k.NotBefore, err = bound("not_before", r.NotBefore); err != nil {
		return k, err
	}
	if k.NotAfter, err = bound("not_after", r.NotAfter); err != nil {
		return k, err
	}
	if k.NotAfter != 0 && k.NotAfter <= k.NotBefore {
		return k, badParameter("not_after", "must be later than not_before")
	}
	return k, nil
}

// bound parses an optional time.
func bound(field, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	ns, ok := nanoseconds(text)
	if !ok {
		return 0, badParameter(field, mustBeMoment)
	}
	return ns, nil
}

func revokeKey(ctx context.Context, l *Ledger, o op[wire.RevokeRequest]) (int, *wire.RevokeAnswer, error) {
	id, err := keyID(o.c)
	if err != nil {
		return 0, nil, err
	}
	since, err := bound("since", o.request.Since)
	if err != nil {
		return 0, nil, err
	}
	if o.request.Since == "" {
		since = time.Now().UnixNano()
	}
	return ok(l.Keys.RevokeKey(ctx, id, since, o.request, o.meta))
}

func retireKey(ctx context.Context, l *Ledger, o op[wire.Op]) (int, *wire.KeyAnswer, error) {
	id, err := keyID(o.c)
	if err != nil {
		return 0, nil, err
	}
	return ok(l.Keys.RetireKey(ctx, id, o.request, o.meta))
}

func retireSecret(ctx context.Context, l *Ledger, o op[wire.Op]) (int, *wire.KeyAnswer, error) {
	id, err := keyID(o.c)
	if err != nil {
		return 0, nil, err
	}
	return ok(l.Keys.RetireSecret(ctx, id, o.request, o.meta))
}
