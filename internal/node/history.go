package node

import (
	"context"
	"encoding/binary"

	"github.com/recount-ledger/recount/internal/agreement"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
)

// checkHistory logs the flips of an activation that this leader has recorded and the log does not have yet,
// when a majority of the voters has recorded the same. It has the voters compared when the log differs from
// this node.
func (ld *leader) checkHistory(ctx context.Context, leads bool) error {
	for _, a := range ld.derived.Control().Activations() {
		own, ok, err := ld.gens.Change(a.Seq)
		if err != nil || !ok || ld.quarantine.entered() {
			return err
		}
		switch {
		case a.Recorded == nil && leads && ld.withheld() == nil:
			if err := ld.logHistory(ctx, own); err != nil {
				return err
			}
		case a.Recorded != nil && (a.Recorded.Flips != own.Flips || a.Recorded.Digest != own.Digest) &&
			!ld.askedHistory[a.Seq]:
			ld.log.Error("what changed at an activation is recorded otherwise in the log", "activation", a.Seq,
				"logged_by", a.Recorded.Node)
			logged := changeBytes(fsm.Change{Flips: a.Recorded.Flips, Digest: a.Recorded.Digest})
			ld.askedHistory[a.Seq] = ld.doubts.Raise(agreement.Question{
				About:   agreement.History,
				Seq:     a.Seq,
				Logged:  string(logged),
				Carrier: a.Recorded.Seq,
			})
		}
	}
	return nil
}

// logHistory logs the changes of an activation once a majority has the same. A single contrary record, while
// others have none yet, stops nothing. They decide when they have one.
func (ld *leader) logHistory(ctx context.Context, own fsm.Change) error {
	ask, cancel := context.WithTimeout(ctx, agreement.AskTimeout)
	defer cancel()
	mine := changeBytes(own)
	q := agreement.Question{About: agreement.History, Seq: own.Seq}
	votes := ld.voters.Poll(ask, q, string(mine))
	if len(votes.By[string(mine)]) < ld.voters.Majority() {
		if votes.Decide(string(mine), len(ld.voters.IDs())) {
			ld.doubts.Raise(q)
		}
		return nil // not recorded everywhere yet, so this is tried again
	}
	m := &event.HistoryRecordedV1{Activation: own.Seq, Flips: own.Flips, Digest: own.Digest[:], Node: ld.cfg.NodeID}
	return ld.commit(ctx, event.HistoryRecorded, m)
}

func changeBytes(c fsm.Change) []byte {
	return append(binary.BigEndian.AppendUint64(nil, c.Flips), c.Digest[:]...)
}

// answerHistory answers number and digest of the flips of an activation, or nothing while they are not recorded
// here.
func (n *Node) answerHistory(_ context.Context, _ string, body []byte) ([]byte, error) {
	q, err := agreement.ParseRequest(agreement.History, body)
	if err != nil {
		return nil, err
	}
	c, ok, err := n.gens.ReadChange(q.Seq)
	if err != nil || !ok {
		return nil, err
	}
	return changeBytes(c), nil
}
