package pgscript

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// Source has the requests that a feed makes. *client.Client implements it.
type Source interface {
	AuditPage(context.Context, client.AuditQuery) (*wire.AuditPage, error)
	FlipsPage(context.Context, client.FlipsQuery) (*wire.FlipsPage, error)
	Generations(context.Context) (*wire.GenerationsPage, error)
	KnownShards(context.Context) (*wire.KnownShardsPage, error)
}

// Sizes of pages and batches, in rows.
const (
	pageRows  = 1000
	flipRows  = 100 // a page of rows that are looked up because one of them has flipped
	batchRows = 10_000
)

// Feed writes the batches that bring the tables from a cursor to the end of the log.
type Feed struct {
	Source  Source
	To      io.Writer // the scripts
	Cluster string    // id of the cluster
	After   Cursor    // where the tables are; moves with every batch
	Full    bool      // read every row again, once
	Local   bool      // take what the node that answers knows, without a word from the others

	Timeout time.Duration                    // of one question
	Said    func(format string, args ...any) // a note for people
	Batch   func(rows uint64, next Cursor)   // after each batch; may be nil

	batch    int    // rows of a batch, 0 for batchRows
	seen     uint64 // last event that was looked at
	fresh    uint64 // last event that a node has answered with: later answers come from nodes that know it
	patterns []string
	asked    bool // patterns are those of the last batch
}

// ErrSwitched: another generation answers than a batch began with.
var ErrSwitched = errors.New("another generation began to answer meanwhile")

// mostSwitches bounds the restarts of a batch before the feed gives up.
const mostSwitches = 10

// Run writes batches until the tables are as far as the cluster. It changes nothing that a batch which was
// written before an error does.
func (f *Feed) Run(ctx context.Context) error {
	for switched := 0; ; {
		more, err := f.round(ctx)
		switch {
		case errors.Is(err, ErrSwitched) && switched < mostSwitches:
			switched++
		case err != nil || !more:
			return err
		default:
			switched = 0
		}
	}
}

// within bounds one question.
func within[T any](ctx context.Context, f *Feed, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	return ask(ctx)
}

// ErrBeyond means that the tables hold events that the ledger does not have: they are those of another cluster, or
// the cursor was not read from them.
var ErrBeyond = errors.New("the cursor is beyond the end of the ledger")

// page reads rows from an event on, as far as one page goes. A node that a majority has confirmed is current need
// not wait for the event of the cursor, and shows whether there is one. Any other node waits for it.
func (f *Feed) page(ctx context.Context, q client.AuditQuery) (*wire.AuditPage, error) {
	if q.MinSeq = f.fresh; q.Consistency != wire.ConsistencyLinearizable {
		q.MinSeq = max(q.MinSeq, f.After.Seq)
	}
	page, err := within(ctx, f, func(ctx context.Context) (*wire.AuditPage, error) {
		return f.Source.AuditPage(ctx, q)
	})
	if err == nil {
		f.fresh = max(f.fresh, page.AppliedSeq)
	}
	return page, err
}

// round writes one batch, or none when there is nothing new. more says that there may be another one.
func (f *Feed) round(ctx context.Context) (more bool, err error) {
	q := client.AuditQuery{FromSeq: max(f.After.Seq, f.seen) + 1, Limit: min(pageRows, cmp.Or(f.batch, pageRows))}
	if !f.Local {
		q.Consistency = wire.ConsistencyLinearizable
	}
	page, err := f.page(ctx, q)
	if err == nil && page.AppliedSeq < f.After.Seq {
		err = fmt.Errorf("%w: it is event %d, and the ledger ends with event %d", ErrBeyond, f.After.Seq, page.AppliedSeq)
	}
	if err != nil {
		return false, err
	}
	if f.After.Generation == 0 {
		f.Full = false
	}
	if g := f.After.Generation; f.Full || g != 0 && g != page.Generation {
		return true, f.change(ctx, page.Generation)
	}
	return f.append(ctx, page)
}

// append writes the rows behind the cursor, of which page is the first part.
func (f *Feed) append(ctx context.Context, page *wire.AuditPage) (more bool, err error) {
	changed, err := f.askPatterns(ctx)
	if err != nil {
		return false, err
	}
	next := Cursor{page.Generation, max(f.After.Seq, f.seen)}
	if len(page.Items) == 0 && page.NextCursor == "" && !changed {
		f.seen = max(next.Seq, page.AppliedSeq)
		return false, nil
	}
	if page.NextCursor == "" {
		next.Seq = max(next.Seq, page.AppliedSeq) // a later page may be of a generation that follows the active one
	}
	s := begin(f.To)
	for {
		if err := s.all(page.Items); err != nil {
			return false, errors.Join(err, s.abandon())
		}
		if n := len(page.Items); n > 0 {
			next.Seq = max(next.Seq, page.Items[n-1].Seq)
		}
		if more = page.NextCursor != ""; !more || s.rows >= uint64(cmp.Or(f.batch, batchRows)) {
			return more, f.load(s, next)
		}
		q := client.AuditQuery{
			Limit:   min(pageRows, cmp.Or(f.batch, pageRows)),
			Cursor:  page.NextCursor,
			FromSeq: max(f.After.Seq, f.seen) + 1,
		}
		page, err = f.page(ctx, q)
		if errors.Is(err, client.ErrCursorGone) {
			return true, f.load(s, next) // these rows are whole; the next round sees the switch
		}
		if err != nil {
			return false, errors.Join(err, s.abandon())
		}
	}
}

func (f *Feed) load(s *script, next Cursor) error {
	if err := s.load(f.Cluster, f.After, next, f.patterns); err != nil {
		return err
	}
	f.After, f.seen, f.asked = next, next.Seq, true
	if f.Batch != nil {
		f.Batch(s.rows, next)
	}
	return nil
}

// askPatterns reads the known shards and says whether they changed since the last batch.
func (f *Feed) askPatterns(ctx context.Context) (bool, error) {
	page, err := within(ctx, f, f.Source.KnownShards)
	if err != nil {
		return false, err
	}
	var all []string
	for _, k := range page.Items {
		all = append(all, k.Patterns...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	changed := !f.asked || !slices.Equal(all, f.patterns)
	f.patterns = all
	return changed, nil
}

// change brings the rows up to the cursor to what another generation says: those that it says otherwise, or all
// of them when the one of the cursor is gone and nobody knows any more which those are.
func (f *Feed) change(ctx context.Context, to uint32) error {
	before, err := f.switches(ctx, to)
	if err != nil {
		return err
	}
	if _, err := f.askPatterns(ctx); err != nil {
		return err
	}
	s := begin(f.To)
	switch {
	case f.Full:
		err = f.every(ctx, s, to)
	case before.kept(f.After.Generation):
		err = f.flipped(ctx, s, to)
	default:
		f.Said("Generation %d is gone: every row up to event %d is read again.", f.After.Generation, f.After.Seq)
		err = f.every(ctx, s, to)
	}
	if err == nil {
		var after *switches
		if after, err = f.switches(ctx, to); err == nil && !slices.Equal(before.activated, after.activated) {
			err = ErrSwitched // and back: what was read may be of the one in between
		}
	}
	if err != nil {
		return errors.Join(err, s.abandon())
	}
	f.Full = false
	return f.load(s, Cursor{to, f.After.Seq})
}

// switches are the generations as the log knows them.
type switches struct {
	items     []wire.GenerationAnswer
	activated []uint64 // events of all activations
}

// kept reports whether a generation can still be compared with the active one.
func (s *switches) kept(number uint32) bool {
	i := slices.IndexFunc(s.items, func(g wire.GenerationAnswer) bool { return g.Generation == number })
	return i >= 0 && s.items[i].State != wire.GenerationDropped
}

// switches reads the generations. It returns ErrSwitched if to is not the active one.
func (f *Feed) switches(ctx context.Context, to uint32) (*switches, error) {
	page, err := within(ctx, f, f.Source.Generations)
	if err != nil {
		return nil, err
	}
	s := &switches{items: page.Items}
	for _, g := range page.Items {
		s.activated = append(s.activated, g.Activated...)
	}
	slices.Sort(s.activated)
	switch from := f.After.Generation; {
	case !slices.ContainsFunc(page.Items, func(g wire.GenerationAnswer) bool { return g.Generation == from }):
		return nil, fmt.Errorf("this cluster has no generation %d: are the tables of another one?", from)
	case page.Active != to:
		return nil, ErrSwitched
	}
	return s, nil
}

// every adds all rows up to the cursor.
func (f *Feed) every(ctx context.Context, s *script, to uint32) error {
	q := client.AuditQuery{FromSeq: 1, ToSeq: f.After.Seq, Limit: pageRows}
	for f.After.Seq > 0 {
		page, err := f.page(ctx, q)
		if err != nil {
			return gone(err)
		}
		if page.Generation != to {
			return ErrSwitched
		}
		if err := s.all(page.Items); err != nil {
			return err
		}
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			return nil
		}
	}
	return nil
}

// flipped adds the rows up to the cursor that differ between the generation of the cursor and the active one.
func (f *Feed) flipped(ctx context.Context, s *script, to uint32) error {
	q := client.FlipsQuery{
		Generation: f.After.Generation,
		Position:   f.After.Seq,
		Limit:      pageRows,
		Read:       client.Read{MinSeq: f.fresh},
	}
	var rows []wire.AuditItem // read in one page, from the last flip that was looked up on
	for f.After.Seq > 0 {
		page, err := within(ctx, f, func(ctx context.Context) (*wire.FlipsPage, error) {
			return f.Source.FlipsPage(ctx, q)
		})
		if err != nil {
			return gone(err)
		}
		for _, flip := range page.Items {
			if rows, err = f.look(ctx, rows, flip.Seq, to); err != nil {
				return err
			}
			if err := s.row(&rows[0]); err != nil {
				return err
			}
		}
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			return nil
		}
	}
	return nil
}

// look gives the row of an event, and those behind it that were read with it.
func (f *Feed) look(ctx context.Context, rows []wire.AuditItem, seq uint64, to uint32) ([]wire.AuditItem, error) {
	if i := slices.IndexFunc(rows, func(r wire.AuditItem) bool { return r.Seq == seq }); i >= 0 {
		return rows[i:], nil
	}
	page, err := f.page(ctx, client.AuditQuery{FromSeq: seq, ToSeq: f.After.Seq, Limit: flipRows})
	switch {
	case err != nil:
		return nil, gone(err)
	case page.Generation != to:
		return nil, ErrSwitched
	case len(page.Items) == 0 || page.Items[0].Seq != seq:
		return nil, fmt.Errorf("event %d has flipped and is not in the list", seq)
	}
	return page.Items, nil
}

// gone makes a list that ended with its generation one to begin again.
func gone(err error) error {
	var p *wire.Problem
	if errors.Is(err, client.ErrCursorGone) || errors.As(err, &p) && p.Code == wire.CodeStale {
		return fmt.Errorf("%w: %w", ErrSwitched, err)
	}
	return err
}
