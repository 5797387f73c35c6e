package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/internal/pcs"
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

func (s *server) keys(c echo.Context) error {
	return serveRead(s, c, wire.ConsistencyLinearizable, func(ctx context.Context, view View) (any, error) {
		items, err := s.Ledger.Keys.Keys(ctx)
		return wire.KeysPage{Items: items, AppliedSeq: view.Position().AppliedSeq}, err
	})
}

func keyID(c echo.Context) (string, error) {
	id := c.Param("key_id")
	if id == "" || len(id) > 64 {
		return "", badParameter("key_id", "must be 1 to 64 bytes")
	}
	return id, nil
}

func (s *server) key(c echo.Context) error {
	id, err := keyID(c)
	if err != nil {
		return err
	}
	return serveRead(s, c, wire.ConsistencyLinearizable, func(ctx context.Context, _ View) (any, error) {
		return s.Ledger.Keys.Key(ctx, id)
	})
}

func (s *server) addKey(c echo.Context) error {
	var r wire.KeyRequest
	return s.act(c, &r, &r.Op, func(ctx context.Context, meta Meta) (int, any, error) {
		k, err := newKey(&r)
		if err != nil {
			return 0, nil, err
		}
		a, created, err := s.Ledger.Keys.AddKey(ctx, k, r.Op, meta)
		if created {
			return http.StatusCreated, a, err
		}
		return http.StatusOK, a, err
	})
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

func (s *server) revokeKey(c echo.Context) error {
	id, err := keyID(c)
	if err != nil {
		return err
	}
	var r wire.RevokeRequest
	return s.act(c, &r, &r.Op, func(ctx context.Context, meta Meta) (int, any, error) {
		since, err := bound("since", r.Since)
		if err != nil {
			return 0, nil, err
		}
		if r.Since == "" {
			since = time.Now().UnixNano()
		}
		a, err := s.Ledger.Keys.RevokeKey(ctx, id, since, r, meta)
		return http.StatusOK, a, err
	})
}

func (s *server) retireKey(c echo.Context) error { return s.keyAct(c, s.Ledger.Keys.RetireKey) }

func (s *server) retireSecret(c echo.Context) error { return s.keyAct(c, s.Ledger.Keys.RetireSecret) }

// keyAct serves an operation on a key that needs only the key's id.
func (s *server) keyAct(c echo.Context,
	do func(context.Context, string, wire.Op, Meta) (*wire.KeyAnswer, error)) error {
	id, err := keyID(c)
	if err != nil {
		return err
	}
	var r wire.Op
	return s.act(c, &r, &r, func(ctx context.Context, meta Meta) (int, any, error) {
		a, err := do(ctx, id, r, meta)
		return http.StatusOK, a, err
	})
}

// maxActs bounds the operations on one page.
const maxActs = 1000

func (s *server) listActs(c echo.Context) error {
	p := readParams(c, "from_seq", "limit", "consistency", "min_seq")
	from, limit, want := p.number("from_seq", 1, 1, 1<<63-1), p.number("limit", 100, 1, maxActs),
		p.read(wire.ConsistencyLinearizable)
	if err := p.err(); err != nil {
		return err
	}
	ctx, cancel, view, err := s.fresh(c, want)
	if err != nil {
		return err
	}
	defer cancel()
	items, next, err := s.Ledger.Operations.Acts(ctx, from, int(limit))
	if err != nil {
		return err
	}
	if items == nil {
		items = []wire.OperationItem{}
	}
	return writeJSON(c, http.StatusOK, wire.OperationsPage{Items: items, NextSeq: next, AppliedSeq: view.Position().AppliedSeq})
}

func (s *server) freezes(c echo.Context) error {
	return serveRead(s, c, wire.ConsistencyLinearizable, func(ctx context.Context, view View) (any, error) {
		items, err := s.Ledger.Freezes.Freezes(ctx)
		return wire.FreezesPage{Items: items, AppliedSeq: view.Position().AppliedSeq}, err
	})
}

func (s *server) freeze(c echo.Context) error { return s.freezeAct(c, s.Ledger.Freezes.Freeze) }

func (s *server) thaw(c echo.Context) error { return s.freezeAct(c, s.Ledger.Freezes.Thaw) }

func (s *server) freezeAct(c echo.Context,
	do func(context.Context, wire.FreezeRequest, Meta) (*wire.FreezeAnswer, error)) error {
	var r wire.FreezeRequest
	return s.act(c, &r, &r.Op, func(ctx context.Context, meta Meta) (int, any, error) {
		if err := checkFreeze(&r); err != nil {
			return 0, nil, err
		}
		if r.Scope == wire.FreezeShard && isPattern(r.Subject) {
			view, err := s.Ledger.Views.View(ctx, Read{Consistency: wire.ConsistencyLocal})
			if err != nil {
				return 0, nil, err
			}
			if err := oneShard(ctx, view, "subject", r.Subject); err != nil {
				return 0, nil, err
			}
		}
		a, err := do(ctx, r, meta)
		return http.StatusOK, a, err
	})
}

func checkFreeze(r *wire.FreezeRequest) error {
	switch r.Scope {
	case wire.FreezeAll:
		if r.Subject != "" {
			return badParameter("subject", "must be absent when everything is meant")
		}
	case wire.FreezeShard:
		if why := pcs.CheckShardID(r.Subject); why != "" {
			return badParameter("subject", "must be the id of a shard, which "+why)
		}
	case wire.FreezeKey:
		if r.Subject == "" || len(r.Subject) > 64 {
			return badParameter("subject", "must be the id of a key, 1 to 64 bytes")
		}
	default:
		return badParameter("scope", "must be all, shard or key")
	}
	if r.Reason == "" {
		return badParameter("reason", "must be given: agents and auditors will ask why")
	}
	return nil
}

func isPattern(id string) bool { return strings.HasSuffix(id, "*") }

// oneShard rejects a pattern where the id of one shard is expected. Nothing would be found under a pattern, and
// that looks like good news. A shard that exists under such an id is accepted.
func oneShard(ctx context.Context, view View, field, id string) error {
	if !isPattern(id) {
		return nil
	}
	_, err := view.Shard(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return badParameter(field, "is a pattern; give the id of one shard")
	}
	return err
}

func (s *server) knownShards(c echo.Context) error {
	return serveRead(s, c, wire.ConsistencyLinearizable, func(ctx context.Context, view View) (any, error) {
		items, err := s.Ledger.KnownShards.KnownShards(ctx)
		return wire.KnownShardsPage{Items: items, AppliedSeq: view.Position().AppliedSeq}, err
	})
}

func (s *server) addKnownShards(c echo.Context) error {
	var r wire.KnownShardsRequest
	return s.act(c, &r, &r.Op, func(ctx context.Context, meta Meta) (int, any, error) {
		a, err := s.Ledger.KnownShards.AddKnownShards(ctx, r, meta)
		return http.StatusOK, a, err
	})
}
