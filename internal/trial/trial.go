// Package trial judges records under a policy that is not in force, and counts how the answers would change.
//
// A trial judges each record by itself: structure, signature, kernel and rules. It does not fold, so it cannot show the
// consequences for other records, such as an id that becomes free or an epoch that is no longer too old. Only a
// generation shows those. In return it needs seconds where a generation needs the whole log, and it writes nothing.
//
// The records come from one of two sources:
//
//	t := trial.New(policy)
//	err := t.Ledger(ctx, c, client.AuditQuery{Newest: true}, 10_000)   // submissions of a ledger
//	err = t.Record(body)                                              // one record of a file
//
// In a ledger the answer before is the one that stands there, and the signature facts are those that the nodes
// recorded. Two kinds of submissions need care:
//
//   - A key or a freeze decided: no policy can change the answer. The trial leaves the submission out and counts it.
//   - Another record decided, as with a conflict or an epoch that is too old: the answer says nothing about the record
//     itself. The trial judges it again under the policy of that time and compares with this verdict.
//
// A record of a file has no answer. It is compared with the verdict of the default policy.
//
// A record changes when its outcome does, or when an escalated record begins or ceases to count. Records that were
// refused and would be accepted are counted apart, with those that no key vouches for: they are what a policy must not
// accept by mistake.
package trial

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// How a trial treats signatures, as Sums name it.
const (
	SignaturesAssumed  = "taken as valid"
	SignaturesChecked  = "checked"
	SignaturesRecorded = "as recorded"
)

// LeftOut is the key in Sums.Changes of the submissions that no policy decides.
const LeftOut = "(left out: decided by keys or freezes)"

// Change is one record whose verdict changes.
type Change struct {
	Seq    uint64 `json:"seq,omitempty"` // of the submission, 0 for a record of a file
	PCSID  string `json:"pcs_id"`
	Shard  string `json:"shard_id"`
	Before string `json:"before"`
	After  string `json:"after"`
	Reason string `json:"reason_code"` // of the verdict after
}

// Sums are the counts of a trial.
type Sums struct {
	Records    int            `json:"records"` // judged
	Signatures string         `json:"signatures"`
	Changes    map[string]int `json:"changes"` // by "before->after", and LeftOut
}

// Admitted counts records that were refused and would be accepted, and those of them that no key vouches for.
type Admitted struct{ All, Unsigned, Unverified int }

// Trial is a policy and what it changes. It is not safe for concurrent use.
type Trial struct {
	Sums
	Admitted Admitted
	Verified int // records of a file whose signature one of Keys verifies

	Keys    *verify.KeySet     // checks the signatures of Record; nil takes them as valid
	Changed func(Change) error // called for each record that changes, nil for nobody
	Judged  func(n int)        // called when n more submissions of a ledger are done, nil for nobody

	policy verify.Policy
}

// New returns a trial of p.
func New(p verify.Policy) *Trial {
	return &Trial{policy: p, Sums: Sums{Changes: map[string]int{}}}
}

// PolicyOf returns the policy in a response of a node.
func PolicyOf(p *wire.PolicyAnswer) (verify.Policy, error) {
	b, err := json.Marshal(p.Canonical)
	if err != nil {
		return verify.Policy{}, err
	}
	return verify.ParsePolicy(b)
}

// Record judges one record as it was sent, and compares with the default policy. The error is that of Changed.
func (t *Trial) Record(body []byte) error {
	t.Signatures = SignaturesAssumed
	if t.Keys != nil {
		t.Signatures = SignaturesChecked
	}
	defaults, rec := verify.DefaultPolicy(), pcs.Decode(body)
	facts := t.facts(rec, defaults)
	if t.Keys != nil && facts.KeyID != "" {
		t.Verified++
	}
	before := verify.Evaluate(defaults, rec, facts, 0)
	now := t.facts(rec, t.policy)
	return t.add(0, rec, now, standingOf(before), verify.Evaluate(t.policy, rec, now, 0))
}

// facts checks the signature with Keys. Without keys it takes the signature for one that p accepts.
func (t *Trial) facts(rec *pcs.Record, p verify.Policy) verify.Facts {
	switch {
	case t.Keys != nil:
		return t.Keys.Check(rec, verify.Facts{})
	case !rec.HasSig:
		return verify.Facts{}
	}
	f := verify.Facts{
		KeyID:   "not-checked",
		Alg:     verify.HMACSHA256,
		Profile: p.Signature.Profiles.Slice()[0],
		Mode:    verify.Raw,
	}
	if rec.Scheme == pcs.PCS2 {
		f.Profile, f.Mode = pcs.F9, verify.Whole
	}
	if raw, err := base64.StdEncoding.DecodeString(rec.Sig); err == nil && len(raw) == ed25519.SignatureSize {
		f.Alg = verify.Ed25519
	}
	if f.Mode == verify.Raw && (f.Alg == verify.Ed25519 || f.Profile == pcs.Bin) {
		f.Mode = verify.SHA256
	}
	return f
}

// standing is the outcome of a record, and whether the record counts. A record changes when one of them does.
type standing struct {
	outcome string
	counts  bool
}

func standingOf(v verify.Verdict) standing { return standing{v.Outcome.String(), v.Accepted} }

func (s standing) text() string {
	if s.counts {
		return s.outcome + ", counts"
	}
	return s.outcome + ", does not count"
}

// add counts one record that was judged.
func (t *Trial) add(seq uint64, rec *pcs.Record, f verify.Facts, was standing, v verify.Verdict) error {
	t.Records++
	is := standingOf(v)
	if is == was {
		return nil
	}
	before, after := was.outcome, is.outcome
	if before == after { // of two escalated records one can count and the other not
		before, after = was.text(), is.text()
	}
	t.Changes[before+"->"+after]++
	if was.outcome == wire.OutcomeRefused && is.outcome == wire.OutcomeAccepted {
		t.Admitted.All++
		switch {
		case rec.Sig == "":
			t.Admitted.Unsigned++
		case !f.Valid():
			t.Admitted.Unverified++
		}
	}
	if t.Changed == nil {
		return nil
	}
	reason := v.Reason.String()
	if v.Reason == verify.ReasonRule {
		reason = v.RuleReason
	}
	return t.Changed(Change{seq, rec.PCSID, rec.ShardID, before, after, reason})
}

// Tried returns the number of submissions that the trial has looked at, those that it left out too.
func (t *Trial) Tried() int { return t.Records + t.Changes[LeftOut] }

// Summary returns one sentence about a trial of the newest submissions.
func (t *Trial) Summary() string {
	changed, parts := 0, []string{}
	for _, change := range slices.Sorted(maps.Keys(t.Changes)) {
		if change == LeftOut {
			continue
		}
		n := t.Changes[change]
		changed += n
		part := fmt.Sprintf("%s %d", change, n)
		if change == "refused->accepted" {
			part += t.Admitted.String()
		}
		parts = append(parts, part)
	}
	submissions := fmt.Sprintf("%d submissions", t.Tried())
	if t.Tried() == 1 {
		submissions = "1 submission"
	}
	text := fmt.Sprintf("Of the last %s none would change", submissions)
	switch {
	case t.Tried() == 0:
		return "The ledger holds no submission yet on which the policy could be tried."
	case changed > 0:
		text = fmt.Sprintf("Of the last %s %d would change: %s", submissions, changed, strings.Join(parts, ", "))
	}
	if n := t.Changes[LeftOut]; n > 0 {
		text += fmt.Sprintf("; keys or freezes decided %d", n)
	}
	return text + "."
}

// String names, in parentheses after a blank, the records that no key vouches for. It is empty if keys vouch for all.
func (a Admitted) String() string {
	var parts []string
	if a.Unsigned > 0 {
		parts = append(parts, fmt.Sprintf("%d unsigned", a.Unsigned))
	}
	if a.Unverified > 0 {
		parts = append(parts, fmt.Sprintf("%d with a signature that no key verifies", a.Unverified))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// Text lists the changes and their counts.
func (s Sums) Text() string {
	if len(s.Changes) == 0 {
		return "nothing changes"
	}
	var parts []string
	for _, change := range slices.Sorted(maps.Keys(s.Changes)) {
		parts = append(parts, fmt.Sprintf("%s: %d", change, s.Changes[change]))
	}
	return strings.Join(parts, ", ")
}
