package auditor

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/export"
	"github.com/recount-ledger/recount/wire"
)

// remote is the ledger of a cluster that runs.
type remote struct {
	c       *client.Client
	name    string
	timeout time.Duration // of one request
	note    []byte
	end     uint64 // last event to take, the newest one when the audit began
}

// Remote returns the ledger of a cluster. The credential of the client must be one that reads events. timeout bounds
// one request. name tells people which cluster it is. Errors are those of the client.
func Remote(ctx context.Context, c *client.Client, name string, timeout time.Duration) (Source, error) {
	r := &remote{c: c, name: name, timeout: timeout}
	note, err := ask(ctx, r, client.EvidenceOf(c).Checkpoint)
	if err != nil && !errors.Is(err, client.ErrNotFound) {
		return nil, err
	}
	r.note = note
	now, err := ask(ctx, r, func(ctx context.Context) (*wire.DigestAnswer, error) { return c.Digest(ctx, 0) })
	if err != nil {
		return nil, err
	}
	r.end = now.Seq
	return r, nil
}

func ask[T any](ctx context.Context, r *remote, fn func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	return fn(ctx)
}

func (r *remote) Name() string       { return r.name }
func (r *remote) checkpoint() []byte { return r.note }
func (r *remote) holds() string      { return "" }

// page is a part of the events, in order.
type page struct {
	items []wire.EventAnswer
	err   error
}

// load reads the next page while it writes the one before.
func (r *remote) load(ctx context.Context, w *work, _ *Report) error {
	a, err := w.appender(ctx, r.end)
	if err != nil {
		return err
	}
	if err := r.again(ctx, w, a.had); err != nil {
		return err
	}
	a.total = r.end
	loop, cancel := context.WithCancel(ctx)
	defer cancel()
	pages := make(chan page)
	go r.pages(loop, a.next, pages)
	for p := range pages {
		for i := range p.items {
			e := export.EventOf(&p.items[i])
			if err := a.add(&e); err != nil {
				return a.end(err)
			}
		}
		if p.err != nil {
			return a.end(p.err)
		}
	}
	return a.end(ctx.Err())
}

// again compares what earlier runs took with the ledger as it is now. It asks for the end of the ledger again if the
// node that said it may be behind.
func (r *remote) again(ctx context.Context, w *work, had uint64) error {
	if r.end < max(had, w.covered) {
		head, err := ask(ctx, r, client.EvidenceOf(r.c).Head)
		if err != nil {
			return err
		}
		r.end = max(r.end, head.Seq)
	}
	if w.shown = r.end; r.end < had {
		return w.fewer(had)
	}
	w.shown = had
	if had == 0 {
		return nil
	}
	same, err := r.same(ctx, w, had)
	if err != nil || same {
		return err
	}
	w.shown = r.end
	agrees, other := uint64(0), had
	for other-agrees > 1 {
		at := agrees + (other-agrees)/2
		if same, err = r.same(ctx, w, at); err != nil {
			return err
		}
		if same {
			agrees = at
		} else {
			other = at
		}
	}
	return &differs{other, other, fmt.Sprintf("%s has another event than in the earlier run in %s", r.name, w.dir)}
}

// same reports whether the ledger has the same events up to seq.
func (r *remote) same(ctx context.Context, w *work, seq uint64) (bool, error) {
	d, err := ask(ctx, r, func(ctx context.Context) (*wire.DigestAnswer, error) { return r.c.Digest(ctx, seq) })
	if err != nil {
		return false, err
	}
	root, err := w.derived.Root(seq)
	return d.Seq == seq && d.Log == hex.EncodeToString(root[:]), err
}

func (r *remote) consistency(ctx context.Context, from, to uint64) (hashes [][32]byte, err error) {
	if to > r.end {
		return nil, fmt.Errorf("%w: event %d", ErrSource, to)
	}
	answer, err := ask(ctx, r, func(ctx context.Context) (*wire.ConsistencyAnswer, error) {
		return client.EvidenceOf(r.c).Consistency(ctx, from, to)
	})
	if err != nil {
		return nil, err
	}
	for _, text := range answer.Hashes {
		h, err := hex.DecodeString(text)
		if err != nil || len(h) != 32 {
			return nil, fmt.Errorf("%w: %q is no hash", ErrSource, text)
		}
		hashes = append(hashes, [32]byte(h))
	}
	return hashes, nil
}

// pages reads from event from on to the end, and to the end of the entry that holds the last event.
func (r *remote) pages(ctx context.Context, from uint64, to chan<- page) {
	defer close(to)
	var last uint64 // entry of event r.end
	for from != 0 {
		var p page
		var next uint64
		p.items, next, p.err = r.page(ctx, from)
		if p.err == nil && next != 0 && next <= from {
			p.err = &differs{from: from, to: from, what: "the list of events goes back to event " + fmt.Sprint(next)}
		}
		p.items, last = upTo(p.items, r.end, last)
		if len(p.items) == 0 || p.err != nil {
			next = 0
		}
		select {
		case to <- p:
		case <-ctx.Done():
			return
		}
		from = next
	}
}

func (r *remote) page(ctx context.Context, from uint64) (items []wire.EventAnswer, next uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	return r.c.EventsPage(ctx, client.EventsQuery{From: from, Read: client.Read{MinSeq: r.end}})
}

// upTo cuts a page behind the entry that holds event end, whose number is entry if an earlier page had it.
func upTo(items []wire.EventAnswer, end, entry uint64) ([]wire.EventAnswer, uint64) {
	for i := range items {
		switch e := &items[i]; {
		case e.Seq <= end:
			entry = e.Index
		case e.Index != entry:
			return items[:i], entry
		}
	}
	return items, entry
}

func (r *remote) said(ctx context.Context, w *work) ([]claim, error) {
	end := w.derived.Cursor().Seq
	d, err := ask(ctx, r, func(ctx context.Context) (*wire.DigestAnswer, error) { return r.c.Digest(ctx, end) })
	if err != nil {
		return nil, err
	}
	return []claim{claimOf("the digest that the cluster gives", d.Seq, d.Log, d.State, d.Control, d.Generation)}, nil
}
