package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// opID makes an operation repeatable: a node that sees an op_id again returns the first result.
func opID(a *wire.Op) {
	if a.OpID == "" {
		a.OpID = rand.Text()
	}
}

// operate sends the request of an operator until there is a response or ctx ends.
func operate[T any](ctx context.Context, c *Client, method, path string, q url.Values, request any) (*T, error) {
	r := Request{Method: method, Path: path, Query: q}
	if request != nil {
		var err error
		if r.Body, err = json.Marshal(request); err != nil {
			return nil, err
		}
	}
	resp, err := c.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	v := new(T)
	if err := resp.decode(v, method); err != nil {
		return nil, err
	}
	return v, nil
}

// PublishPolicy adds a policy document (YAML) to the log.
func (c *Client) PublishPolicy(ctx context.Context, r wire.PolicyRequest) (*wire.PolicyAnswer, error) {
	opID(&r.Op)
	return operate[wire.PolicyAnswer](ctx, c, http.MethodPost, "/v1/policies", nil, r)
}

// Policies lists the published policies, oldest first.
func (c *Client) Policies(ctx context.Context) (*wire.PoliciesPage, error) {
	return PoliciesAsOf(ctx, c, Read{})
}

// PoliciesAsOf is Policies for another time, or with a freshness.
func PoliciesAsOf(ctx context.Context, c *Client, r Read) (*wire.PoliciesPage, error) {
	return get[wire.PoliciesPage](ctx, c, "/v1/policies", r.query())
}

// Policy returns one policy with its documents.
func (c *Client) Policy(ctx context.Context, id string) (*wire.PolicyAnswer, error) {
	return PolicyAsOf(ctx, c, id, Read{})
}

// PolicyAsOf is Policy for another time, or with a freshness.
func PolicyAsOf(ctx context.Context, c *Client, id string, r Read) (*wire.PolicyAnswer, error) {
	return get[wire.PolicyAnswer](ctx, c, "/v1/policies/"+url.PathEscape(id), r.query())
}

// ApplyPolicy puts a published policy in force for new events.
func (c *Client) ApplyPolicy(ctx context.Context, id string, r wire.ApplyRequest) (*wire.ApplyAnswer, error) {
	opID(&r.Op)
	return operate[wire.ApplyAnswer](ctx, c, http.MethodPost, "/v1/policies/"+url.PathEscape(id)+"/apply", nil, r)
}

// StartGeneration starts a second fold of the whole log.
func (c *Client) StartGeneration(ctx context.Context, r wire.GenerationRequest) (*wire.GenerationAnswer, error) {
	opID(&r.Op)
	return operate[wire.GenerationAnswer](ctx, c, http.MethodPost, "/v1/generations", nil, r)
}

// Generations lists all generations by number.
func (c *Client) Generations(ctx context.Context) (*wire.GenerationsPage, error) {
	return get[wire.GenerationsPage](ctx, c, "/v1/generations", nil)
}

func generationPath(number uint32, rest string) string {
	return "/v1/generations/" + strconv.FormatUint(uint64(number), 10) + rest
}

// Generation returns one generation and the progress of every node.
func (c *Client) Generation(ctx context.Context, number uint32) (*wire.GenerationAnswer, error) {
	return get[wire.GenerationAnswer](ctx, c, generationPath(number, ""), nil)
}

// Diff returns the changes of a generation up to a position. 0 means as far as the responding node has
// compared.
func (c *Client) Diff(ctx context.Context, number uint32, position uint64) (*wire.DiffAnswer, error) {
	q := url.Values{}
	setSeq(q, "position", position)
	return get[wire.DiffAnswer](ctx, c, generationPath(number, "/diff"), q)
}

// FlipsQuery filters the list of flips. Zero fields do not filter. Reason is the reason code under the new
// generation.
type FlipsQuery struct {
	Generation         uint32
	Shard, Key, Reason string
	Position           uint64 // compare up to here, 0 as far as the node has compared
	FromSeq            uint64
	Limit              int           // items in total, 0 for no limit
	Cursor             string        // position at which an earlier iteration stopped; the filters must be the same
	PageTimeout        time.Duration // bound on each page, 0 for none beside the context of the whole list
	Read
}

func (f FlipsQuery) query() url.Values {
	q := f.Read.Now().query()
	for name, value := range map[string]string{"shard": f.Shard, "key": f.Key, "reason": f.Reason, "cursor": f.Cursor} {
		if value != "" {
			q.Set(name, value)
		}
	}
	setSeq(q, "position", f.Position)
	setSeq(q, "from_seq", f.FromSeq)
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return q
}

// FlipsPage returns one page of the changes of a generation. Limit is the size of the page.
func (c *Client) FlipsPage(ctx context.Context, f FlipsQuery) (*wire.FlipsPage, error) {
	ctx, cancel := pageContext(ctx, f.PageTimeout)
	defer cancel()
	return get[wire.FlipsPage](ctx, c, generationPath(f.Generation, "/flips"), f.query())
}

// Flips iterates over the changes of a generation in the order of seq, page by page, over all nodes and up to
// the position of the first page. It ends after the first error, which it yields.
func (c *Client) Flips(ctx context.Context, f FlipsQuery) iter.Seq2[wire.Flip, error] {
	all := pages(f, f.Limit, func(f *FlipsQuery, size int) (page *wire.FlipsPage, items int, more bool, err error) {
		f.Limit = size
		if page, err = c.FlipsPage(ctx, *f); err != nil {
			return nil, 0, false, err
		}
		f.Cursor, f.Position = page.NextCursor, page.Position
		return page, len(page.Items), page.NextCursor != "", nil
	})
	return func(yield func(wire.Flip, error) bool) {
		for page, err := range all {
			if err != nil {
				yield(wire.Flip{}, err)
				return
			}
			for _, flip := range page.Items {
				if !yield(flip, nil) {
					return
				}
			}
		}
	}
}

// Activate switches every node to a generation if the reviewed diff is still valid.
func (c *Client) Activate(ctx context.Context, number uint32, r wire.ActivateRequest) (*wire.ActivateAnswer, error) {
	opID(&r.Op)
	return operate[wire.ActivateAnswer](ctx, c, http.MethodPost, generationPath(number, "/activate"), nil, r)
}

// Rollback activates the previous generation again.
func (c *Client) Rollback(ctx context.Context, r wire.RollbackRequest) (*wire.ActivateAnswer, error) {
	opID(&r.Op)
	return operate[wire.ActivateAnswer](ctx, c, http.MethodPost, "/v1/generations/rollback", nil, r)
}

// DropGeneration drops an inactive generation.
func (c *Client) DropGeneration(ctx context.Context, number uint32, a wire.Op) (*wire.DropAnswer, error) {
	opID(&a)
	q := url.Values{"op_id": {a.OpID}}
	for name, value := range map[string]string{"reason": a.Reason, "ticket": a.Ticket} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return operate[wire.DropAnswer](ctx, c, http.MethodDelete, generationPath(number, ""), q, nil)
}
