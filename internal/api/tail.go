package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// Bounds of the live tail, the stream of submissions as they are folded.
const (
	maxTails   = 64                    // streams at a time on a node
	tailEvery  = 10 * time.Second      // between two signs of life of a stream without news
	tailSlow   = 10 * time.Second      // time of a reader for one chunk, before it is told to come again
	tailGather = 10 * time.Millisecond // between two reads of one stream, so that it costs little under load
	tailRetry  = time.Second           // readers are told to wait so long before they come again
)

// tailRequest is a parsed request for the live tail.
type tailRequest struct {
	query AuditQuery // FromSeq is 0 for what is folded from now on
	read  Read
}

func parseTail(views Views, c echo.Context) (tailRequest, error) {
	p := readParams(c, append([]string{"from_seq", "consistency", "min_seq"}, auditFilterNames...)...)
	t := tailRequest{query: p.auditFilter(views), read: p.read(wire.ConsistencyLocal)}
	t.query.FromSeq = p.number("from_seq", 0, 1, 1<<62)
	if given := c.Request().Header.Values(wire.HeaderLastEventID); len(given) > 0 {
		last, err := strconv.ParseUint(given[0], 10, 62)
		if err != nil || len(given) > 1 {
			p.fail(wire.HeaderLastEventID, "must be the id of an event of this stream, a whole number")
		}
		// a reader that connects again sends the same query, so the header goes first
		t.query.FromSeq, t.read.MinSeq = last+1, max(t.read.MinSeq, last)
	}
	return t, p.err()
}

// tailAudit streams submissions as server-sent events, as they are folded, until the reader leaves or the node ends
// the stream.
func (s *server) tailAudit(c echo.Context) error {
	t, err := parseTail(s.Ledger.Views, c)
	if err != nil {
		return err
	}
	ctx, cancel, view, err := s.fresh(c, t.read)
	if err != nil {
		return err
	}
	defer cancel()
	if err := noPattern(ctx, view, "shard", t.query.Shard); err != nil {
		return err
	}
	at := view.Position()
	if t.query.FromSeq == 0 {
		t.query.FromSeq = at.AppliedSeq + 1
	}
	probe := t.query // finds what is wrong in the filters, which could not be refused later
	probe.FromSeq, probe.ToSeq, probe.Limit = at.AppliedSeq, at.AppliedSeq, 1
	if _, err := view.Audit(ctx, probe); err != nil {
		return err
	}
	select {
	case s.tails <- struct{}{}:
		defer func() { <-s.tails }()
	default:
		return wire.NewProblem(wire.CodeOverloaded, fmt.Sprintf(
			"%d live tails are open on this node, which is the limit; ask another node", cap(s.tails)),
		).WithRetry(tailRetry)
	}
	if beginEvents(c) {
		live := &tail{s: s, c: c, query: t.query, generation: at.Generation}
		live.query.Limit = streamChunk
		s.metrics.tail(live.run)
	}
	return nil
}

// tail is one stream. It holds no snapshot and at most one chunk of rows while its reader takes them, and it reads
// nothing until the node has folded something that it has not sent.
type tail struct {
	s          *server
	c          echo.Context
	query      AuditQuery // FromSeq is the first event that was not looked at
	generation uint32
	looked     time.Time // when it read last
	sent       time.Time // when it wrote last
	text       bytes.Buffer
}

// run sends what there is and what comes, until the stream ends. The reason is "" when the reader has left.
func (t *tail) run() (reason string) {
	request := t.c.Request().Context()
	ctx, cancel := untilStopped(request, t.s.stopping)
	defer cancel()
	fmt.Fprintf(&t.text, "retry: %d\n", tailRetry.Milliseconds())
	t.position()
	var end *wire.StreamEnded
	for end == nil {
		err := t.send()
		switch {
		case errors.Is(err, errSlow):
			end = t.ended(wire.EndedSlow, "the reader takes too long for what is sent")
			continue
		case err == nil:
			end = t.turn(ctx)
		}
		if err != nil || request.Err() != nil {
			return ""
		}
	}
	t.sendEnd(end)
	return end.Reason
}

// untilStopped returns a context that ends when the server stops.
func untilStopped(ctx context.Context, stopping <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if stopping == nil {
		return ctx, cancel
	}
	go func() {
		select {
		case <-stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// turn waits for the next event to be folded, at most for TailEvery, and writes what there is then.
func (t *tail) turn(ctx context.Context) *wire.StreamEnded {
	view, err := t.await(ctx)
	switch {
	case ctx.Err() != nil:
		return t.ended(wire.EndedStopping, "this node stops; ask another one")
	case !t.s.auth.stand(t.c):
		return t.ended(wire.EndedCredential, "the credentials of this stream are revoked or have expired")
	case errors.Is(err, context.DeadlineExceeded):
		t.text.WriteString(": nothing new\n")
		t.position()
		return nil
	case err == nil && view.Position().Generation != t.generation:
		err = ErrGenerationGone
	case err == nil:
		err = t.rows(ctx, view)
	}
	if err == nil && t.text.Len() == 0 && time.Since(t.sent) >= t.s.TailEvery {
		t.position() // events come, and the filters let none of them pass
	}
	return t.endedBy(err)
}

// await waits until the next event is folded, at most for TailEvery. It waits for tailGather at least from one read to
// the next.
func (t *tail) await(ctx context.Context) (View, error) {
	ctx, cancel := context.WithTimeout(ctx, t.s.TailEvery)
	defer cancel()
	timer := time.NewTimer(tailGather - time.Since(t.looked))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	view, err := t.s.Ledger.Views.View(ctx, Read{
		Consistency: wire.ConsistencyLocal,
		MinSeq:      t.query.FromSeq,
		Switches:    true,
	})
	t.looked = time.Now()
	return view, err
}

// rows writes one chunk of the rows that are folded and were not sent.
func (t *tail) rows(ctx context.Context, view View) error {
	t.query.ToSeq = view.Position().AppliedSeq
	r, err := view.Audit(ctx, t.query)
	if err != nil {
		return err
	}
	item := make([]byte, 0, auditItemSize)
	for i := range r.Items {
		item = appendAuditItem(item[:0], &r.Items[i])
		fmt.Fprintf(&t.text, "id: %d\nevent: %s\ndata: %s\n\n", r.Items[i].Seq, wire.StreamSubmission, item)
	}
	t.query.FromSeq = t.query.ToSeq + 1
	if r.Next != 0 {
		t.query.FromSeq = r.Next
	}
	return nil
}

// position writes an event without data. A reader notes its id and shows nothing.
func (t *tail) position() { fmt.Fprintf(&t.text, "id: %d\n\n", t.query.FromSeq-1) }

// endedBy returns the end of a stream that cannot go on because of err, nil for none.
func (t *tail) endedBy(err error) *wire.StreamEnded {
	var p *wire.Problem
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrGenerationGone):
		return t.ended(wire.EndedGeneration, fmt.Sprintf("generation %d is not the active one any more; "+
			"ask again for what follows, as the active one says it", t.generation))
	case errors.As(err, &p):
		return t.ended(wire.EndedNotReady, p.Detail)
	}
	t.s.Logger.Error("a live tail failed", "error", err, "request_id", currentID(t.c))
	return t.ended(wire.EndedFailed, "something went wrong in the node; its log has the request id")
}

func (t *tail) ended(reason, detail string) *wire.StreamEnded {
	return &wire.StreamEnded{Reason: reason, Detail: detail, Seq: t.query.FromSeq - 1, Generation: t.generation}
}

// sendEnd sends the last event, unless the reader takes nothing any more.
func (t *tail) sendEnd(end *wire.StreamEnded) {
	data, err := json.Marshal(end)
	if err == nil {
		fmt.Fprintf(&t.text, "event: %s\ndata: %s\n\n", wire.StreamEnd, data)
		err = t.send()
	}
	if err != nil {
		t.s.Logger.Debug("the end of a live tail was not sent", "error", err, "request_id", currentID(t.c))
	}
}

// errSlow means that a reader took too long for what was sent, or did not take it at all.
var errSlow = errors.New("the reader is too slow")

// send passes what was written to the reader. A reader that does not take it within writeTimeout is cut off.
func (t *tail) send() error {
	if t.text.Len() == 0 {
		return nil
	}
	control, began := http.NewResponseController(t.c.Response()), time.Now()
	t.sent = began
	_ = control.SetWriteDeadline(began.Add(writeTimeout)) // the writer may not support deadlines
	_, err := t.c.Response().Write(t.text.Bytes())
	t.text.Reset()
	if err == nil {
		err = control.Flush()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || err == nil && time.Since(began) > t.s.TailSlow {
		return errSlow
	}
	return err
}
