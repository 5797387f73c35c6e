package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/agreement"
	"github.com/recount-ledger/recount/internal/event"
)

// settlement settles with the other voters whether the signature facts of an event hold.
type settlement struct {
	self       string // the id of this node
	log        *slog.Logger
	voters     *agreement.Voters
	releases   *releases
	quarantine *quarantine
	control    control

	own   func(seq uint64) (finding string, err error) // factsTrue, factsFalse, or "" when this node cannot tell
	keyOf func(seq uint64) string                      // describes the key of a submission
	news  func(q agreement.Question, cause string) bool
	leads func() bool // this node leads, and its term is open for writes
	// commit logs an event of the leader's own and waits until it is folded.
	commit func(ctx context.Context, kind event.Kind, m proto.Message) error
}

func (n *Node) newSettlement() *settlement {
	return &settlement{
		self:       n.cfg.NodeID,
		log:        n.log,
		voters:     n.voters,
		releases:   n.releases,
		quarantine: &n.quarantine,
		control:    n.derived.Control(),
		own:        n.facts.ownFacts,
		keyOf:      n.facts.keyOf,
		news:       n.doubts.News,
		leads:      n.lead.leads,
		commit:     n.lead.commit,
	}
}

// settle asks the voters whether the facts of an event hold. When a majority finds that they do not, the
// event is bad and no node is. The leader logs the finding, and later generations count the record as unsigned.
// When a majority finds that they hold, a node that contradicts it is wrong.
func (s *settlement) settle(ctx context.Context, seq uint64) (settled bool, why string) {
	if s.control.Disputed(seq) != 0 {
		return true, ""
	}
	mine, err := s.own(seq)
	if err != nil {
		s.log.Warn("could not check the signature facts of an event", "seq", seq, "error", err)
		return true, ""
	}
	votes := s.voters.Poll(ctx, agreement.Question{About: agreement.Facts, Seq: seq}, mine)
	yes, no, majority := votes.By[factsTrue], votes.By[factsFalse], s.voters.Majority()
	switch {
	case len(no) >= majority && mine == factsTrue, len(yes) >= majority && mine == factsFalse:
		s.quarantine.enter(fmt.Sprintf("the signature facts of event %d: this node says %q, a majority of the "+
			"voters the opposite",
			seq, mine))
		return true, ""
	case len(yes) >= majority:
		return true, ""
	case len(no) >= majority:
		s.dispute(ctx, seq, no)
		return false, ""
	case suspends(mine, len(no)):
		return false,
			fmt.Sprintf("the signature facts of event %d do not hold for %v, hold for %v, and no majority of "+
				"%d voters can tell; start the nodes "+
				"that are down, and give the secret of %s to those that lack it (pcs_hmac_keys_file)", seq, no,
				yes, len(s.voters.IDs()), s.keyOf(seq))
	}
	return true, ""
}

// suspends reports whether a finding without a majority stops this node. By the log the facts hold. A node that
// finds the same, or cannot tell, serves nothing that differs from the log.
func suspends(mine string, no int) bool { return no > 0 && mine == factsFalse }

// dispute logs, as the leader, what a majority found. On other nodes the question stays open until the leader
// has logged it.
func (s *settlement) dispute(ctx context.Context, seq uint64, voters []string) {
	if !s.leads() {
		return
	}
	q := agreement.Question{About: agreement.Facts, Seq: seq}
	if voter := s.releases.voterWithout(ctx, event.FactsDisputed.Capability()); voter != "" {
		if !s.news(q, voter) {
			return
		}
		s.log.Warn("signature facts are disputed, and a voter of an older release would stop at that; upgrade it",
			"seq", seq, "voter", voter)
		return
	}
	slices.Sort(voters)
	err := s.commit(ctx, event.FactsDisputed, &event.FactsDisputedV1{Seq: seq, Voters: voters, Node: s.self})
	if err != nil && s.news(q, "not logged") {
		s.log.Warn("could not log that signature facts are disputed; trying again", "seq", seq, "error", err)
	}
	if err != nil {
		return
	}
	s.log.Error("a record is in the ledger that is not signed as its facts say; find the node that took it, "+
		"then recount",
		"seq", seq, "voters", voters)
}
