package nodetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"sync"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// Answer is the final answer to a submission.
type Answer struct {
	Body   []byte
	Status int
	Submit *wire.SubmitAnswer // of 200 and 202
	First  *wire.SubmitAnswer // of 409: the outcome that stands
	Seq    uint64             // the event that decided, or that keeps a refused or conflicting submission; 0 for none
}

type answers struct {
	mu   sync.Mutex
	list []Answer
}

// Submit sends a record with cl, as an agent does, and keeps the answer for Check. Without a final answer the error is
// that of the client: client.ErrOutcomeUnknown or client.ErrUnavailable.
func (c *Cluster) Submit(ctx context.Context, cl *client.Client, body []byte) (Answer, error) {
	r, err := cl.Submit(ctx, body)
	a := Answer{Body: body}
	var e *client.Error
	switch {
	case err == nil:
		a.Status, a.Submit, a.Seq = r.Status, &r.SubmitAnswer, r.Seq
	case errors.Is(err, client.ErrRejected) && errors.As(err, &e) && e.Problem != nil:
		a.Status, a.First, a.Seq = e.Status, e.Problem.First, e.Problem.Seq
	default:
		return a, err
	}
	c.answers.mu.Lock()
	c.answers.list = append(c.answers.list, a)
	c.answers.mu.Unlock()
	return a, nil
}

// Check fails the test unless all nodes, which must all run, have the same digests and audit lists at one seq
// and the same rows in the end, no pcs_id has two outcomes, and every answer given by Submit is still what
// every node says and what a repetition is answered.
func (c *Cluster) Check() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	seq := c.head(ctx)
	c.checkDigests(ctx, seq)
	rows := c.checkAudits(ctx, seq)
	standing := c.checkOutcomes(rows)
	c.answers.mu.Lock()
	list := append([]Answer(nil), c.answers.list...)
	c.answers.mu.Unlock()
	for _, a := range list {
		c.checkAnswer(a, rows, standing)
	}
	c.checkRepeats(ctx, list)
	c.CheckRows()
}

// head is a position that covers everything acknowledged so far.
func (c *Cluster) head(ctx context.Context) uint64 {
	c.t.Helper()
	page, err := c.Client.AuditPage(ctx, client.AuditQuery{
		Limit: 1,
		Read:  client.Read{Consistency: wire.ConsistencyLinearizable},
	})
	must(c.t, err)
	return page.AppliedSeq
}

func (c *Cluster) checkDigests(ctx context.Context, seq uint64) {
	c.t.Helper()
	var want *wire.DigestAnswer
	for i := range c.members {
		got, err := c.At(i).Digest(ctx, seq)
		must(c.t, err)
		if want == nil {
			want = got
		}
		if !reflect.DeepEqual(got, want) {
			c.t.Errorf("digests at %d: node 0 has %+v, node %d has %+v", seq, *want, i, *got)
		}
	}
}

// checkAudits compares the audit lists up to seq and returns one, by seq.
func (c *Cluster) checkAudits(ctx context.Context, seq uint64) map[uint64]wire.AuditItem {
	c.t.Helper()
	var want map[uint64]wire.AuditItem
	for i := range c.members {
		got := map[uint64]wire.AuditItem{}
		for item, err := range c.At(i).Audit(ctx, client.AuditQuery{Read: client.Read{MinSeq: seq}}) {
			must(c.t, err)
			if item.Seq <= seq {
				got[item.Seq] = item
			}
		}
		if want == nil {
			want = got
		}
		if !reflect.DeepEqual(got, want) {
			c.t.Errorf("the audit lists of node 0 (%d rows) and node %d (%d rows) differ", len(want), i, len(got))
		}
	}
	return want
}

// checkOutcomes returns the row that occupies each pcs_id.
func (c *Cluster) checkOutcomes(rows map[uint64]wire.AuditItem) map[string]wire.AuditItem {
	c.t.Helper()
	standing := map[string]wire.AuditItem{}
	for _, r := range rows {
		if r.Replayed || r.Evidence || r.Reverified || r.Outcome != "accepted" && r.Outcome != "escalated" {
			continue
		}
		if other, ok := standing[r.PCSID]; ok {
			c.t.Errorf("%s has two outcomes, at %d and at %d", r.PCSID, other.Seq, r.Seq)
		}
		standing[r.PCSID] = r
	}
	return standing
}

// checkAnswer holds an answer that was given against the rows.
func (c *Cluster) checkAnswer(a Answer, rows map[uint64]wire.AuditItem, standing map[string]wire.AuditItem) {
	c.t.Helper()
	if given := cmp.Or(a.Submit, a.First); given != nil {
		if got := standing[given.PCSID]; got.Seq != given.Seq || got.Outcome != given.Outcome ||
			got.Accepted != given.Accepted || got.ReasonCode != given.ReasonCode {
			c.t.Errorf("answered %s at %d for %s, now it is %q at %d", given.Outcome, given.Seq, given.PCSID,
				got.Outcome, got.Seq)
		}
	}
	if a.Submit == nil && a.Seq != 0 {
		if got := rows[a.Seq]; got.Status != a.Status {
			c.t.Errorf("answered %d for event %d, its row says %d %q", a.Status, a.Seq, got.Status, got.Outcome)
		}
	}
}

// checkRepeats sends one body per pcs_id and status again, to the nodes in turn.
func (c *Cluster) checkRepeats(ctx context.Context, list []Answer) {
	c.t.Helper()
	sent := map[string]bool{}
	for i, a := range list {
		key := fmt.Sprint(a.Status, string(a.Body))
		if given := cmp.Or(a.Submit, a.First); given != nil {
			key = fmt.Sprint(a.Status, given.PCSID)
		}
		if sent[key] || a.Status == http.StatusUnauthorized {
			continue
		}
		sent[key] = true
		r, err := c.At(i%len(c.members)).Submit(ctx, a.Body)
		if err := c.sameAgain(a, r, err); err != nil {
			c.t.Errorf("a repetition: %v", err)
		}
	}
}

func (c *Cluster) sameAgain(a Answer, r *client.Result, err error) error {
	var e *client.Error
	switch {
	case err == nil && a.Submit != nil:
		if !r.Replayed || r.Seq != a.Submit.Seq || r.Status != a.Status || r.Outcome != a.Submit.Outcome {
			return fmt.Errorf("answered %d %s at %d first, %d %s at %d (replayed: %t) again", a.Status,
				a.Submit.Outcome, a.Submit.Seq, r.Status, r.Outcome, r.Seq, r.Replayed)
		}
		return nil
	case errors.As(err, &e) && e.Status == a.Status && (e.Problem.First == nil) == (a.First == nil):
		if a.First != nil && e.Problem.First.Seq != a.First.Seq {
			return fmt.Errorf("conflicted with event %d first, with %d again", a.First.Seq, e.Problem.First.Seq)
		}
		return nil
	}
	return fmt.Errorf("answered %d first, again: %v %w", a.Status, r, err)
}
