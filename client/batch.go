package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// BatchPath is the path for many submissions in one request.
const BatchPath = "/v1/pcs/submit-batch"

// The size of one request of SubmitBatch: as many records as a node takes at once, and bytes of their bodies.
const (
	batchRecords = 256
	batchBytes   = 1 << 20
)

// BatchOutcome is the outcome of one record of SubmitBatch.
type BatchOutcome struct {
	*Response       // final response to this record, nil if there is none. Its body has the members of wire.BatchLine, too
	Err       error // an *Error if there is no final response
}

// Result returns what Client.Submit returns.
func (o BatchOutcome) Result() (*Result, error) {
	if o.Err != nil {
		return nil, o.Err
	}
	r := &Result{Status: o.Status, Endpoint: o.Endpoint, Attempts: o.Attempts}
	if err := o.decode(&r.SubmitAnswer, http.MethodPost); err != nil {
		return nil, err
	}
	return r, nil
}

// SubmitBatch submits records, byte for byte, and returns one outcome for each, in their order. It sends up to 256 of
// them in a request and keeps their order. A record without a final response, because a node was busy, the leader
// changed or the connection broke, is sent again until it has one or ctx ends. A record with a final response is not.
//
// Records that cannot be a line are sent alone: those with a line feed inside, and large ones. So are all records if
// a node or a proxy does not take batches.
func SubmitBatch(ctx context.Context, c *Client, bodies [][]byte) []BatchOutcome {
	out := make([]BatchOutcome, len(bodies))
	for from := 0; from < len(bodies); {
		to, size := from, 0
		for to < len(bodies) && to-from < batchRecords && isLine(bodies[to]) && size < batchBytes {
			size += len(bodies[to])
			to++
		}
		if to-from < 2 {
			to = from + 1
			submitAlone(ctx, c, bodies[from], &out[from])
		} else {
			newBatchRun(c, bodies[from:to], out[from:to]).run(ctx)
		}
		from = to
	}
	return out
}

// isLine reports whether a node reads a body as one record when it is a line.
func isLine(body []byte) bool {
	return len(body) <= batchBytes && bytes.IndexByte(body, '\n') < 0 && !bytes.HasSuffix(body, []byte("\r")) &&
		len(bytes.TrimSpace(body)) > 0
}

func submitAlone(ctx context.Context, c *Client, body []byte, out *BatchOutcome) {
	out.Response, out.Err = c.Do(ctx, Request{Method: http.MethodPost, Path: SubmitPath, Body: body})
}

// batchRun carries records that fit into one request to their final responses.
type batchRun struct {
	c       *Client
	bodies  [][]byte
	out     []BatchOutcome
	failed  []Error // of the last attempt of each record
	left    []int   // records without a final response, in order
	tries   int
	refused bool // batches are not taken: each record is sent alone
}

func newBatchRun(c *Client, bodies [][]byte, out []BatchOutcome) *batchRun {
	b := &batchRun{c: c, bodies: bodies, out: out, failed: make([]Error, len(bodies)), left: make([]int, len(bodies))}
	for i := range b.left {
		b.left[i] = i
	}
	return b
}

// run sends what is left until nothing is. What then is left when ctx ends gets its error.
func (b *batchRun) run(ctx context.Context) {
	asking, done := b.c.watch()
	defer done()
	untrusted := map[*endpoint]bool{}
	for len(b.left) > 0 && !b.refused && len(untrusted) < len(b.c.endpoints) {
		e, wait := b.c.pick()
		if err := pause(ctx, wait); err != nil {
			b.blame(e, func(f *Error) {
				if f.Cause == nil && f.Problem == nil {
					f.Cause = err
				}
			})
			break
		}
		asking(e)
		wait, err := b.attempt(ctx, e)
		if isUntrusted(err) || errors.Is(err, errPlain) {
			untrusted[e] = true
		}
		if ctx.Err() != nil || pause(ctx, wait) != nil {
			break
		}
	}
	for _, i := range b.left {
		if b.refused && ctx.Err() == nil {
			submitAlone(ctx, b.c, b.bodies[i], &b.out[i])
			continue
		}
		failure := b.failed[i]
		b.out[i].Err = &failure
	}
}

// blame changes the errors of the records that are left.
func (b *batchRun) blame(e *endpoint, change func(*Error)) {
	for _, i := range b.left {
		b.failed[i].Endpoint, b.failed[i].Attempts = e.url, b.tries
		change(&b.failed[i])
	}
}

// attempt sends what is left once. It returns the time to wait before the next attempt, and the error of the network.
func (b *batchRun) attempt(ctx context.Context, e *endpoint) (time.Duration, error) {
	var text bytes.Buffer
	for _, i := range b.left {
		text.Write(b.bodies[i])
		text.WriteByte('\n')
	}
	began := time.Now()
	resp, sent, err := exchange(ctx, b.c, e, Request{
		Method: http.MethodPost,
		Path:   BatchPath,
		Header: map[string]string{"Content-Type": wire.MediaNDJSON},
		Body:   text.Bytes(),
	})
	b.tries++
	switch {
	case resp == nil:
		return b.missed(e, nil, err, sent, began), err
	case resp.Status == http.StatusOK:
		return b.read(e, resp, err, began), err
	case err != nil:
		return b.missed(e, nil, err, sent, began), err
	case repeatable(resp.Status):
		return b.missed(e, resp, nil, true, began), nil
	}
	b.refused = true
	return 0, nil
}

// missed notes that none of the records that are left got a response of its own.
func (b *batchRun) missed(e *endpoint, resp *Response, err error, sent bool, began time.Time) time.Duration {
	whole := &Error{}
	wait := b.c.note(whole, e, resp, err, sent, began)
	b.blame(e, func(f *Error) {
		f.Status, f.Problem, f.Cause, f.MaySent = whole.Status, whole.Problem, whole.Cause, f.MaySent || whole.MaySent
	})
	return wait
}

// read takes the final responses out of the lines of a response. err says why no more lines came.
func (b *batchRun) read(e *endpoint, resp *Response, err error, began time.Time) (wait time.Duration) {
	sent := b.left
	b.left = nil
	answered := make([]bool, len(sent))
	var busy *Response // that of the first record that is to be sent again
	for text := range bytes.Lines(resp.Body) {
		var l wire.BatchLine
		if !bytes.HasSuffix(text, []byte("\n")) || json.Unmarshal(text, &l) != nil || l.Line < 1 || l.Line > len(sent) ||
			l.Unread || answered[l.Line-1] {
			break
		}
		answered[l.Line-1] = true
		i := sent[l.Line-1]
		own := &Response{
			Status: l.Status, Header: resp.Header, Body: bytes.Clone(bytes.TrimSuffix(text, []byte("\n"))),
			Endpoint: e.url, Attempts: b.tries, Elapsed: time.Since(began),
		}
		if !repeatable(l.Status) {
			b.out[i].Response = own
			continue
		}
		if busy == nil {
			busy = own
		}
		b.left = append(b.left, i)
		b.failed[i] = Error{
			Endpoint: e.url, Attempts: b.tries, Status: l.Status, Problem: own.Problem(),
			MaySent: b.failed[i].MaySent || l.Status == http.StatusGatewayTimeout,
		}
	}
	if err == nil && !slices.Contains(answered, true) { // not the response of a node
		b.left, b.refused = sent, true
		return 0
	}
	if !slices.Contains(answered, false) {
		if busy == nil {
			e.fails.Store(0)
			return 0
		}
		return b.c.note(&Error{}, e, busy, nil, true, began)
	}
	return b.unanswered(e, sent, answered, err, began)
}

// unanswered puts the records that got no line back among those that are left.
func (b *batchRun) unanswered(e *endpoint, sent []int, answered []bool, err error, began time.Time) time.Duration {
	if err == nil {
		err = ErrProtocol
	}
	for k, i := range sent {
		if !answered[k] {
			b.left = append(b.left, i)
			b.failed[i] = Error{Endpoint: e.url, Attempts: b.tries, Cause: err, MaySent: true}
		}
	}
	slices.Sort(b.left)
	return b.c.note(&Error{}, e, nil, err, true, began)
}
