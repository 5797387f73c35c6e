package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// askTimeout bounds how long one round of questions waits for a member, its fold included.
const askTimeout = 5 * time.Second

// agreeWait bounds how long a node that starts waits for a second one to say the same: the others may be down or fold for hours.
const agreeWait = 10 * time.Second

// askPause lies between two rounds while something is not settled.
const askPause = 250 * time.Millisecond

// maxDoubts bounds the questions that are open at a time; askedAtOnce those of one round.
const (
	maxDoubts   = 4096
	askedAtOnce = 32
)

// subject is a matter on which the voters must agree.
type subject uint8

// The subjects.
const (
	digestSubject  subject = 1 // digests at an event
	factsSubject   subject = 2 // whether the signature facts of an event hold
	historySubject subject = 3 // what changed at an activation
)

// question is one matter that this node asks the other voters about.
type question struct {
	about      subject
	generation uint32 // of digests
	seq        uint64
	insist     bool // stays open until a majority says the same or another voter contradicts

	logged  string // a value in the log that contradicts this node's own; "" when there is none
	carrier uint64 // the event that carries it
}

// doubts are the questions that are not settled. While another voter contradicts this node and neither has a majority, this
// node answers no client: one of the two is wrong, and nobody can tell which. No file remembers that; it ends by itself when
// enough voters can be asked.
type doubts struct {
	mu     sync.Mutex
	open   map[question]string // why this node is suspended, "" while nobody contradicts
	reason atomic.Pointer[string]
	raised chan struct{}
	told   map[question][]string // what keeps an open question from being settled, as the journal has it

	dropped atomic.Uint64 // questions that were not asked: too many were open
	rounds  atomic.Uint64 // of questions
}

func newDoubts() *doubts {
	return &doubts{open: map[question]string{}, told: map[question][]string{}, raised: make(chan struct{}, 1)}
}

// raise adds a question; what contradicts the log suspends this node at once. It does not wait, so that a fold can call it. It
// reports whether the question is open: there is a bound, and at that only one that suspends, or that has to stay open, takes the
// place of one that does not.
func (d *doubts) raise(q question) bool {
	d.mu.Lock()
	_, ok := d.open[q]
	if !ok && (len(d.open) < maxDoubts || (q.logged != "" || q.insist) && d.makeRoom()) {
		d.open[q], ok = q.doubted(), true
		d.suspend()
	} else if !ok {
		d.dropped.Add(1)
	}
	d.mu.Unlock()
	select {
	case d.raised <- struct{}{}:
	default:
	}
	return ok
}

// makeRoom drops a question that suspends nobody and need not stay open. d.mu is held.
func (d *doubts) makeRoom() bool {
	for q, why := range d.open {
		if why == "" && !q.insist {
			delete(d.open, q)
			delete(d.told, q)
			d.dropped.Add(1)
			return true
		}
	}
	return false
}

// suspend finds a question for which this node answers no client. d.mu is held.
func (d *doubts) suspend() {
	d.reason.Store(nil)
	for _, why := range d.open {
		if why != "" {
			d.reason.Store(&why)
			return
		}
	}
}

// note keeps a question open, for a reason to suspend or none; settled removes it. One that was dropped while the voters were
// asked comes back only when it suspends.
func (d *doubts) note(q question, settled bool, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch _, open := d.open[q]; {
	case settled:
		delete(d.open, q)
		delete(d.told, q)
	case open || why != "":
		d.open[q] = why
	}
	d.suspend()
}

// news reports whether the journal does not have yet what keeps a question from being settled.
func (d *doubts) news(q question, cause string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.Contains(d.told[q], cause) {
		return false
	}
	d.told[q] = append(d.told[q], cause)
	return true
}

// some are the questions of one round. Half of the round is for those that suspend this node, when there are so many: it must
// not wait for thousands of others before it may answer again, nor they for it.
func (d *doubts) some() []question {
	d.mu.Lock()
	defer d.mu.Unlock()
	var suspending, others []question
	for q, why := range d.open {
		switch {
		case why != "" && len(suspending) < askedAtOnce:
			suspending = append(suspending, q)
		case why == "" && len(others) < askedAtOnce:
			others = append(others, q)
		}
	}
	first := min(len(suspending), max(askedAtOnce/2, askedAtOnce-len(others)))
	return append(suspending[:first], others[:min(len(others), askedAtOnce-first)]...)
}

// settleDoubts asks the voters until every question is settled, until ctx ends.
func (n *Node) settleDoubts(ctx context.Context) error {
	dropped := uint64(0)
	for {
		if now := n.doubts.dropped.Load(); now != dropped {
			n.log.Error("too many questions to the other voters are open; the newest are not asked. Examine the node whose events are disputed",
				"dropped", now-dropped, "open_at_most", maxDoubts)
			dropped = now
		}
		list := n.doubts.some()
		var wg sync.WaitGroup
		for _, q := range list {
			wg.Go(func() { n.settle(ctx, q) })
		}
		wg.Wait()
		n.doubts.rounds.Add(1)
		t := time.NewTimer(askPause)
		if len(n.doubts.some()) == 0 {
			t.Reset(time.Hour)
		}
		select {
		case <-n.doubts.raised:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
		t.Stop()
	}
}

func (n *Node) settle(ctx context.Context, q question) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var settled bool
	var why string
	switch q.about {
	case factsSubject:
		settled, why = n.settleFacts(ctx, q.seq)
	default:
		settled, why = n.settleSame(ctx, q)
	}
	if why != "" && n.doubts.news(q, why) {
		n.log.Error("suspended: this node answers no client until a majority of the voters decides", "reason", why)
	}
	before := n.doubts.reason.Load()
	n.doubts.note(q, settled, why)
	if before != nil && n.doubts.reason.Load() == nil && n.quarantine.Load() == nil {
		n.log.Info("not suspended any more: the voters agree", "about", q.what())
	}
}

// settleSame holds this node's own answer against those of the other voters.
func (n *Node) settleSame(ctx context.Context, q question) (settled bool, why string) {
	q = n.overtaken(q)
	what, path, body, answer := q.what(), digestPath, digestRequest(q.generation, q.seq), n.answerDigest
	if q.about == historySubject {
		path, body, answer = historyPath, historyRequest(q.seq), n.answerHistory
	}
	mine, err := answer(ctx, "", body)
	if err != nil || len(mine) == 0 {
		n.log.Debug("nothing to compare", "about", what, "error", err)
		return q.logged == "", q.doubted() // it may be folded again just now
	}
	if string(mine) == q.logged {
		return true, "" // folded again since, and right now
	}
	votes := n.poll(ctx, path, body, string(mine))
	same, other := len(votes.by[string(mine)]), votes.contrary(string(mine))
	switch {
	case same >= n.majority():
		return true, ""
	case len(other) >= n.majority(), same+len(other) == len(n.cfg.Voters):
		n.enterQuarantine(fmt.Sprintf("%s differs from that of %d of %d voters", what, len(other), len(n.cfg.Voters)))
		return true, ""
	case q.logged != "":
		return n.withLogged(q, same, votes)
	case len(other) > 0:
		return false, fmt.Sprintf("%s differs from that of %v, and too few voters can be asked", what, other)
	}
	return !q.insist, "" // nobody contradicts; the next digest is compared again
}

func (n *Node) majority() int { return len(n.cfg.Voters)/2 + 1 }

// votes are the answers of voters to one question.
type votes struct {
	by map[string][]string // answer -> voters
}

func (v votes) contrary(mine string) (out []string) {
	for answer, voters := range v.by {
		if answer != mine {
			out = append(out, voters...)
		}
	}
	return out
}

// decides reports whether the answers settle a matter against one of them: a majority contradicts it, or every voter of
// total has answered and some contradict it.
func (v votes) decides(mine string, total int) bool {
	other := len(v.contrary(mine))
	return other > total/2 || other > 0 && len(v.by[mine])+other == total
}

// poll asks the other voters at once, until all have answered, one answer has a majority, or ctx ends. An empty answer says
// that the voter cannot tell.
func (n *Node) poll(ctx context.Context, path string, body []byte, mine string) votes {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type vote struct{ voter, answer string }
	said := make(chan vote, len(n.cfg.Voters))
	asked := 0
	for _, v := range n.cfg.Voters {
		if v.ID == n.cfg.NodeID {
			continue
		}
		asked++
		go func() {
			reply, err := n.cluster.Call(ctx, v.ID, path, body)
			if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
				n.log.Debug("a member could not be asked", "member", v.ID, "question", path, "error", err)
			}
			said <- vote{v.ID, string(reply)}
		}()
	}
	out := votes{by: map[string][]string{}}
	add := func(x vote) bool {
		if x.answer != "" {
			out.by[x.answer] = append(out.by[x.answer], x.voter)
		}
		return len(out.by[x.answer]) >= n.majority()
	}
	decided := add(vote{n.cfg.NodeID, mine}) && mine != ""
	for ; asked > 0 && !decided; asked-- {
		x := <-said
		decided = add(x) && x.answer != ""
	}
	return out
}

// withheld says why this node answers no client, nil when it does.
func (n *Node) withheld() *wire.Problem {
	if n.quarantine.Load() != nil {
		return wire.NewProblem(wire.CodeNotReady, "this node is quarantined; ask another one").WithRetry(retryAfter)
	}
	if n.doubts.reason.Load() != nil {
		return wire.NewProblem(wire.CodeNotReady, "this node and another one contradict each other, and too few voters can be asked; ask another one; readyz says what to do").WithRetry(retryAfter)
	}
	if n.cluster.Standing() != nil {
		return wire.NewProblem(wire.CodeNotReady, "other members refuse this node; its readiness says why; ask another one").WithRetry(retryAfter)
	}
	return nil
}

// errUnconfirmed: no voter contradicts this node at its head, and too few have said anything.
var errUnconfirmed = errors.New("too few voters can say what they have at the last event of this node")

// agreeFirst compares the digests at the head of this node with those of the other voters. A contrary answer refuses, at any
// time; without one it goes on once a majority says the same, or after agreeWait since a moment, with the question left open.
func (n *Node) agreeFirst(ctx context.Context, since time.Time) error {
	q, err := n.compareHead(ctx)
	if !errors.Is(err, errUnconfirmed) || time.Since(since) < agreeWait {
		return err
	}
	n.log.Warn("too few voters can say what they have; answering without, and asking on", "seq", q.seq, "waited", agreeWait)
	q.insist = true
	n.doubts.raise(q)
	return nil
}

// compareHead asks the voters once.
func (n *Node) compareHead(ctx context.Context) (question, error) {
	live := n.live()
	q := question{about: digestSubject, generation: live.Number(), seq: live.Cursor().Seq}
	if q.seq == 0 || n.quarantine.Load() != nil {
		return q, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	body := digestRequest(q.generation, q.seq)
	mine, err := n.answerDigest(ctx, "", body)
	if err != nil {
		return q, err
	}
	votes := n.poll(ctx, digestPath, body, string(mine))
	if len(votes.by[string(mine)]) >= n.majority() {
		return q, nil
	}
	if len(votes.contrary(string(mine))) > 0 {
		n.doubts.raise(q)
		return q, fmt.Errorf("another voter contradicts this node at event %d, and no majority decides", q.seq)
	}
	return q, errUnconfirmed
}
