package evidence

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
)

// Statement holds the answer of a ledger to one submission. The ledger signs it, so two statements of one event and one
// generation that differ show that it lied.
type Statement struct {
	Origin     string
	Generation uint32   // the fold of the ledger that gave the outcome
	Policy     [32]byte // SHA-256 of the policy that judged
	Leaf       Leaf     // of the event
	// Row is the outcome row without node and detail, as docs/formats-projections.md describes it.
	Row []byte
	// Before and State are the running digests of the outcomes before and after the event: State is
	// SHA-256(Before || SHA-256(Row)).
	Before, State [32]byte
}

// Receipt is a signed statement, and a proof that its event is in the ledger.
type Receipt struct {
	Statement
	Signed []byte // the note with the text of the statement
	Proof  Proof  // of Statement.Leaf
}

// Outcome is the outcome of a submission as the row of a statement holds it.
type Outcome = projections.Result

const receiptTitle = "recount/receipt@v1"

// Text returns the statement as it is signed:
//
//	recount/receipt@v1
//	origin recount/ledger
//	generation 1
//	policy <64 hex digits>
//	leaf <51 bytes in base64>
//	row <base64>
//	before <64 hex digits>
//	state <64 hex digits>
//
// Its second line is no number, so it is never read as a checkpoint.
func (s Statement) Text() string {
	enc := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s\norigin %s\ngeneration %d\npolicy %x\nleaf %s\nrow %s\nbefore %x\nstate %x\n", receiptTitle,
		s.Origin, s.Generation, s.Policy, enc(s.Leaf.Append(nil)), enc(s.Row), s.Before, s.State)
}

// ParseStatement reads what Text writes, and nothing else. It checks no signature.
func ParseStatement(text string) (s Statement, err error) {
	lines := strings.Split(text, "\n")
	names := []string{receiptTitle, "origin ", "generation ", "policy ", "leaf ", "row ", "before ", "state ", ""}
	if len(lines) != len(names) {
		return Statement{}, fmt.Errorf("%w: a statement has %d lines", ErrFormat, len(names)-1)
	}
	for i, name := range names {
		var ok bool
		if lines[i], ok = strings.CutPrefix(lines[i], name); !ok {
			return Statement{}, fmt.Errorf("%w: line %d of a statement is not %q", ErrFormat, i+1, name)
		}
	}
	s.Origin = lines[1]
	generation, err := strconv.ParseUint(lines[2], 10, 32)
	if err != nil {
		return Statement{}, fmt.Errorf("%w: generation of a statement", ErrFormat)
	}
	s.Generation = uint32(generation)
	for i, to := range map[int]*[32]byte{3: &s.Policy, 6: &s.Before, 7: &s.State} {
		b, err := hex.DecodeString(lines[i])
		if err != nil || len(b) != len(to) {
			return Statement{}, fmt.Errorf("%w: line %d of a statement is no hash", ErrFormat, i+1)
		}
		*to = [32]byte(b)
	}
	leaf, err := base64.StdEncoding.DecodeString(lines[4])
	if err != nil {
		return Statement{}, fmt.Errorf("%w: leaf of a statement", ErrFormat)
	}
	if s.Leaf, err = ParseLeaf(leaf); err != nil {
		return Statement{}, err
	}
	if s.Row, err = base64.StdEncoding.DecodeString(lines[5]); err != nil {
		return Statement{}, fmt.Errorf("%w: row of a statement", ErrFormat)
	}
	if s.Text() != text || !validName(s.Origin) {
		return Statement{}, fmt.Errorf("%w: another encoding of a statement", ErrFormat)
	}
	return s, nil
}

// SignStatement returns the note of s with a signature of each of the keys, which must carry its origin as their
// name.
func SignStatement(s Statement, keys ...SecretKey) ([]byte, error) {
	return signNote(s.Text(), s.Origin, keys)
}

// Text returns the receipt as a file: the signed statement, an empty line, the proof.
func (r Receipt) Text() []byte { return bytes.Join([][]byte{r.Signed, r.Proof.Text()}, []byte("\n")) }

// ParseReceipt reads what Text writes, and nothing else. It checks no signature and no proof: Check does.
func ParseReceipt(b []byte) (r Receipt, err error) {
	at := bytes.Index(b, []byte("\n\n"+proofTitle+"\n"))
	if at < 0 {
		return Receipt{}, fmt.Errorf("%w: a receipt is a signed statement, an empty line and a %s", ErrFormat, proofTitle)
	}
	r.Signed = b[:at+1]
	if r.Proof, err = ParseProof(b[at+2:]); err != nil {
		return Receipt{}, err
	}
	r.Statement, err = signedStatement(r.Signed)
	return r, err
}

// Checked lists the parts of a receipt that were checked.
type Checked struct {
	Outcome    Outcome
	Checkpoint Checkpoint
	// The trusted keys that signed the statement and the checkpoint.
	StatementBy, CheckpointBy []PublicKey
}

// Check checks everything that a receipt says: both signatures by trusted keys of one origin, the leaf of a
// submission, its place in the tree of the checkpoint, the outcome row and its part in the digest. Errors are
// ErrFormat, ErrSignature and ErrProof.
func (r Receipt) Check(trusted ...PublicKey) (c Checked, err error) {
	s, o, by, err := openStatement(r.Signed, trusted)
	if err != nil {
		return Checked{}, err
	}
	if s.Text() != r.Statement.Text() {
		return Checked{}, fmt.Errorf("%w: the statement is not the one that is signed", ErrFormat)
	}
	if r.Proof.Index != s.Leaf.Seq-1 {
		return Checked{}, fmt.Errorf("%w: event %d is not leaf %d", ErrProof, s.Leaf.Seq, r.Proof.Index)
	}
	c.Outcome, c.StatementBy = o, by
	if c.Checkpoint, c.CheckpointBy, err = r.Proof.Check(r.Leaf.Hash(), trusted...); err != nil {
		return Checked{}, err
	}
	if c.Checkpoint.Origin != r.Origin {
		return Checked{}, fmt.Errorf("%w: the checkpoint is of %s, the statement of %s", ErrSignature, c.Checkpoint.Origin,
			r.Origin)
	}
	return c, nil
}

// openStatement checks a signed statement by itself: a trusted key of its origin signed it, it is about a
// submission, and its row leads from the one digest to the other. It returns the outcome in the row and the keys.
func openStatement(signed []byte, trusted []PublicKey) (s Statement, o Outcome, by []PublicKey, err error) {
	text, all, err := openNote(signed, trusted)
	if err != nil {
		return s, o, nil, err
	}
	if s, err = ParseStatement(text); err != nil {
		return s, o, nil, err
	}
	for _, k := range all {
		if k.Name() == s.Origin {
			by = append(by, k)
		}
	}
	if len(by) == 0 {
		return s, o, nil, fmt.Errorf("%w: no key of %s signed the statement", ErrSignature, s.Origin)
	}
	o, err = s.outcome()
	return s, o, by, err
}

// outcome checks the parts of a statement against each other and reads its row.
func (s Statement) outcome() (Outcome, error) {
	switch {
	case s.Leaf.Kind != event.Submission:
		return Outcome{}, fmt.Errorf("%w: event %d is no submission", ErrFormat, s.Leaf.Seq)
	case projections.NextDigest(s.Before, s.Row) != s.State:
		return Outcome{}, fmt.Errorf("%w: the row does not lead to the state digest", ErrProof)
	}
	o, err := projections.ParseCore(s.Leaf.Seq, s.Row)
	if err != nil {
		return Outcome{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	o.Policy, o.Generation = s.Policy, s.Generation
	return o, nil
}
