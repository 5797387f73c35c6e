package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/recount-ledger/recount/internal/agreement"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// codeBadFacts refuses a pack on the peer RPC: the signature of a record in it does not agree with its facts.
const codeBadFacts = "bad_facts"

// errFalseFacts refuses facts that do not hold. Every fold follows the recorded facts of an HMAC key, so false
// ones must not enter the log.
var errFalseFacts = errors.New("the record is not signed as its signature facts say; send it again")

// factChecker compares the signature facts of submissions with the keys of this node.
type factChecker struct {
	cfg      *Config
	log      *slog.Logger
	cluster  *cluster.Cluster
	derived  *fsm.Derived
	store    *log.Store
	keys     *heldKeys
	doubts   *agreement.Doubts
	releases *releases
	stats    *stats
}

// factsHold checks the signature facts of a submission once more. known is false when this node lacks the key
// or its secret and so cannot tell.
func (fc *factChecker) factsHold(sub event.Sub) (holds, known bool) {
	if sub.Facts == (event.Facts{}) {
		return true, true
	}
	f := factsOf(sub)
	if !f.Valid() {
		return false, true
	}
	return fc.keys.Verifiers().Recheck(pcs.Decode(sub.Body), f)
}

func factsOf(sub event.Sub) verify.Facts {
	return verify.Facts{
		KeyID:   sub.Facts.KeyID,
		Alg:     verify.Alg(sub.Facts.Alg),
		Profile: pcs.Profile(sub.Facts.Profile),
		Mode:    verify.Mode(sub.Facts.Mode),
	}
}

// checkForwarded refuses a submission that another node hands over with facts that do not hold. That node may
// be faulty or compromised. A key that the other node knows and this one does not may be in an entry that is
// not folded here yet. Without the secret of an HMAC key this node cannot tell. The voters settle it when the
// event is folded.
func (fc *factChecker) checkForwarded(ctx context.Context, sub event.Sub, from string) error {
	if err := fc.modeTaken(ctx, sub); err != nil {
		return err
	}
	holds, known := fc.factsHold(sub)
	if !known && verify.Alg(sub.Facts.Alg) == verify.Ed25519 {
		if err := fc.derived.WaitIndex(ctx, fc.store.Committed()); err != nil {
			return err
		}
		holds, known = fc.factsHold(sub)
		known = known || verify.Alg(sub.Facts.Alg) == verify.Ed25519
	}
	if known && !holds {
		return fc.falseFacts(from, sub)
	}
	return nil
}

// checkOwn checks this node's own submission as it will be in the log, also when another one leads, since this
// one may lead by the time it is packed. Every fold would follow a memory fault of this node since the
// signature was checked, and would stop at facts that no release knows. The folds verify Ed25519 signatures
// themselves.
func (fc *factChecker) checkOwn(ctx context.Context, e event.Event) error {
	sub, err := event.DecodeSubmission(e.Payload)
	if err != nil {
		return err
	}
	if err := fc.modeTaken(ctx, sub); err != nil || sub.Facts == (event.Facts{}) {
		return err
	}
	f := factsOf(sub)
	if f.Valid() && f.Alg == verify.Ed25519 {
		return nil
	}
	if holds, known := fc.factsHold(sub); known && !holds {
		return fc.falseFacts(fc.cfg.NodeID, sub)
	}
	return nil
}

// errNewMode refuses a record at which an older node would stop, or which it would take for unsigned.
var errNewMode = errors.New("not every node can read the record")

// modeTaken refuses a signing mode, or a profile, that the release of a voter does not know.
func (fc *factChecker) modeTaken(ctx context.Context, sub event.Sub) error {
	var need string
	switch p := pcs.Profile(sub.Facts.Profile); {
	case verify.Mode(sub.Facts.Mode) == verify.Whole:
		need = pcs.PCS2.String()
	case newProfiles.Has(p):
		need = profileCapability(p)
	default:
		return nil
	}
	if voter := fc.releases.voterWithout(ctx, need); voter != "" {
		return fmt.Errorf("%w: %s runs a release without %s; upgrade it first", errNewMode, voter, need)
	}
	return nil
}

func (fc *factChecker) falseFacts(from string, sub event.Sub) error {
	fc.stats.falseFacts.Add(1)
	fc.log.Error("refused a submission whose signature facts do not hold; examine the node that took it",
		"from", from, "key", sub.Facts.KeyID)
	return fmt.Errorf("%w: key %s, from %s", errFalseFacts, sub.Facts.KeyID, from)
}

// These are the answers about signature facts. An empty one means that the node lacks the secret.
const (
	factsTrue  = "holds"
	factsFalse = "false"
)

// answerFacts checks the facts of an event once it is numbered here. The leader also asks the voters itself,
// since only it can log their finding.
func (fc *factChecker) answerFacts(ctx context.Context, from string, body []byte) ([]byte, error) {
	q, err := agreement.ParseRequest(agreement.Facts, body)
	if err != nil {
		return nil, err
	}
	seq := q.Seq
	if err := fc.derived.WaitSeq(ctx, seq); err != nil {
		return nil, err
	}
	answer, err := fc.ownFacts(seq)
	if _, leads := fc.cluster.IsLeader(); leads && err == nil && from != fc.cfg.NodeID &&
		fc.derived.Control().Disputed(seq) == 0 {
		fc.doubts.Raise(q)
	}
	return []byte(answer), err
}

// ownFacts returns the finding of this node about the facts of an event.
func (fc *factChecker) ownFacts(seq uint64) (string, error) {
	it, err := fc.derived.Item(seq)
	if err != nil {
		return "", err
	}
	if it.Kind != event.Submission {
		return "", fmt.Errorf("event %d is a %s and has no signature facts", seq, it.Kind)
	}
	sub, err := event.DecodeSubmission(it.Event.Payload)
	if err != nil {
		return "", err
	}
	switch holds, known := fc.factsHold(sub); {
	case !known:
		return "", nil
	case holds:
		return factsTrue, nil
	}
	return factsFalse, nil
}

// keyOf describes the key that a submission is recorded under.
func (fc *factChecker) keyOf(seq uint64) string {
	it, err := fc.derived.Item(seq)
	if err != nil {
		return "its key"
	}
	sub, err := event.DecodeSubmission(it.Event.Payload)
	if err != nil {
		return "its key"
	}
	return "key " + sub.Facts.KeyID
}
