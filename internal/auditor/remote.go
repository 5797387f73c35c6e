package auditor

import (
	"context"
	"encoding/hex"
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
	unread  error  // why there is no note
	end     uint64 // last event to take, the newest one when the audit began
	unsure  error  // why the node that said it may be behind, nil if a majority confirmed it
}

// brief bounds the wait for an answer without which an audit can go on.
const brief = 5 * time.Second

// Remote returns the ledger of a cluster. The credential of the client must be one that reads events. timeout bounds
// one request. name tells people which cluster it is. Errors are those of the client. A cluster that shows no
// checkpoint, or that has no majority, can be audited with the checkpoints that the auditor kept.
func Remote(ctx context.Context, c *client.Client, name string, timeout time.Duration) (Source, error) {
	r := &remote{c: c, name: name, timeout: timeout}
	soon := min(brief, timeout)
	r.note, r.unread = ask(ctx, soon, client.EvidenceOf(c).Checkpoint)
	// after the checkpoint, so that the end is not before it
	head, err := ask(ctx, soon, client.EvidenceOf(c).Head)
	if err != nil {
		r.unsure = err
		head, err = ask(ctx, timeout, func(ctx context.Context) (*wire.DigestAnswer, error) { return c.Digest(ctx, 0) })
	}
	if err != nil {
		return nil, err
	}
	r.end = head.Seq
	return r, nil
}

func ask[T any](ctx context.Context, within time.Duration, fn func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return fn(ctx)
}

func (r *remote) Name() string                { return r.name }
func (r *remote) checkpoint() ([]byte, error) { return r.note, r.unread }
func (r *remote) holds() string               { return "" }

// digest asks for the digests after an event. An answer about another event is a difference.
func (r *remote) digest(ctx context.Context, seq uint64) (*wire.DigestAnswer, error) {
	d, err := ask(ctx, r.timeout, func(ctx context.Context) (*wire.DigestAnswer, error) { return r.c.Digest(ctx, seq) })
	if err == nil && d.Seq != seq {
		err = &differs{seq, seq, fmt.Sprintf("%s was asked for the digests at this event, and gives those at event %d",
			r.name, d.Seq)}
	}
	return d, err
}

// page is a part of the events, in order.
type page struct {
	items []wire.EventAnswer
	err   error
}

// load reads the next page while it writes the one before.
func (r *remote) load(ctx context.Context, w *work, report *Report) error {
	a, err := w.appender(ctx, r.end)
	if err != nil {
		return err
	}
	if err := r.again(ctx, w, a.had); err != nil {
		return err
	}
	if r.unsure != nil {
		report.not("that event %d is the last one: no majority of the cluster confirmed it: %v", r.end, r.unsure)
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
	if w.shown < r.end && ctx.Err() == nil {
		return a.end(&differs{w.shown + 1, r.end, fmt.Sprintf("missing: %s says that it has %d events, and its list "+
			"ends with event %d", r.name, r.end, w.shown)})
	}
	return a.end(ctx.Err())
}

// again compares what earlier runs took with the ledger as it is now. A node that is behind is no difference: events
// that something covers are missing only when a majority has confirmed the end.
func (r *remote) again(ctx context.Context, w *work, had uint64) error {
	if known := max(had, w.covered); r.unsure != nil && r.end < known {
		head, err := ask(ctx, r.timeout, client.EvidenceOf(r.c).Head)
		if err != nil {
			return fmt.Errorf("the ledger had %d events, the node that answers has %d, and no majority of the cluster "+
				"says whether that is all. Ask when a majority runs, or another node: %w", known, r.end, err)
		}
		r.end, r.unsure = max(r.end, head.Seq), nil
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
	return w.other(other, other, fmt.Sprintf("%s has another event than in the earlier run in %s", r.name, w.dir))
}

// same reports whether the ledger has the same events up to seq.
func (r *remote) same(ctx context.Context, w *work, seq uint64) (bool, error) {
	d, err := r.digest(ctx, seq)
	if err != nil {
		return false, err
	}
	root, err := w.derived.Root(seq)
	return d.Log == hex.EncodeToString(root[:]), err
}

func (r *remote) consistency(ctx context.Context, from, to uint64) (hashes [][32]byte, err error) {
	if to > r.end {
		return nil, fmt.Errorf("%w: event %d", ErrSource, to)
	}
	answer, err := ask(ctx, r.timeout, func(ctx context.Context) (*wire.ConsistencyAnswer, error) {
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

// said asks for the digests at the end. A cluster that runs can have activated a generation since, which no event up to
// the end starts. Nothing here shows whether that is so, and then the digest cannot be compared.
func (r *remote) said(ctx context.Context, w *work) ([]claim, error) {
	end := w.derived.Cursor().Seq
	d, err := r.digest(ctx, end)
	if err != nil {
		return nil, err
	}
	if _, ok := w.derived.Control().Generation(d.Generation); !ok {
		return nil, fmt.Errorf("%w: the digest that the cluster gives is of generation %d, and no event up to event "+
			"%d starts it. If it was started since, audit again", ErrSource, d.Generation, end)
	}
	return []claim{claimOf("the digest that the cluster gives", d.Seq, d.Log, d.State, d.Control, d.Generation)}, nil
}
