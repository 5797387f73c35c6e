package node

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

var errNoKeys = errors.New("the key files hold no key any more")

// heldKeys holds the keys with which a node can check signatures.
type heldKeys struct {
	derived *fsm.Derived
	log     *slog.Logger

	// reread reads the keys of the settings again. It is nil when none of them is in a file, and is called
	// every poll.
	reread func() ([]verify.Key, error)
	poll   time.Duration

	own     atomic.Pointer[[]verify.Key] // of the settings
	keys    atomic.Pointer[keyCache]
	secrets atomic.Pointer[heldSecrets]
	hints   keyHints

	changed     chan struct{} // poked when own has other keys
	filesFailed atomic.Bool   // the last reading of the key files failed
}

func newHeldKeys(cfg *Config, log *slog.Logger) *heldKeys {
	h := &heldKeys{log: log, reread: cfg.RereadKeys, poll: cfg.KeyPoll, changed: make(chan struct{}, 1)}
	h.own.Store(&cfg.Keys)
	return h
}

// keyCache has the keys with which a node checks: those of its settings, then the Ed25519 keys that operators
// have registered.
type keyCache struct {
	newest uint64        // event that registered the last key
	own    *[]verify.Key // of the settings
	keys   *verify.KeySet
}

// Verifiers returns the keys with which this node can check, as of the control state that it has folded.
func (h *heldKeys) Verifiers() *verify.KeySet {
	newest, own := h.derived.Control().NewestKey(), h.own.Load()
	if k := h.keys.Load(); k != nil && k.newest == newest && k.own == own {
		return k.keys
	}
	keys := slices.Clone(*own)
	for _, k := range h.derived.Control().Keys(newest) {
		if k.Alg == verify.Ed25519 {
			keys = append(keys, verify.Key{ID: k.ID, Alg: k.Alg, Public: k.Public, Fingerprint: k.Fingerprint})
		}
	}
	k := &keyCache{newest: newest, own: own, keys: verify.NewKeySet(keys)}
	h.keys.Store(k)
	return k.keys
}

// heldSecrets remembers the secrets that are missing, as of an operator's event and for a key set.
type heldSecrets struct {
	seq     uint64
	keys    *verify.KeySet
	missing []string
}

// MissingSecrets returns the fingerprints of the active HMAC keys of the ledger with which this node cannot
// check. A flood of forgeries asks often, so they are looked up once per operator's event.
func (h *heldKeys) MissingSecrets() []string {
	seq, _ := h.derived.Control().Digest()
	keys := h.Verifiers()
	if s := h.secrets.Load(); s != nil && s.seq == seq && s.keys == keys {
		return s.missing
	}
	s := &heldSecrets{seq: seq, keys: keys}
	for _, k := range h.derived.Control().Keys(seq) {
		if held, ok := keys.Key(k.ID); k.Alg == verify.HMACSHA256 && k.Active() && (!ok || !held.HasMaterial()) {
			s.missing = append(s.missing, hex.EncodeToString(k.Fingerprint[:]))
		}
	}
	h.secrets.Store(s)
	return s.missing
}

// checkRegistered returns nil when all keys of the settings are in the ledger.
func (h *heldKeys) checkRegistered() error {
	if missing := h.unregistered(); len(missing) > 0 {
		return fmt.Errorf("%d keys of the settings are not in the ledger yet", len(missing))
	}
	return nil
}

// checkSecrets returns an error that names the secrets which this node lacks.
func (h *heldKeys) checkSecrets() error {
	missing := h.MissingSecrets()
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("no secret for the keys with fingerprint %s; add it to pcs_hmac_keys_file, or retire the key",
		strings.Join(missing, ", "))
}

// CheckSignature finds the key that signed the record. It first tries the key that signed the last record of the shard.
func (h *heldKeys) CheckSignature(keys *verify.KeySet, rec *pcs.Record) verify.Facts {
	hint := h.hints.of(rec.ShardID)
	facts, hit := keys.Find(rec, hint)
	if hit.Valid() && hit != hint {
		h.hints.put(rec.ShardID, hit)
	}
	return facts
}

// unregistered returns the keys of the settings that are not in the ledger yet.
func (h *heldKeys) unregistered() []verify.Key {
	var out []verify.Key
	for _, k := range *h.own.Load() {
		if _, ok := h.derived.Control().KeyByFingerprint(k.Fingerprint); !ok {
			out = append(out, k)
		}
	}
	return out
}

// watch reads the key files of the settings again and takes over the changes. New keys come into use and are
// registered in the ledger. This node stops using keys that are gone, and the records that they signed stay as
// they were judged. A change counts when two readings in a row agree, because a file may be read while it is
// being written. Files that cannot be read change nothing.
func (h *heldKeys) watch(ctx context.Context) error {
	if h.reread == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	var seen []verify.Key
	for {
		if err := pause.For(ctx, h.poll); err != nil {
			return err
		}
		keys, err := h.reread()
		held := *h.own.Load()
		if err == nil && len(keys) == 0 && len(held) > 0 {
			err = errNoKeys
		}
		if failed := err != nil; h.filesFailed.Swap(failed) != failed && failed {
			h.log.Error("the key files cannot be read again; the keys of before stay in use", "error", err)
		}
		if err != nil {
			seen = nil
			continue
		}
		if keys = verify.NewKeySet(keys).Keys(); sameKeys(keys, held) {
			seen = nil
			continue
		}
		if !sameKeys(keys, seen) {
			seen = keys
			continue
		}
		h.own.Store(&keys)
		h.log.Info("keys read again", "added", idsWithout(keys, held), "removed", idsWithout(held, keys))
		seen = nil
		select {
		case h.changed <- struct{}{}:
		default:
		}
	}
}

// sameKeys compares keys in their order, which is the order in which they are tried.
func sameKeys(a, b []verify.Key) bool {
	return slices.EqualFunc(a, b, func(a, b verify.Key) bool { return a.Fingerprint == b.Fingerprint })
}

// idsWithout lists the ids of keys that are not in others.
func idsWithout(keys, others []verify.Key) []string {
	ids := []string{}
	for _, k := range keys {
		if !slices.ContainsFunc(others, func(o verify.Key) bool { return o.Fingerprint == k.Fingerprint }) {
			ids = append(ids, k.ID)
		}
	}
	return ids
}
