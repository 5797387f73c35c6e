package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"slices"
	"strings"
	"sync"

	"github.com/recount-ledger/recount/internal/pcs"
)

// KeySet is an immutable, ordered set of verification keys. It is safe for concurrent use.
type KeySet struct {
	keys []Key
	byID map[string]int // index into keys, used for look-ups only, never ranged over
	macs []sync.Pool    // *mac, one pool per key, because keyed hashes are expensive to set up
}

// mac is a keyed HMAC with memory for its sum.
type mac struct {
	h   hash.Hash
	sum [sha256.Size]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// scratch holds the candidate payloads of one Check.
type scratch struct {
	buf   []byte
	cands [maxCandidates]candidate
	n     int
	ops   int // MACs or signature verifications spent
}

// candidate is one distinct payload.
type candidate struct {
	profile pcs.Profile
	from    int // buf[from:to]
	to      int
	hashed  bool
	digest  [sha256.Size]byte // of the payload, if hashed
}

// maxCandidates is the number of profiles that exist.
const maxCandidates = int(pcs.LastProfile)

// NewKeySet returns a set of the keys, which are tried in the given order. Of several keys with one id the first
// is used. Key bytes are copied.
func NewKeySet(keys []Key) *KeySet {
	r := &KeySet{byID: make(map[string]int, len(keys))}
	for _, k := range keys {
		if _, dup := r.byID[k.ID]; dup {
			continue
		}
		k.Public, k.Secret = slices.Clone(k.Public), slices.Clone(k.Secret)
		r.byID[k.ID] = len(r.keys)
		r.keys = append(r.keys, k)
	}
	r.macs = make([]sync.Pool, len(r.keys))
	return r
}

// Keys returns the keys in order. The caller owns the slice, but the key bytes are shared and must not be
// modified.
func (r *KeySet) Keys() []Key { return slices.Clone(r.keys) }

// Key returns the key with that id.
func (r *KeySet) Key(id string) (Key, bool) {
	i, ok := r.byID[id]
	if !ok {
		return Key{}, false
	}
	return r.keys[i], true
}

// Check finds the key that verifies rec.Sig. It returns zero Facts if there is none. The decoded length selects
// the algorithm: 32 bytes HMAC, 64 Ed25519, with keys of that algorithm only. Base64 is standard, padded and
// strict. Check tries every existing profile and mode, whatever a policy accepts, because policies change and
// the log is permanent. Evaluate applies the policy. A record that names scheme pcs/2 is checked under that scheme
// only, and other records are never checked under it.
//
// The facts are a function of the record and the keys alone. If several profiles write the record in the same
// bytes, the facts name the first of them. The hint, usually the facts of an earlier record, changes only the
// cost.
//
// Cost: Check tries the hint's combination first. Then it builds all payloads and drops equal ones. A forgery
// costs at most one MAC or signature verification per distinct payload, mode and key of the algorithm.
func (r *KeySet) Check(rec *pcs.Record, hint Facts) Facts {
	f, _ := r.Find(rec, hint)
	return f
}

// Find is like Check and also returns the combination that succeeded, for use as the next hint. It differs from
// the facts if the client's profile writes this record in the same bytes as an earlier one.
func (r *KeySet) Find(rec *pcs.Record, hint Facts) (facts, hit Facts) {
	facts, hit, _ = r.check(rec, hint)
	return facts, hit
}

// check is like Find and also returns the number of MACs or verifications spent.
func (r *KeySet) check(rec *pcs.Record, hint Facts) (facts, hit Facts, ops int) {
	if rec == nil || !rec.Signable {
		return Facts{}, Facts{}, 0
	}
	var buf [ed25519.SignatureSize]byte
	sig, alg := decodeSig(&buf, rec.Sig)
	if alg == 0 {
		return Facts{}, Facts{}, 0
	}
	s, _ := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.buf, s.n, s.ops = s.buf[:0], 0, 0
	if rec.Scheme != pcs.PCS1 {
		f := r.checkPCS2(s, rec, sig, alg, hint.KeyID)
		return f, f, s.ops
	}
	hit = r.checkProfiles(s, rec, sig, alg, hint)
	if facts = hit; hit.Valid() {
		facts.Profile = firstAlike(rec, hit.Profile)
	}
	return facts, hit, s.ops
}

// checkProfiles tries the combination of the hint, then all others.
func (r *KeySet) checkProfiles(s *scratch, rec *pcs.Record, sig []byte, alg Alg, hint Facts) Facts {
	hintKey := r.hintKey(alg, hint)
	if hintKey >= 0 && s.add(rec, hint.Profile) {
		if r.try(s, 0, hintKey, hint.Mode, sig) {
			return hint
		}
	} else {
		hintKey = -1
	}
	for p := pcs.F9; p <= pcs.LastProfile; p++ {
		if p != hint.Profile || hintKey < 0 {
			s.add(rec, p)
		}
	}
	return r.search(s, sig, alg, hintKey, hint.Mode)
}

// firstAlike returns the first profile, in order, that writes the record in the same bytes as p.
func firstAlike(rec *pcs.Record, p pcs.Profile) pcs.Profile {
	for q := pcs.F9; q < p; q++ {
		if alike(rec, p, q) {
			return q
		}
	}
	return p
}

// alike reports whether two profiles write the record in the same bytes. The record must be signable.
func alike(rec *pcs.Record, p, q pcs.Profile) bool {
	s, _ := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.buf, s.n = s.buf[:0], 0
	return s.add(rec, p) && s.has(rec, q)
}

// checkPCS2 tries the message of pcs/2 with every key of the algorithm, starting with the key of the hint.
func (r *KeySet) checkPCS2(s *scratch, rec *pcs.Record, sig []byte, alg Alg, hint string) Facts {
	if !s.addPCS2(rec) {
		return Facts{}
	}
	verifies := func(k int) bool {
		return r.keys[k].Alg == alg && r.keys[k].HasMaterial() && r.try(s, 0, k, Whole, sig)
	}
	first, hinted := r.byID[hint]
	if hinted && verifies(first) {
		return Facts{KeyID: hint, Alg: alg, Profile: pcs.F9, Mode: Whole}
	}
	for k := range r.keys {
		if !(hinted && k == first) && verifies(k) {
			return Facts{KeyID: r.keys[k].ID, Alg: alg, Profile: pcs.F9, Mode: Whole}
		}
	}
	return Facts{}
}

// hintKey returns the index of the hint's key, or -1 if the hint cannot apply.
func (r *KeySet) hintKey(alg Alg, hint Facts) int {
	if !hint.Valid() || hint.Scheme() != pcs.PCS1 || hint.Alg != alg || !modeAllowed(hint.Profile, hint.Mode) {
		return -1
	}
	i, ok := r.byID[hint.KeyID]
	if !ok || r.keys[i].Alg != alg || !r.keys[i].HasMaterial() {
		return -1
	}
	return i
}

// search tries every candidate, mode and key of the algorithm, except the combination of the first candidate
// with skipKey and skipMode, which has already failed.
func (r *KeySet) search(s *scratch, sig []byte, alg Alg, skipKey int, skipMode Mode) Facts {
	for k := range r.keys {
		if r.keys[k].Alg != alg || !r.keys[k].HasMaterial() {
			continue
		}
		for c := range s.cands[:s.n] {
			for mode := Raw; mode <= SHA256; mode++ {
				if c == 0 && k == skipKey && mode == skipMode || !modeAllowed(s.cands[c].profile, mode) {
					continue
				}
				if r.try(s, c, k, mode, sig) {
					return Facts{KeyID: r.keys[k].ID, Alg: alg, Profile: s.cands[c].profile, Mode: mode}
				}
			}
		}
	}
	return Facts{}
}

// Recheck verifies exactly the recorded facts, at the cost of one MAC or verification. known is false if the
// set lacks the key or its secret, or is nil. ok is then false too.
func (r *KeySet) Recheck(rec *pcs.Record, f Facts) (ok, known bool) {
	if r == nil {
		return false, false
	}
	i, found := r.byID[f.KeyID]
	if !found || r.keys[i].Alg != f.Alg || !r.keys[i].HasMaterial() {
		return false, false
	}
	s, _ := scratches.Get().(*scratch)
	defer scratches.Put(s)
	var buf [ed25519.SignatureSize]byte
	sig := s.recorded(&buf, rec, f)
	return sig != nil && r.try(s, 0, i, f.Mode, sig), true
}

// RecheckEd25519 is Recheck with a public key (32 bytes) instead of a set.
func RecheckEd25519(public []byte, rec *pcs.Record, f Facts) bool {
	if len(public) != ed25519.PublicKeySize || f.Alg != Ed25519 {
		return false
	}
	s, _ := scratches.Get().(*scratch)
	defer scratches.Put(s)
	var buf [ed25519.SignatureSize]byte
	sig := s.recorded(&buf, rec, f)
	return sig != nil && ed25519.Verify(public, s.message(0, f.Mode), sig)
}

// recorded makes the message that the facts name the only candidate. It returns the signature of the record,
// decoded into buf, or nil if the facts cannot be those of the record.
func (s *scratch) recorded(buf *[ed25519.SignatureSize]byte, rec *pcs.Record, f Facts) []byte {
	if rec == nil || !rec.Signable || !f.Valid() || rec.Scheme != f.Scheme() || !modeAllowed(f.Profile, f.Mode) {
		return nil
	}
	sig, alg := decodeSig(buf, rec.Sig)
	s.buf, s.n, s.ops = s.buf[:0], 0, 0
	if alg != f.Alg || f.Mode == Whole && !s.addPCS2(rec) || f.Mode != Whole && !s.add(rec, f.Profile) {
		return nil
	}
	return sig
}

// message returns the message that a signature of the candidate covers.
func (s *scratch) message(c int, mode Mode) []byte {
	candidate := &s.cands[c]
	payload := s.buf[candidate.from:candidate.to]
	if mode != SHA256 {
		return payload
	}
	if !candidate.hashed {
		candidate.hashed, candidate.digest = true, sha256.Sum256(payload)
	}
	return candidate.digest[:]
}

// add builds the payload of one profile and keeps it if it differs from earlier ones. It reports whether it
// added a candidate.
func (s *scratch) add(rec *pcs.Record, p pcs.Profile) bool {
	from := len(s.buf)
	b, err := rec.AppendPayload(s.buf, p)
	if err != nil || s.n == maxCandidates { // this profile cannot sign such a record
		return false
	}
	for _, c := range s.cands[:s.n] {
		if bytes.Equal(b[from:], b[c.from:c.to]) {
			s.buf = b[:from]
			return false
		}
	}
	s.buf = b
	s.cands[s.n] = candidate{profile: p, from: from, to: len(b)}
	s.n++
	return true
}

// has reports whether the profile writes the record in the same bytes as one of the candidates.
func (s *scratch) has(rec *pcs.Record, p pcs.Profile) bool {
	b, err := rec.AppendPayload(s.buf, p)
	written := b[len(s.buf):]
	return err == nil && slices.ContainsFunc(s.cands[:s.n], func(c candidate) bool {
		return bytes.Equal(written, b[c.from:c.to])
	})
}

// addPCS2 adds the message of pcs/2 as the only candidate. It reports whether the record has such a message.
func (s *scratch) addPCS2(rec *pcs.Record) bool {
	b, ok := rec.PCS2Message(s.buf)
	if ok {
		s.cands[0], s.buf, s.n = candidate{profile: pcs.F9, from: len(s.buf), to: len(b)}, b, 1
	}
	return ok
}

// try spends one MAC or verification on one combination.
func (r *KeySet) try(s *scratch, c, key int, mode Mode, sig []byte) bool {
	s.ops++
	msg := s.message(c, mode)
	k := &r.keys[key]
	if k.Alg == Ed25519 {
		return ed25519.Verify(k.Public, msg, sig)
	}
	m, _ := r.macs[key].Get().(*mac)
	if m == nil {
		m = &mac{h: hmac.New(sha256.New, k.Secret)}
	}
	m.h.Reset()
	m.h.Write(msg)
	ok := hmac.Equal(m.h.Sum(m.sum[:0]), sig)
	r.macs[key].Put(m)
	return ok
}

// modeAllowed reports whether a profile may be signed in a mode. The fixed-width form is signed as a hash only.
func modeAllowed(p pcs.Profile, m Mode) bool { return p != pcs.Bin || m == SHA256 }

var strictBase64 = base64.StdEncoding.Strict()

// decodeSig decodes standard padded base64 (RFC 4648, section 4) without line breaks or stray tail bits.
// Algorithm 0 means that the text does not encode 32 or 64 bytes.
func decodeSig(buf *[ed25519.SignatureSize]byte, text string) ([]byte, Alg) {
	var alg Alg
	switch len(text) {
	case 44:
		alg = HMACSHA256
	case 88:
		alg = Ed25519
	default:
		return nil, 0
	}
	if strings.ContainsAny(text, "\r\n") { // the decoder skips them even when strict
		return nil, 0
	}
	var src [88]byte
	var dst [66]byte
	n, err := strictBase64.Decode(dst[:], src[:copy(src[:], text)])
	if err != nil || alg == HMACSHA256 && n != sha256.Size || alg == Ed25519 && n != ed25519.SignatureSize {
		return nil, 0
	}
	return buf[:copy(buf[:], dst[:n])], alg
}
