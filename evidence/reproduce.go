package evidence

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
)

// SignatureCheck is the result of the check of a record's signature.
type SignatureCheck string

// The results. Each other result is an error.
const (
	Unsigned   SignatureCheck = "unsigned"    // no Ed25519 key in the bundle signed the record, and the outcome names none
	Verified   SignatureCheck = "verified"    // by the public key in the ledger, or by the secret that was given
	NotChecked SignatureCheck = "not_checked" // an HMAC, whose secret is in no ledger and was not given
)

// Verdict is the outcome of a record in one generation, reproduced by the kernel and the policy.
type Verdict struct {
	Outcome   Outcome     // with the sentence about its reason in Detail
	By        []PublicKey // the trusted keys that signed the statement
	Kernel    int         // of the policy in force at the event
	Signature SignatureCheck
	Earlier   []Outcome // of the submissions that it depends on, as the ledger states them
}

// Reproduced lists the parts of a bundle that were checked.
type Reproduced struct {
	Checked
	Events   int       // in the tree of the checkpoint, each with a payload that has the hash of its leaf
	Verdicts []Verdict // by generation
}

// Check checks everything that a bundle says: its receipt, all hashes and proofs, and the signature of the record.
// It runs the kernel and the policy again, by the code with which nodes fold the ledger, and compares each outcome
// with the row that the ledger signed. secret is the secret of the HMAC key that signed the record, nil if it is not
// known. Then everything but the MAC is checked.
//
// Taken from the signed rows are the log time, the outcomes of earlier submissions, the high-water mark of the shard
// and the digest of the rows beside the outcome. Nothing in a bundle shows that an event was left out.
//
// Errors are ErrFormat, ErrSignature, ErrProof and ErrVerdict.
func (b Bundle) Check(secret []byte, trusted ...PublicKey) (out Reproduced, err error) {
	for _, e := range b.Events {
		if sha256.Sum256(e.Payload) != e.Leaf.PayloadSHA256 {
			return Reproduced{}, fmt.Errorf("%w: the payload of event %d has another hash than its leaf", ErrProof,
				e.Leaf.Seq)
		}
	}
	if out.Checked, err = b.Receipt.Check(trusted...); err != nil {
		return Reproduced{}, err
	}
	j := judge{seq: b.Receipt.Leaf.Seq, origin: b.Receipt.Origin}
	if secret != nil {
		k, err := verify.NewHMACKey(secret)
		if err != nil {
			return Reproduced{}, fmt.Errorf("%w: %w", ErrSignature, err)
		}
		j.keys = verify.NewKeySet([]verify.Key{k})
	}
	if err := j.admit(b.Events, out.Checkpoint); err != nil {
		return Reproduced{}, err
	}
	j.add(stated{b.Receipt.Statement, out.Outcome, out.StatementBy})
	for _, signed := range b.Statements {
		s, o, by, err := openStatement(signed, trusted)
		if err != nil {
			return Reproduced{}, err
		}
		j.add(stated{s, o, by})
	}
	out.Events = len(b.Events)
	out.Verdicts, err = j.verdicts()
	return out, err
}

// stated is a statement that was opened.
type stated struct {
	Statement
	outcome Outcome
	by      []PublicKey
}

// judge judges one submission again.
type judge struct {
	seq     uint64
	origin  string
	keys    *verify.KeySet // nil without a secret
	items   []projections.Item
	control *projections.Control
	own     []stated // about the submission
	earlier []stated // about submissions before it
}

// admit checks the proofs of the events and folds those of operators.
func (j *judge) admit(events []Event, c Checkpoint) error {
	for _, e := range events {
		l := e.Leaf
		if err := CheckInclusion(l.Seq-1, c.Size, l.Hash(), c.Root, e.Hashes); err != nil {
			return err
		}
		j.items = append(j.items, projections.Item{Seq: l.Seq, RawTime: l.RawTime, LogTime: l.RawTime, Kind: l.Kind,
			Event: event.Event{Kind: l.Kind, Payload: e.Payload}, PayloadSHA: l.PayloadSHA256})
	}
	var err error
	if j.control, err = projections.ControlOf(j.items); err != nil {
		return fmt.Errorf("%w: %w", ErrVerdict, err)
	}
	names := j.control.Names(c.Size)
	if len(names) == 0 || OriginOf(names[len(names)-1]) != j.origin {
		return fmt.Errorf("%w: the events are of a ledger named %q, the checkpoint of %s", ErrVerdict, names, j.origin)
	}
	return nil
}

func (j *judge) add(s stated) {
	if s.Leaf.Seq == j.seq {
		j.own = append(j.own, s)
	} else {
		j.earlier = append(j.earlier, s)
	}
}

// verdicts reproduces all outcomes of the submission.
func (j *judge) verdicts() (out []Verdict, err error) {
	slices.SortStableFunc(j.own, func(a, b stated) int { return cmp.Compare(a.Generation, b.Generation) })
	used := 0
	for i, s := range j.own {
		if i > 0 && s.Generation == j.own[i-1].Generation {
			return nil, fmt.Errorf("%w: two statements of generation %d", ErrFormat, s.Generation)
		}
		v, err := j.verdict(s)
		if err != nil {
			return nil, fmt.Errorf("generation %d: %w", s.Generation, err)
		}
		used += len(v.Earlier)
		out = append(out, v)
	}
	if used != len(j.earlier) {
		return nil, fmt.Errorf("%w: %d statements belong to no verdict", ErrFormat, len(j.earlier)-used)
	}
	return out, nil
}

// verdict reproduces the outcome of one statement.
func (j *judge) verdict(s stated) (v Verdict, err error) {
	v.By = s.by
	view := j.control.For(s.Generation)
	policy, ok := view.PolicyAt(j.seq)
	if !ok {
		return v, fmt.Errorf("%w: no event starts this generation", ErrVerdict)
	}
	v.Kernel = policy.Policy.Kernel
	it, err := j.item(s)
	if err != nil {
		return v, err
	}
	var earlier []projections.Earlier
	for _, e := range j.earlier {
		if e.Generation != s.Generation || e.Leaf.Seq > j.seq {
			continue
		}
		other, err := j.item(e)
		if err != nil {
			return v, err
		}
		if e.outcome.LogTime > s.outcome.LogTime {
			return v, fmt.Errorf("%w: event %d has a later log time than event %d", ErrVerdict, e.Leaf.Seq, j.seq)
		}
		earlier = append(earlier, projections.Earlier{Item: other, Outcome: e.outcome})
		v.Earlier = append(v.Earlier, e.outcome)
	}
	projections.Prepare(&it, j.keys, view)
	r, core, err := projections.Reproduce(&it, &s.outcome, earlier, view)
	if err != nil {
		return v, fmt.Errorf("%w: %w", ErrVerdict, err)
	}
	if r.Policy != s.Policy || !bytes.Equal(core, s.Row) {
		return v, differs(&r, &s.outcome)
	}
	v.Outcome = r
	v.Signature, err = j.signature(&r, it.Prepared)
	return v, err
}

// item returns the event of a statement, at the log time that it states.
func (j *judge) item(s stated) (projections.Item, error) {
	i, ok := slices.BinarySearchFunc(j.items, s.Leaf.Seq, func(it projections.Item, seq uint64) int {
		return cmp.Compare(it.Seq, seq)
	})
	if !ok || j.items[i].Leaf() != s.Leaf || s.Origin != j.origin {
		return projections.Item{}, fmt.Errorf("%w: the statement of event %d is not about an event of the bundle",
			ErrProof, s.Leaf.Seq)
	}
	it := j.items[i]
	it.LogTime = s.outcome.LogTime
	return it, nil
}

// signature returns how far the signature of a record was checked. The fold itself verifies the Ed25519 key that the
// facts in the event name. The other keys of the bundle are tried here, so that no facts hide a signature.
func (j *judge) signature(r *Outcome, c *projections.Prepared) (SignatureCheck, error) {
	disputed := c.Facts == (verify.Facts{}) && c.Sub.Facts != (event.Facts{})
	verified := r.KeyID != "" && r.Facts.Alg == verify.Ed25519
	if _, what := projections.FalseFacts(&c.Sub, j.control.PublicKeys(j.seq), disputed, verified); what != "" {
		return "", fmt.Errorf("%w: %s", ErrSignature, what)
	}
	switch {
	case r.KeyID == "":
		return Unsigned, nil
	case r.Facts.Alg == verify.Ed25519 || c.FactsOK:
		return Verified, nil
	case c.Known:
		return "", fmt.Errorf("%w: the secret of %s gives another MAC than the record has", ErrSignature, r.KeyID)
	case j.keys != nil:
		return "", fmt.Errorf("%w: the secret is not that of %s, which signed the record", ErrSignature, r.KeyID)
	}
	return NotChecked, nil
}

// differs says in which way a reproduced outcome is not the stated one.
func differs(got, stated *Outcome) error {
	word := func(o *Outcome) string { return fmt.Sprintf("%s (%s)", o.Outcome, o.ReasonCode()) }
	if word(got) == word(stated) {
		return fmt.Errorf("%w: the events lead to %s too, with other values than the ledger states", ErrVerdict, word(got))
	}
	return fmt.Errorf("%w: the events lead to %s, and the ledger states %s", ErrVerdict, word(got), word(stated))
}
