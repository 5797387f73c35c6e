package verify

import (
	"crypto/ed25519"

	"github.com/recount-ledger/recount/internal/pcs"
)

// Contradiction describes a contradiction between the signature facts that somebody recorded of a record and the public
// keys of the set, "" for none. key is the key that signed the record, if another one or none was recorded. It needs no secret:
//
//	f names an HMAC key, and the signature is no MAC
//	f names no key or an Ed25519 key that did not sign, and a key of the set signed
//
// Facts that name an Ed25519 key are taken to hold if verified says so. Otherwise they are checked.
func (r *KeySet) Contradiction(rec *pcs.Record, f Facts, verified bool) (key, what string) {
	if rec == nil || !rec.Signable {
		return "", ""
	}
	var buf [ed25519.SignatureSize]byte
	_, alg := decodeSig(&buf, rec.Sig)
	switch {
	case f.Valid() && f.Alg == HMACSHA256 && alg != HMACSHA256:
		return "", "the ledger says that the HMAC key " + f.KeyID + " signed the record, which has no MAC"
	case alg != Ed25519 || f.Valid() && verified:
		return "", ""
	}
	if ok, _ := r.Recheck(rec, f); f.Valid() && ok {
		return "", ""
	}
	found := r.Check(rec, f)
	switch {
	case !found.Valid():
		return "", ""
	case !f.Valid():
		return found.KeyID, "the key " + found.KeyID + " signed the record, and the ledger says that no key did"
	}
	return found.KeyID, "the key " + found.KeyID + " signed the record, and the ledger says something else of its signature"
}
