package sign

import (
	"errors"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// Signature describes how a record was signed.
type Signature struct {
	PCSID        string // as the record has it
	Scheme       string // PCS1 or PCS2, "unknown" when sig_scheme names neither
	InputsSigned bool   // the signature covers the whole record: true under PCS2
	KeyID        string // Key.ID of the key that made it; empty when none did, like the members below
	Algorithm    string // HMACSHA256 or Ed25519
	Profile      string // canonical form of pcs/1; empty under pcs/2
	Mode         string // "raw" or "sha256" under pcs/1, "whole" under pcs/2
}

// Verifier checks signatures against a set of keys, with the code that a node runs. It is safe for concurrent use.
type Verifier struct {
	keys *verify.KeySet
}

// NewVerifier checks with these keys. A key given twice counts once. The zero Key is ignored.
func NewVerifier(keys ...Key) *Verifier {
	var all []verify.Key
	for _, k := range keys {
		if k.public.HasMaterial() {
			all = append(all, k.public)
		}
	}
	return &Verifier{keys: verify.NewKeySet(all)}
}

// Verify finds the key, the scheme, the profile and the mode of a signature. It tries the scheme that the record
// names and no other. When no key made the signature, the error wraps ErrSignature and PCSID and Scheme of the
// result are those that the record claims. A record that cannot be signed at all gives ErrRecord.
func (v *Verifier) Verify(record []byte) (Signature, error) {
	rec := pcs.Decode(record)
	s := Signature{PCSID: rec.PCSID, Scheme: rec.Scheme.String()}
	f := v.keys.Check(rec, verify.Facts{})
	if !f.Valid() {
		if rec.Fault != nil {
			return s, fail(ErrRecord, rec.Fault)
		}
		return s, fail(ErrSignature, errors.New("no key made this signature under scheme "+s.Scheme))
	}
	s.InputsSigned, s.KeyID, s.Algorithm, s.Mode = f.InputsSigned(), f.KeyID, f.Alg.String(), f.Mode.String()
	if f.Scheme() == pcs.PCS1 {
		s.Profile = f.Profile.String()
	}
	return s, nil
}
