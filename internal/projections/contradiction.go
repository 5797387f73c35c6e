package projections

import (
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// KeyGrace is the log time after the registration of a key, in nanoseconds, in which a node that has not folded it yet may
// take a record of it as unsigned.
const KeyGrace = 10 * 60 * 1_000_000_000

// FalseFacts holds the signature facts in the event of a submission against public keys, with the results of
// verify.KeySet.Contradiction. The fold follows the facts in the log, so that all nodes judge alike, and does not
// look for a key that they do not name. Whoever audits a ledger does. With disputed set the event counts as one without
// facts. verified says that the fold has verified the facts.
func FalseFacts(sub *event.Sub, keys *verify.KeySet, disputed, verified bool) (key, what string) {
	f := factsOf(sub.Facts)
	if disputed {
		f, verified = verify.Facts{}, false
	}
	return keys.Contradiction(pcs.Decode(sub.Body), f, verified)
}

// PublicKeys returns the Ed25519 keys of the ledger as of event seq.
func (c *Control) PublicKeys(seq uint64) *verify.KeySet {
	var list []verify.Key
	for _, k := range c.Keys(seq) {
		if k.Alg == verify.Ed25519 {
			list = append(list, verify.Key{ID: k.ID, Alg: k.Alg, Public: k.Public, Fingerprint: k.Fingerprint})
		}
	}
	return verify.NewKeySet(list)
}
