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

// SubmitPath takes submissions.
const SubmitPath = "/v1/pcs/submit"

// Result is the answer to a submission.
type Result struct {
	wire.SubmitAnswer
	Status   int // 200 accepted, 202 escalated
	Endpoint string
	Attempts int
}

// Submit sends one record, byte for byte, until it has an answer or ctx ends. A refusal (status 400 to 499) is
// an *Error with the problem and is ErrRejected.
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

// CheckPath takes the same as SubmitPath, and only says what would be answered.
const CheckPath = "/v1/pcs/check"

// Check asks what Submit would be answered now. Nothing is logged; Seq is 0, except of the earlier event whose answer a repetition
// would get. It needs a credential of any role. Errors are those of Submit, but never ErrOutcomeUnknown.
func (c *Client) Check(ctx context.Context, body []byte) (*Result, error) {
	resp, err := c.Do(ctx, Request{Method: http.MethodPost, Path: CheckPath, Body: body})
	if err != nil {
		var failure *Error
		if errors.As(err, &failure) {
			failure.MaySent = false // there is nothing that could have been committed
		}
		return nil, err
	}
	var a wire.CheckAnswer
	if err := resp.decode(&a, http.MethodGet); err != nil {
		return nil, err
	}
	a.SubmitAnswer.Seq = a.Seq
	return &Result{SubmitAnswer: a.SubmitAnswer, Status: resp.Status, Endpoint: resp.Endpoint, Attempts: resp.Attempts}, nil
}

// decode reads an answer of status 2xx into v and makes an *Error of any other.
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

// Read says how fresh an answer must be: wire.Consistency..., empty for the route's own default, and a seq
// that the node must have folded.
type Read struct {
	Consistency string
	MinSeq      uint64
}

func (r Read) query() url.Values {
	q := url.Values{}
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

// Get reads what the ledger says of one record now. Unknown ids give ErrNotFound.
func (c *Client) Get(ctx context.Context, pcsID string, r Read) (*wire.PCSAnswer, error) {
	return get[wire.PCSAnswer](ctx, c, "/v1/pcs/"+url.PathEscape(pcsID), r.query())
}

// Complete lists the pcs_ids that begin with a prefix of 8 to 64 hex digits, at most limit (0: 5).
func (c *Client) Complete(ctx context.Context, prefix string, limit int, r Read) (*wire.IDsPage, error) {
	q := r.query()
	q.Set("prefix", prefix)
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return get[wire.IDsPage](ctx, c, "/v1/pcs", q)
}

// Event reads one event with its payload.
func (c *Client) Event(ctx context.Context, seq uint64, r Read) (*wire.EventAnswer, error) {
	return get[wire.EventAnswer](ctx, c, "/v1/events/"+strconv.FormatUint(seq, 10), r.query())
}

// Shard reads one shard's epoch and counts.
func (c *Client) Shard(ctx context.Context, shardID string, r Read) (*wire.ShardAnswer, error) {
	return get[wire.ShardAnswer](ctx, c, "/v1/shards/"+url.PathEscape(shardID), r.query())
}

// Cluster reads the members and the leader, as one node sees them.
func (c *Client) Cluster(ctx context.Context) (*wire.ClusterAnswer, error) {
	return get[wire.ClusterAnswer](ctx, c, "/v1/cluster", nil)
}

// Digest reads the digests at seq, waiting until the node has folded it; 0 means at its head.
func (c *Client) Digest(ctx context.Context, seq uint64) (*wire.DigestAnswer, error) {
	q := Read{MinSeq: seq}.query()
	setSeq(q, "seq", seq)
	return get[wire.DigestAnswer](ctx, c, "/v1/digest", q)
}

// DigestEdge is Digest with the edge of the log tree, from which later log digests can be computed with the events alone.
func (c *Client) DigestEdge(ctx context.Context, seq uint64) (*wire.DigestAnswer, error) {
	q := Read{MinSeq: seq}.query()
	setSeq(q, "seq", seq)
	q.Set("edge", "true")
	return get[wire.DigestAnswer](ctx, c, "/v1/digest", q)
}

// Version reads what software a node runs.
func (c *Client) Version(ctx context.Context) (*wire.VersionAnswer, error) {
	return get[wire.VersionAnswer](ctx, c, "/version", nil)
}
