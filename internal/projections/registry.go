package projections

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// Bounds of what an operator writes about a key or shards. The fold ignores what exceeds them.
const (
	MaxOwner    = 128 // bytes
	MaxComment  = 256 // bytes
	MaxPatterns = 1024
)

// KeyRow is a registered key. Secrets are never in the log.
type KeyRow struct {
	Seq         uint64
	LogTime     int64
	ID          string
	Alg         verify.Alg
	Public      []byte // 32 bytes for Ed25519, nil for HMAC
	Fingerprint [32]byte
	Source      string // "env" and the like
	Node        string // the node that proposed it

	Terms         KeyTerms
	Revoked       uint64 // event, 0 for none; like all fields below, as of the read
	RevokedSince  int64  // log time from which a fold with hindsight ignores the key, Unix nanoseconds
	Retired       uint64 // event, 0 for none
	SecretRetired uint64 // event, 0 for none
}

// Active reports whether the key may still sign. Its terms may have ended nevertheless.
func (k *KeyRow) Active() bool { return k.Revoked == 0 && k.Retired == 0 }

// KeyTerms limit the shards and the time for which a key is valid.
type KeyTerms struct {
	Seq       uint64 // event that set them
	Owner     string
	Scope     []string // shard ids, or prefixes followed by a star; none means every shard
	NotBefore int64    // Unix nanoseconds, log time, inclusive; 0 is no bound
	NotAfter  int64    // Unix nanoseconds, log time, exclusive; 0 is no bound
	Comment   string
	Op        Op
}

// allows reports whether a submission to shard at logTime is within the terms.
func (t *KeyTerms) allows(shard string, logTime int64) bool {
	if logTime < t.NotBefore || t.NotAfter != 0 && logTime >= t.NotAfter {
		return false
	}
	return len(t.Scope) == 0 || slices.ContainsFunc(t.Scope, func(p string) bool { return MatchShard(p, shard) })
}

// MatchShard reports whether a pattern matches a shard id. A pattern is an id, or a prefix followed by a star.
func MatchShard(pattern, shard string) bool {
	if begin, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(shard, begin)
	}
	return pattern == shard
}

// CheckPattern returns what is wrong with a pattern of shard ids, or "".
func CheckPattern(pattern string) string {
	switch begin, star := strings.CutSuffix(pattern, "*"); {
	case pattern == "":
		return "is empty"
	case len(begin) > pcs.MaxShardID:
		return fmt.Sprintf("is longer than %d bytes", pcs.MaxShardID)
	case strings.Contains(begin, "*"):
		return "has a star before its end"
	case star && begin == "":
		return "means every shard; leave the scope out instead"
	}
	return ""
}

// FreezeScope is the kind of subject of a freeze. Values are persisted and must never be renumbered.
type FreezeScope uint32

// The scopes.
const (
	FreezeAll   FreezeScope = 0
	FreezeShard FreezeScope = 1
	FreezeKey   FreezeScope = 2
)

// FreezeRow is one freeze: submissions after event Seq and before event Thawed are refused.
type FreezeRow struct {
	Seq     uint64
	LogTime int64
	Scope   FreezeScope
	Subject string // shard id or key id; "" for FreezeAll
	Op      Op
	Thawed  uint64 // 0 while it is in force
}

// KnownShards is one registration of known shards.
type KnownShards struct {
	Seq      uint64
	LogTime  int64
	Patterns []string
	Op       Op
}

// registry is the part of the control state about keys, freezes and known shards. All reads are as of an event.
type registry struct {
	keys    []registered // ascending seq
	byID    map[string]int
	byPrint map[[32]byte]int
	freezes []FreezeRow             // ascending seq
	frozen  map[frozenSubject][]int // indexes of freezes, ascending; those of one subject never overlap

	held     []int  // those in force, by index
	lastThaw uint64 // event
	known    []KnownShards
	newest   uint64 // event that registered the last key

	members  []MemberChangeRow
	disputes map[uint64]uint64 // by event of the submission: the event that disputes its facts
}

// frozenSubject identifies the subject of a freeze.
type frozenSubject struct {
	scope   FreezeScope
	subject string
}

// registered is a key with its history.
type registered struct {
	KeyRow              // without the fields that change
	terms    []KeyTerms // ascending seq, at least one
	revoked  []revocation
	retired  uint64
	attested uint64 // event that retired the secret
}

// revocation is the first revocation of a key, or a later one with an earlier since.
type revocation struct {
	seq   uint64
	since int64
}

// standing reports whether the key is neither retired nor revoked, after all events so far.
func (k *registered) standing() bool { return k.retired == 0 && len(k.revoked) == 0 }

func newRegistry() registry {
	return registry{
		byID:     map[string]int{},
		byPrint:  map[[32]byte]int{},
		disputes: map[uint64]uint64{},
		frozen:   map[frozenSubject][]int{},
	}
}

// at returns the key as of seq.
func (k *registered) at(seq uint64) KeyRow {
	row := k.KeyRow
	row.Terms = *k.termsAt(seq)
	for _, r := range k.revoked {
		if r.seq > seq {
			break
		}
		if row.Revoked == 0 {
			row.Revoked = r.seq
		}
		row.RevokedSince = r.since
	}
	if k.retired <= seq {
		row.Retired = k.retired
	}
	if k.attested <= seq {
		row.SecretRetired = k.attested
	}
	return row
}

// termsAt returns the terms in force at event seq.
func (k *registered) termsAt(seq uint64) *KeyTerms {
	for i := len(k.terms) - 1; i > 0; i-- {
		if k.terms[i].Seq <= seq {
			return &k.terms[i]
		}
	}
	return &k.terms[0]
}

func (r *registry) key(id string) *registered {
	i, ok := r.byID[id]
	if !ok {
		return nil
	}
	return &r.keys[i]
}

// keyOf decodes a key. It reports whether id, algorithm, public key and fingerprint belong together and the
// terms are within bounds.
func keyOf(m *event.KeyAddedV1) (registered, bool) {
	if len(m.Fingerprint) != 32 || len(m.Owner) > MaxOwner || len(m.Comment) > MaxComment || !patternsFit(m.Scope) ||
		m.NotAfter != 0 && m.NotAfter <= m.NotBefore || m.NotBefore < 0 {
		return registered{}, false
	}
	k := registered{
		KeyRow: KeyRow{
			ID:          m.KeyId,
			Alg:         verify.Alg(m.Alg),
			Fingerprint: [32]byte(m.Fingerprint),
			Source:      m.Source,
			Node:        m.Node,
		},
		terms: []KeyTerms{{
			Owner:     m.Owner,
			Scope:     slices.Clone(m.Scope),
			NotBefore: m.NotBefore,
			NotAfter:  m.NotAfter,
			Comment:   m.Comment,
			Op:        opOf(m.Op),
		}},
	}
	switch uint64(m.Alg) {
	case uint64(verify.HMACSHA256):
		return k, len(m.Public) == 0 && k.ID == verify.HMACKeyID(k.Fingerprint)
	case uint64(verify.Ed25519):
		v, err := verify.NewEd25519Key(m.Public)
		k.Public = bytes.Clone(m.Public)
		return k, err == nil && v.ID == k.ID && v.Fingerprint == k.Fingerprint
	}
	return registered{}, false
}

func patternsFit(patterns []string) bool {
	return len(patterns) <= MaxPatterns &&
		!slices.ContainsFunc(patterns, func(p string) bool { return CheckPattern(p) != "" })
}

// freeze returns the freeze in force of exactly this scope and subject, or nil.
func (r *registry) freeze(scope FreezeScope, subject string) *FreezeRow {
	for _, i := range r.held {
		if f := &r.freezes[i]; f.Scope == scope && f.Subject == subject {
			return f
		}
	}
	return nil
}
