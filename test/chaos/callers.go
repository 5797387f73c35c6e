package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/recount-ledger/recount/wire"
)

const (
	hot         = 6  // records that are new enough to be fought over
	callsPerID  = 12 // until the next one becomes hot
	callTimeout = 3 * time.Second
)

// caller is one client. It asks a random node each time.
type caller struct {
	number int
	http   *http.Client
	api    []string
	recs   *records
	h      *history
	rng    *rand.Rand
}

// run calls at the given pace until ctx ends.
func (c *caller) run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.step(ctx)
		}
	}
}

// step makes one random call: mostly about hot records, sometimes about any earlier one.
func (c *caller) step(ctx context.Context) {
	n := c.h.made.Add(1)
	base := int32(n / callsPerID)
	id := base + c.rng.Int32N(hot)
	if c.rng.IntN(8) == 0 && base > 0 {
		id = c.rng.Int32N(base)
	}
	for old := c.h.ids.Load(); int64(id) >= old && !c.h.ids.CompareAndSwap(old, int64(id)+1); old = c.h.ids.Load() {
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	node := c.rng.IntN(len(c.api))
	if c.rng.IntN(5) < 2 {
		c.read(ctx, node, id)
		return
	}
	c.submit(ctx, node, id, c.rng.IntN(2) == 0)
}

// submit sends a variant of a record to a node and keeps what it was told. It says whether that was definite.
func (c *caller) submit(ctx context.Context, node int, id int32, wrong bool) bool {
	body, err := c.recs.body(id, wrong)
	if err != nil {
		c.h.refuse("no record: %v", err)
		return false
	}
	op := call{id: id, client: int16(c.number), node: int8(node), kind: submission, wrong: wrong, from: c.h.now()}
	status, text, err := c.do(ctx, http.MethodPost, c.api[node]+"/v1/pcs/submit", body)
	op.to = c.h.now()
	if never, err := op.told(status, text, err); never || err != nil {
		if err != nil {
			c.h.refuse("%s: %v", op, err)
		}
		return false
	}
	if op.answer == unknown {
		op.to = math.MaxInt64
	}
	c.h.add(op)
	return op.answer != unknown
}

// told puts the answer into the call. never: it was not committed, as the node says or because nothing was sent.
func (op *call) told(status int, text []byte, err error) (never bool, _ error) {
	var dial *net.OpError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial", status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
		return true, nil
	case err != nil, status == http.StatusGatewayTimeout:
		return false, nil
	case status == http.StatusOK, status == http.StatusAccepted:
		var a wire.SubmitAnswer
		if err := json.Unmarshal(text, &a); err != nil {
			return false, nil // cut: no answer
		}
		op.answer = first
		if a.Replayed {
			op.answer = replay
		}
		return false, op.outcome(&a)
	case status == http.StatusConflict:
		var p wire.Problem
		if err := json.Unmarshal(text, &p); err != nil {
			return false, nil
		}
		if p.First == nil {
			return false, fmt.Errorf("a conflict without the first outcome: %s", text)
		}
		op.answer = conflict
		return false, op.outcome(p.First)
	}
	return false, fmt.Errorf("a good record was answered %d: %s", status, text)
}

func (op *call) outcome(a *wire.SubmitAnswer) error {
	op.seq, op.escal = a.Seq, a.Outcome == wire.OutcomeEscalated
	if a.PCSID != pcsID(op.id) {
		return fmt.Errorf("the answer is about %s", a.PCSID)
	}
	if a.Outcome != wire.OutcomeEscalated && a.Outcome != wire.OutcomeAccepted || a.Seq == 0 {
		return fmt.Errorf("outcome %q, seq %d", a.Outcome, a.Seq)
	}
	return nil
}

// read asks a node for a record, after everything that was acknowledged before.
func (c *caller) read(ctx context.Context, node int, id int32) {
	op := call{id: id, client: int16(c.number), node: int8(node), kind: reading, from: c.h.now()}
	status, text, err := c.do(ctx, http.MethodGet, c.api[node]+"/v1/pcs/"+pcsID(id)+"?consistency=linearizable", nil)
	op.to = c.h.now()
	switch {
	case err != nil, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return
	case status == http.StatusNotFound:
		op.answer = missing
	case status == http.StatusOK:
		var a wire.PCSAnswer
		if json.Unmarshal(text, &a) != nil {
			return
		}
		op.answer = replay
		if err := op.outcome(&a.SubmitAnswer); err != nil {
			c.h.refuse("%s: %v", op, err)
			return
		}
	default:
		c.h.refuse("%s: a read was answered %d: %s", op, status, text)
		return
	}
	c.h.add(op)
}

func (c *caller) do(ctx context.Context, method, url string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}
