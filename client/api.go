package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/recount-ledger/recount/wire"
)

// SubmitPath is the path for submissions.
const SubmitPath = "/v1/pcs/submit"

// Result is the response to a submission.
type Result struct {
	wire.SubmitAnswer
	Status   int // 200 accepted, 202 escalated
	Endpoint string
	Attempts int
}

// Submit sends one record, byte for byte, until there is a response or ctx ends. A refusal (status 400 to 499)
// is an *Error with the problem and is ErrRejected.
func (c *Client) Submit(ctx context.Context, body []byte) (*Result, error) {
	resp, err := c.Do(ctx, Request{Method: http.MethodPost, Path: SubmitPath, Body: body})
	if err != nil {
		return nil, err
	}
	r := &Result{Status: resp.Status, Endpoint: resp.Endpoint, Attempts: resp.Attempts}
	if err := resp.decode(&r.SubmitAnswer, http.MethodPost); err != nil {
		return nil, err
	}
	return r, nil
}

// CheckPath accepts the same body as SubmitPath and only computes the response.
const CheckPath = "/v1/pcs/check"

// Check returns the response that Submit would get now. Nothing is logged. Seq is 0, except for the seq of an
// earlier event whose outcome a repetition would get. Check needs a credential of any role. Errors are those of
// Submit, but never ErrOutcomeUnknown.
func (c *Client) Check(ctx context.Context, body []byte) (*Result, error) {
	resp, err := c.Do(ctx, Request{Method: http.MethodPost, Path: CheckPath, Body: body})
	if err != nil {
		var failure *Error
		if errors.As(err, &failure) {
			failure.MaySent = false // nothing could have been committed
		}
		return nil, err
	}
	var a wire.CheckAnswer
	if err := resp.decode(&a, http.MethodGet); err != nil {
		return nil, err
	}
	a.SubmitAnswer.Seq = a.Seq
	return &Result{
		SubmitAnswer: a.SubmitAnswer,
		Status:       resp.Status,
		Endpoint:     resp.Endpoint,
		Attempts:     resp.Attempts,
	}, nil
}

// decode decodes a response of status 2xx into v and makes an *Error of any other.
func (r *Response) decode(v any, method string) error {
	e := &Error{Endpoint: r.Endpoint, Attempts: r.Attempts, Status: r.Status}
	if r.Status < 200 || r.Status > 299 {
		e.Problem = r.Problem()
		e.MaySent = method != http.MethodGet && r.Status >= 500 && r.Status != http.StatusInsufficientStorage
		return e
	}
	if err := json.Unmarshal(r.Body, v); err != nil {
		e.Cause = fmt.Errorf("%w: %w", ErrProtocol, err)
		return e
	}
	return nil
}

// Read sets the required freshness of a response: a wire.Consistency... value, empty for the route's own
// default, and a seq that the node must have folded.
type Read struct {
	Consistency string
	MinSeq      uint64

	// Ask for the answer of another time: as of an event number or a time (wire.Time), or of a generation, as it said
	// last if it is dropped. At most one is set. A node refuses them where a route has the answer of now alone.
	AsOf       string
	Generation uint32
}

// Now returns r for an answer of now.
func (r Read) Now() Read { return Read{Consistency: r.Consistency, MinSeq: r.MinSeq} }

func (r Read) query() url.Values {
	q := url.Values{}
	if r.AsOf != "" {
		q.Set("as_of", r.AsOf)
	}
	setSeq(q, "generation", uint64(r.Generation))
	if r.Consistency != "" {
		q.Set("consistency", r.Consistency)
	}
	setSeq(q, "min_seq", r.MinSeq)
	return q
}

func setSeq(q url.Values, name string, seq uint64) {
	if seq > 0 {
		q.Set(name, strconv.FormatUint(seq, 10))
	}
}

func get[T any](ctx context.Context, c *Client, path string, q url.Values) (*T, error) {
	if c.cfg.Consistency != "" && strings.HasPrefix(path, "/v1/") && !q.Has("consistency") {
		if q == nil {
			q = url.Values{}
		}
		q.Set("consistency", c.cfg.Consistency)
	}
	resp, err := c.Do(ctx, Request{Method: http.MethodGet, Path: path, Query: q})
	if err != nil {
		return nil, err
	}
	v := new(T)
	if err := resp.decode(v, http.MethodGet); err != nil {
		return nil, err
	}
	return v, nil
}

// Get returns the outcome of one record. Unknown ids give ErrNotFound.
func (c *Client) Get(ctx context.Context, pcsID string, r Read) (*wire.PCSAnswer, error) {
	return get[wire.PCSAnswer](ctx, c, "/v1/pcs/"+url.PathEscape(pcsID), r.query())
}

// History returns every answer that was given to one record. Unknown ids give ErrNotFound.
func History(ctx context.Context, c *Client, pcsID string, r Read) (*wire.PCSHistory, error) {
	return get[wire.PCSHistory](ctx, c, "/v1/pcs/"+url.PathEscape(pcsID)+"/history", r.query())
}

// Complete lists the pcs_ids with a prefix of 8 to 64 hex digits, at most limit (0: 5).
func (c *Client) Complete(ctx context.Context, prefix string, limit int, r Read) (*wire.IDsPage, error) {
	q := r.query()
	q.Set("prefix", prefix)
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return get[wire.IDsPage](ctx, c, "/v1/pcs", q)
}

// Event returns one event with its payload.
func (c *Client) Event(ctx context.Context, seq uint64, r Read) (*wire.EventAnswer, error) {
	return get[wire.EventAnswer](ctx, c, "/v1/events/"+strconv.FormatUint(seq, 10), r.query())
}

// Shard returns one shard's epoch and counts.
func (c *Client) Shard(ctx context.Context, shardID string, r Read) (*wire.ShardAnswer, error) {
	return get[wire.ShardAnswer](ctx, c, "/v1/shards/"+url.PathEscape(shardID), r.query())
}

// Cluster returns the members and the leader, as one node sees them.
func (c *Client) Cluster(ctx context.Context) (*wire.ClusterAnswer, error) {
	return get[wire.ClusterAnswer](ctx, c, "/v1/cluster", nil)
}

// Digest returns the digests at seq. The node waits until it has folded seq. A seq of 0 means its head.
func (c *Client) Digest(ctx context.Context, seq uint64) (*wire.DigestAnswer, error) {
	q := Read{MinSeq: seq}.query()
	setSeq(q, "seq", seq)
	return get[wire.DigestAnswer](ctx, c, "/v1/digest", q)
}

// DigestEdge is like Digest and adds the edge of the log tree, from which later log digests can be computed
// with the events alone.
func (c *Client) DigestEdge(ctx context.Context, seq uint64) (*wire.DigestAnswer, error) {
	q := Read{MinSeq: seq}.query()
	setSeq(q, "seq", seq)
	q.Set("edge", "true")
	return get[wire.DigestAnswer](ctx, c, "/v1/digest", q)
}

// Version returns the software version of a node.
func (c *Client) Version(ctx context.Context) (*wire.VersionAnswer, error) {
	return get[wire.VersionAnswer](ctx, c, "/version", nil)
}
