package agreement

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// AskTimeout bounds how long one round of questions waits for a member, its fold included.
const AskTimeout = 5 * time.Second

// agreeWait bounds how long a node that starts waits for a second one to say the same: the others may be down
// or fold for hours.
const agreeWait = 10 * time.Second

// askPause lies between two rounds while something is not settled.
const askPause = 250 * time.Millisecond

// Node gives the agreement what it needs of the node that it runs in.
type Node interface {
	// Answer returns the answer of this node to a question, empty when it cannot tell. It waits for the fold.
	Answer(ctx context.Context, q Question) ([]byte, error)
	// SettleFacts settles a question about the signature facts of an event, or says why it suspends this node.
	SettleFacts(ctx context.Context, seq uint64) (settled bool, why string)
	// Head returns the serving generation and the last event that it has folded, 0 for none.
	Head() (generation uint32, seq uint64)
	// Active returns the generation that the log has active.
	Active() uint32
	// LoggedBy names the voter that logged an event, "" when nobody knows.
	LoggedBy(seq uint64) (voter string, err error)
	// Quarantine makes this node answer no client until somebody has examined it.
	Quarantine(reason string)
	// Quarantined reports whether it is quarantined.
	Quarantined() bool
}

// Run asks the voters until every question is settled, and again when there are new ones, until ctx ends.
func (d *Doubts) Run(ctx context.Context) error {
	dropped := uint64(0)
	for {
		if now := d.dropped.Load(); now != dropped {
			d.voters.Log.Error("too many questions to the other voters are open; the newest are not asked. "+
				"Examine the node whose events are disputed",
				"dropped", now-dropped, "open_at_most", maxDoubts)
			dropped = now
		}
		list := d.some()
		var wg sync.WaitGroup
		for _, q := range list {
			wg.Go(func() { d.settle(ctx, q) })
		}
		wg.Wait()
		d.rounds.Add(1)
		t := time.NewTimer(askPause)
		if len(d.some()) == 0 {
			t.Reset(time.Hour)
		}
		select {
		case <-d.raised:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
		t.Stop()
	}
}

// settle asks one question once and notes the result.
func (d *Doubts) settle(ctx context.Context, q Question) {
	ctx, cancel := context.WithTimeout(ctx, AskTimeout)
	defer cancel()
	var settled bool
	var why string
	switch q.About {
	case Facts:
		settled, why = d.node.SettleFacts(ctx, q.Seq)
	default:
		settled, why = d.settleSame(ctx, q)
	}
	if why != "" && d.News(q, why) {
		d.voters.Log.Error("suspended: this node answers no client until a majority of the voters decides",
			"reason", why)
	}
	before := d.Suspended()
	d.note(q, settled, why)
	if before != "" && d.Suspended() == "" && !d.node.Quarantined() {
		d.voters.Log.Info("not suspended any more: the voters agree", "about", q.String())
	}
}

// settleSame compares this node's own answer with those of the other voters.
func (d *Doubts) settleSame(ctx context.Context, q Question) (settled bool, why string) {
	q = d.overtaken(q)
	answer, err := d.node.Answer(ctx, q)
	mine := string(answer)
	if err != nil || mine == "" {
		d.voters.Log.Debug("nothing to compare", "about", q.String(), "error", err)
		return q.Logged == "", q.doubted() // it may be folded again just now
	}
	if mine == q.Logged {
		return true, "" // folded again since, and right now
	}
	votes := d.voters.Poll(ctx, q, mine)
	same, other, total := len(votes.By[mine]), votes.Contrary(mine), len(d.voters.IDs())
	switch {
	case same >= d.voters.Majority():
		return true, ""
	case len(other) >= d.voters.Majority(), same+len(other) == total:
		d.node.Quarantine(fmt.Sprintf("%s differs from that of %d of %d voters", q, len(other), total))
		return true, ""
	case q.Logged != "":
		return d.withLogged(q, same, votes)
	case len(other) > 0:
		return false, fmt.Sprintf("%s differs from that of %v, and too few voters can be asked", q, other)
	}
	return !q.Insist, "" // nobody contradicts; the next digest is compared again
}

// overtaken takes the logged value out of a question about a generation that is not active any more: that stops
// no node.
func (d *Doubts) overtaken(q Question) Question {
	if q.About == Digest && q.Generation != d.node.Active() {
		q.Logged = ""
	}
	return q
}

// withLogged settles a question that the log has contradicted. What the voter that logged it says now goes
// before what it logged. While that voter does not answer, the log speaks for it. Nothing but a majority for
// this node's own value ends the doubt.
func (d *Doubts) withLogged(q Question, same int, v Votes) (settled bool, why string) {
	logger, err := d.node.LoggedBy(q.Carrier)
	if err != nil {
		d.voters.Log.Warn("could not find out which node logged an event", "seq", q.Carrier, "error", err)
	}
	against, total := v.By[q.Logged], len(d.voters.IDs())
	if logger != "" && !v.answered(logger) {
		against = append(slices.Clone(against), logger+" (in the log)")
	}
	if len(against) >= d.voters.Majority() {
		d.node.Quarantine(fmt.Sprintf("%s differs from that of %v, of %d voters", q, against, total))
		return true, ""
	}
	return false,
		fmt.Sprintf("%s differs from the one that %s logged in event %d; %d of %d voters have that of this "+
			"node and %d the logged one; "+
			"start the nodes that are down, and compare recount digest on all of them", q, logger, q.Carrier, same,
			total, len(against))
}

// errUnconfirmed: no voter contradicts this node at its head, and too few have said anything.
var errUnconfirmed = errors.New("too few voters can say what they have at the last event of this node")

// AgreeFirst compares the digests at the head of this node with those of the other voters, before it serves for
// the first time. It returns nil when this node may serve. A contrary answer is an error, at any time. Without
// one it returns nil once a majority says the same, or agreeWait after since, with the question left open.
func (d *Doubts) AgreeFirst(ctx context.Context, since time.Time) error {
	q, err := d.compareHead(ctx)
	if !errors.Is(err, errUnconfirmed) || time.Since(since) < agreeWait {
		return err
	}
	d.voters.Log.Warn("too few voters can say what they have; answering without, and asking on", "seq", q.Seq,
		"waited", agreeWait)
	q.Insist = true
	d.Raise(q)
	return nil
}

// compareHead asks the voters once.
func (d *Doubts) compareHead(ctx context.Context) (Question, error) {
	q := Question{About: Digest}
	q.Generation, q.Seq = d.node.Head()
	if q.Seq == 0 || d.node.Quarantined() {
		return q, nil
	}
	_, err := d.Agreed(ctx, q)
	return q, err
}

// Agreed asks the voters once and returns the answer of this node if a majority of them has the same one. Otherwise it
// returns an error. A contrary answer raises the question.
func (d *Doubts) Agreed(ctx context.Context, q Question) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, AskTimeout)
	defer cancel()
	mine, err := d.node.Answer(ctx, q)
	if err != nil {
		return nil, err
	}
	votes := d.voters.Poll(ctx, q, string(mine))
	if len(votes.By[string(mine)]) >= d.voters.Majority() {
		return mine, nil
	}
	if len(votes.Contrary(string(mine))) > 0 {
		d.Raise(q)
		return nil, fmt.Errorf("another voter contradicts this node at event %d, and no majority decides", q.Seq)
	}
	return nil, errUnconfirmed
}
