package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/recount-ledger/recount/wire"
)

// Evidence reads what a ledger proves about itself. Package evidence checks it. Only bundles need a credential.
type Evidence struct{ c *Client }

// EvidenceOf returns the evidence of the ledger of a client.
func EvidenceOf(c *Client) Evidence { return Evidence{c} }

// Checkpoint returns the newest checkpoint of the node that answers, a C2SP note. A node without a checkpoint key
// answers 404.
func (e Evidence) Checkpoint(ctx context.Context) ([]byte, error) {
	return e.text(ctx, "/checkpoint", nil)
}

// Checkpoints lists checkpoints that the node which answers signed, the largest first: at most limit, and with before
// those of fewer events only. 0 stands for no limit of the caller and for the newest ones.
func (e Evidence) Checkpoints(ctx context.Context, before uint64, limit int) (*wire.CheckpointPage, error) {
	q := url.Values{}
	if before != 0 {
		q.Set("before", strconv.FormatUint(before, 10))
	}
	if limit != 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return get[wire.CheckpointPage](ctx, e.c, "/v1/checkpoints", q)
}

// Head returns the digests at the end of the ledger, after every event that was acknowledged before the call. It needs
// a majority of the voters.
func (e Evidence) Head(ctx context.Context) (*wire.DigestAnswer, error) {
	return get[wire.DigestAnswer](ctx, e.c, "/v1/digest", Read{Consistency: wire.ConsistencyLinearizable}.query())
}

// Inclusion returns a proof that event seq is among the first size events. The node that answers waits until it has
// that many.
func (e Evidence) Inclusion(ctx context.Context, seq, size uint64) (*wire.InclusionAnswer, error) {
	return get[wire.InclusionAnswer](ctx, e.c, "/v1/log/proof/inclusion", pair("seq", seq, "size", size))
}

// Consistency returns a proof that the first to events begin with the first from events. The node that answers waits
// until it has that many.
func (e Evidence) Consistency(ctx context.Context, from, to uint64) (*wire.ConsistencyAnswer, error) {
	return get[wire.ConsistencyAnswer](ctx, e.c, "/v1/log/proof/consistency", pair("from", from, "to", to))
}

// Receipt returns the receipt of a submission that names a pcs_id, with seq 0 of the one that stands.
func (e Evidence) Receipt(ctx context.Context, pcsID string, seq uint64) ([]byte, error) {
	return e.aboutRecord(ctx, pcsID, "/receipt", seq)
}

// Bundle returns the receipt of a submission with everything that is needed to judge it again. It holds the record, so
// the node wants the credential of a role that reads.
func (e Evidence) Bundle(ctx context.Context, pcsID string, seq uint64) ([]byte, error) {
	return e.aboutRecord(ctx, pcsID, "/bundle", seq)
}

func (e Evidence) aboutRecord(ctx context.Context, pcsID, what string, seq uint64) ([]byte, error) {
	q := url.Values{}
	if seq != 0 {
		q.Set("seq", strconv.FormatUint(seq, 10))
	}
	return e.text(ctx, "/v1/pcs/"+url.PathEscape(pcsID)+what, q)
}

func (e Evidence) text(ctx context.Context, path string, q url.Values) ([]byte, error) {
	resp, err := e.c.Do(ctx, Request{Method: http.MethodGet, Path: path, Query: q})
	if err != nil {
		return nil, err
	}
	if resp.Status != http.StatusOK {
		return nil, resp.decode(&struct{}{}, http.MethodGet)
	}
	return resp.Body, nil
}

func pair(a string, x uint64, b string, y uint64) url.Values {
	size := strconv.FormatUint(y, 10)
	return url.Values{a: {strconv.FormatUint(x, 10)}, b: {size}, "min_seq": {size}}
}
