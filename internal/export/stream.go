package export

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

func sumBytes(b []byte) [32]byte { return sha256.Sum256(b) }

func sortFiles(files []File) {
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
}

// lines writes NDJSON into a sink.
type lines struct {
	*sink
	enc *json.Encoder
}

func (w *writer) lines(name string) (*lines, error) {
	s, err := newSink(w.tmp, name)
	if err != nil {
		return nil, err
	}
	return &lines{sink: s, enc: encoder(s)}, nil
}

// close ends the file and adds it to the manifest, unless there was an error.
func (w *writer) close(s *sink, err error) error {
	f, ended := s.end()
	w.m.Files = append(w.m.Files, f)
	return errors.Join(err, ended)
}

// events streams the events page by page, and verifies that they hash to the digest of the cluster.
func (w *writer) events() error {
	out, err := w.lines(EventsFile)
	if err != nil {
		return err
	}
	t, err := treeAt(w.m.Before)
	if err != nil {
		return w.close(out.sink, fmt.Errorf("%w: %w", ErrDiffers, err))
	}
	w.m.Counts.Kinds = map[string]uint64{}
	r, total := w.m.Range, w.m.Range.ToSeq-w.m.Range.FromSeq+1
	q := client.EventsQuery{From: r.FromSeq, To: r.ToSeq, Shard: r.Shard, Read: client.Read{MinSeq: r.ToSeq}}
	for q.From != 0 {
		items, next, err := w.eventsPage(q)
		if err != nil {
			return w.close(out.sink, err)
		}
		for i := range items {
			if err := w.addEvent(out, t, &items[i]); err != nil {
				return w.close(out.sink, err)
			}
		}
		if q.From = next; next == 0 {
			next = r.ToSeq + 1
		}
		w.Progress.tell(StageEvents, next-r.FromSeq, total)
	}
	switch got := hex.EncodeToString(t.root()); {
	case r.Shard != "":
	case t.size != r.ToSeq:
		err = fmt.Errorf("%w: the events end with %d, not with %d", ErrDiffers, t.size, r.ToSeq)
	case got != w.m.End.Log:
		err = fmt.Errorf("%w: the events hash to %s, and the digest at event %d is %s", ErrDiffers, got, r.ToSeq,
			w.m.End.Log)
	}
	return w.close(out.sink, err)
}

func (w *writer) eventsPage(q client.EventsQuery) (items []wire.EventAnswer, next uint64, err error) {
	items, err = call(w, func(ctx context.Context) ([]wire.EventAnswer, error) {
		var err error
		items, next, err = w.c.EventsPage(ctx, q)
		return items, err
	})
	if err == nil && next != 0 && next <= q.From {
		err = fmt.Errorf("%w: after event %d the list of events goes back to %d", ErrDiffers, q.From, next)
	}
	return items, next, err
}

func (w *writer) addEvent(out *lines, t *tree, e *wire.EventAnswer) error {
	leaf, err := hash(e.LeafHash)
	if err != nil {
		return fmt.Errorf("%w: event %d: %w", ErrDiffers, e.Seq, err)
	}
	if w.Shard == "" && e.Seq != t.size+1 {
		return fmt.Errorf("%w: event %d comes after event %d", ErrDiffers, e.Seq, t.size)
	}
	t.add(leaf)
	w.m.Counts.Events++
	w.m.Counts.Kinds[e.Kind]++
	return out.enc.Encode(EventOf(e))
}

// auditPage is the number of rows requested at once, the maximum of a page.
const auditPage = 1000

// verdicts streams the outcomes of the submissions as of the last event of the range. Later recounts do not
// change them, so the pages fit together whatever happens meanwhile.
func (w *writer) verdicts() error {
	out, err := w.lines(VerdictsFile)
	if err != nil {
		return err
	}
	s, err := newSink(w.tmp, RecordsFile)
	if err != nil {
		return w.close(out.sink, err)
	}
	table := newRecords(s)
	w.m.Counts.Outcomes = map[string]uint64{}
	r, total := w.m.Range, w.m.Counts.Kinds["submission"]
	q := client.AuditQuery{
		Shard:   r.Shard,
		FromSeq: r.FromSeq,
		ToSeq:   r.ToSeq,
		Limit:   auditPage,
		Read:    client.Read{AsOf: strconv.FormatUint(r.ToSeq, 10), MinSeq: r.ToSeq},
	}
	for more := true; more && err == nil; {
		more, err = w.verdictsPage(&q, out, table)
		w.Progress.tell(StageVerdicts, w.m.Counts.Submissions, total)
	}
	if err == nil && w.m.Counts.Submissions != total {
		err = fmt.Errorf("%w: %d answers to %d submissions", ErrDiffers, w.m.Counts.Submissions, total)
	}
	err = errors.Join(err, table.flush())
	return errors.Join(w.close(out.sink, err), w.close(s, nil))
}

// verdictsPage writes one page and moves the query to the next one.
func (w *writer) verdictsPage(q *client.AuditQuery, out *lines, table *records) (more bool, err error) {
	page, err := call(w, func(ctx context.Context) (*wire.AuditPage, error) { return w.c.AuditPage(ctx, *q) })
	if err != nil {
		return false, err
	}
	for i := range page.Items {
		if err := w.addVerdict(out, table, &page.Items[i]); err != nil {
			return false, err
		}
	}
	if page.NextCursor != "" && page.NextCursor == q.Cursor {
		return false, fmt.Errorf("%w: the list of answers does not go on after event %d", ErrDiffers, w.answered)
	}
	q.Cursor, q.MinSeq = page.NextCursor, max(q.MinSeq, page.AppliedSeq)
	return q.Cursor != "", nil
}

func (w *writer) addVerdict(out *lines, table *records, i *wire.AuditItem) error {
	if i.Seq <= w.answered || i.Seq > w.m.Range.ToSeq {
		return fmt.Errorf("%w: the answer to event %d comes after that to event %d", ErrDiffers, i.Seq, w.answered)
	}
	w.answered = i.Seq
	w.m.Counts.Submissions++
	w.m.Counts.Outcomes[i.Outcome]++
	w.page.count(i)
	return errors.Join(out.enc.Encode(i), table.add(i))
}

// operations streams the operations in the range, regardless of the shard.
func (w *writer) operations() error {
	out, err := w.lines(OperationsFile)
	if err != nil {
		return err
	}
	from := w.m.Range.FromSeq
	for from != 0 && from <= w.m.Range.ToSeq && err == nil {
		from, err = w.actsPage(out, from)
	}
	return w.close(out.sink, err)
}

// actsPage writes one page. It returns the event from which the next one begins, 0 after the last one.
func (w *writer) actsPage(out *lines, from uint64) (next uint64, err error) {
	page, err := call(w, func(ctx context.Context) (*wire.OperationsPage, error) {
		return w.c.OperationsPage(ctx, from, auditPage, client.Read{MinSeq: w.m.Range.ToSeq})
	})
	if err != nil {
		return 0, err
	}
	if page.NextSeq != 0 && page.NextSeq <= from {
		return 0, fmt.Errorf("%w: after event %d the list of operations goes back to %d", ErrDiffers, from, page.NextSeq)
	}
	for i := range page.Items {
		a := &page.Items[i]
		if a.Seq < from {
			return 0, fmt.Errorf("%w: the list of operations from event %d on has event %d", ErrDiffers, from, a.Seq)
		}
		if a.Seq > w.m.Range.ToSeq {
			return 0, nil
		}
		from = a.Seq + 1
		w.m.Counts.Operations++
		w.page.operation(a)
		if err := out.enc.Encode(a); err != nil {
			return 0, err
		}
	}
	return page.NextSeq, nil
}
