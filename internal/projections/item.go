package projections

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// ErrNewer means that an event has signature facts that this version does not know. Treating it as unsigned
// would give another outcome than on the nodes that know them, so the fold stops.
var ErrNewer = errors.New("projections: signature facts of a newer version; upgrade this node")

// Item is one event with its position in the log.
type Item struct {
	Seq         uint64 // dense, from 1
	Index, Term uint64 // of the Raft entry that carried it
	RawTime     int64  // the proposer's clock, Unix nanoseconds
	LogTime     int64  // the ledger's clock, never decreasing, Unix nanoseconds
	Kind        event.Kind
	Event       event.Event
	PayloadSHA  [32]byte  // SHA-256 of Event.Payload; a generation needs none of submissions
	Prepared    *Prepared // set by Prepare ahead of the fold; nil is allowed
}

// Leaf is the Merkle leaf of the event.
func (it *Item) Leaf() event.Leaf {
	return event.Leaf{
		Format:        event.LeafFormat,
		Seq:           it.Seq,
		RawTime:       it.RawTime,
		Kind:          it.Kind,
		PayloadSHA256: it.PayloadSHA,
	}
}

// Prepared holds what can be computed about a submission without knowing any other event.
type Prepared struct {
	Err   error // the payload is not a submission that this version can read; no verdict is set
	Sub   event.Sub
	Rec   *pcs.Record
	Facts verify.Facts // as recorded at ingress, zero if they are disputed

	Known   bool // the key that the facts name is available: Ed25519 in the log, HMAC on this node
	FactsOK bool // and the recorded facts verify with it

	Policy  [32]byte // id of the policy of Verdict, zero if none was in force in the view
	Verdict verify.Verdict
	Signed  [32]byte // digest of the signed values, unless the record is refused for its structure or signature
	Inputs  [32]byte // digest of every verdict input, under the same condition
}

// Prepare computes it.Prepared for a submission and does nothing for other kinds. It reads view only for the
// policy in force at it.Seq and for public keys. It is pure and may run for many items concurrently. keys holds
// the secrets of this node. A nil keys holds none.
func Prepare(it *Item, keys *verify.KeySet, view ControlView) {
	if it.Kind == event.Submission {
		it.Prepared = &Prepared{}
		it.Prepared.prepare(it, pcs.Decode, keys, view)
	}
}

// Memory holds what is computed about one submission. A fold uses it again for another one.
type Memory struct {
	prepared Prepared
	record   pcs.Memory
}

// Prepare is the function Prepare with its result in m, where it stays until the next call.
func (m *Memory) Prepare(it *Item, keys *verify.KeySet, view ControlView) {
	if it.Kind == event.Submission {
		m.prepared = Prepared{}
		it.Prepared = &m.prepared
		it.Prepared.prepare(it, func(body []byte) *pcs.Record { return pcs.DecodeIn(&m.record, body) }, keys, view)
	}
}

func (c *Prepared) prepare(it *Item, decode func([]byte) *pcs.Record, keys *verify.KeySet, view ControlView) {
	if c.Sub, c.Err = event.DecodeSubmission(it.Event.Payload); c.Err != nil {
		return
	}
	if !view.Disputed(it.Seq) {
		if c.Facts = factsOf(c.Sub.Facts); c.Facts != (verify.Facts{}) && !c.Facts.Valid() {
			c.Err = fmt.Errorf("%w: algorithm %d, profile %d, mode %d", ErrNewer, c.Facts.Alg, c.Facts.Profile,
				c.Facts.Mode)
			return
		}
	}
	c.Rec = decode(c.Sub.Body)
	c.checkFacts(it.Seq, keys, view)
	if p, ok := view.PolicyAt(it.Seq); ok {
		c.judge(p, it.LogTime)
	}
}

// copy returns a copy of what was prepared, for changes. The item may serve other folds.
func (s *evaluation) copy() *Prepared {
	if s.c != &s.own {
		s.own = *s.c
		s.c = &s.own
	}
	return s.c
}

func (c *Prepared) judge(p PolicyRow, logTime int64) {
	c.Policy, c.Verdict = p.ID, verify.Evaluate(p.Policy, c.Rec, c.Facts, logTime)
	if c.Verdict.Outcome == verify.Refused && c.Verdict.Reason != verify.ReasonRule {
		return
	}
	profile := c.Facts.Profile
	if !c.Facts.Valid() {
		profile = pcs.F9 // the policy accepts unsigned records
	}
	t := c.Rec.Tuple(profile)
	c.Signed, c.Inputs = c.Rec.SignedDigest(t), c.Rec.InputsDigest(t)
}

// checkFacts verifies the recorded facts. Every fold verifies Ed25519 with the public key in the log, so no
// node can forge records of an agent whose private key it lacks.
func (c *Prepared) checkFacts(seq uint64, keys *verify.KeySet, view ControlView) {
	switch f := c.Facts; {
	case !f.Valid() || !c.Rec.Signable:
	case f.Alg != verify.Ed25519:
		c.FactsOK, c.Known = keys.Recheck(c.Rec, f)
	default:
		if alg, public, ok := view.RegisteredKey(f.KeyID, seq); ok {
			c.Known, c.FactsOK = true, alg == f.Alg && verify.RecheckEd25519(public, c.Rec, f)
		}
	}
}

// factsOf converts recorded facts to the verifier's type.
func factsOf(f event.Facts) verify.Facts {
	return verify.Facts{
		KeyID:   f.KeyID,
		Alg:     verify.Alg(f.Alg),
		Profile: pcs.Profile(f.Profile),
		Mode:    verify.Mode(f.Mode),
	}
}

// mismatch reports whether this node's own HMAC secret contradicts the recorded facts.
func (c *Prepared) mismatch() bool { return c.Facts.Alg == verify.HMACSHA256 && c.Known && !c.FactsOK }

// leafHash returns the hash with which an operator's event extends the chain of a fold.
func leafHash(it *Item) [32]byte { return it.Leaf().Hash() }

func sum(b []byte) [32]byte { return sha256.Sum256(b) }
