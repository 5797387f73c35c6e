package projections

import (
	"fmt"
	"slices"
)

// Earlier is a submission that another one depends on, with the outcome that the ledger states of it.
type Earlier struct {
	Item    Item
	Outcome Result
}

// noRows is a store without rows.
type noRows struct{}

func (noRows) Get([]byte) ([]byte, error) { return nil, nil }

func (noRows) Scan(_, _ []byte, _ bool, _ func(k, v []byte) bool) error { return nil }

func newScratch() *scratch { return &scratch{Store: noRows{}, rows: map[string][]byte{}} }

// ControlOf folds operators' events, of which others may be left out (Needed). Errors are those of Control.Fold.
func ControlOf(items []Item) (*Control, error) {
	c, tx := NewControl(), newScratch()
	for i := range items {
		if err := c.Fold(tx, &items[i]); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Reproduce judges a submission again, by the code of the fold, without the ledger around it: from its event, from
// the control state, and from the earlier submissions that Causes lists. stated is the outcome that the ledger
// states. Two parts of it are taken as they are, because they follow from all records of the shard: the
// high-water mark before the event, and the digest of the rows written beside this one. core is the core of the
// outcome row that follows. It differs from the stated one if anything else differs.
func Reproduce(it *Item, stated *Result, earlier []Earlier, view ControlView) (r Result, core []byte, err error) {
	s := newScratch()
	shard := shardRow{first: 1, last: 1, top: -1}
	if stated.HadMark {
		shard.hasMark, shard.mark, shard.markSeq = true, stated.MarkBefore, ^uint64(0) // no row can name that event
	}
	for i := range earlier {
		e := &earlier[i]
		if err := s.remember(e, shard.first, view); err != nil {
			return Result{}, nil, fmt.Errorf("event %d: %w", e.Item.Seq, err)
		}
		if o := &e.Outcome; o.ShardID == stated.ShardID && o.Occupied {
			shard.top = max(shard.top, o.Epoch)
			if o.Accepted && shard.hasMark && o.Epoch == shard.mark {
				shard.markSeq = o.Seq
			}
		}
	}
	if shard.hasMark || shard.top >= 0 {
		s.Set(textKey(spaceShard, stated.ShardID), shard.append(nil))
	}
	if r, err = Foretell(s, stated.Generation, it, view); err != nil {
		return Result{}, nil, err
	}
	r.wrote = stated.wrote
	return r, r.appendCore(nil), nil
}

// remember writes the rows that an earlier submission left behind.
func (t *scratch) remember(e *Earlier, shardNumber uint64, view ControlView) error {
	Prepare(&e.Item, nil, view)
	c, o := e.Item.Prepared, &e.Outcome
	switch {
	case c == nil:
		return fmt.Errorf("%w: no submission", ErrBadEvent)
	case c.Err != nil:
		return fmt.Errorf("%w: %w", ErrBadEvent, c.Err)
	case c.Rec.Fault != nil || c.Rec.PCSID != o.PCSID || c.Rec.CheckID() != nil:
		return fmt.Errorf("%w: the record is not the one of the outcome", ErrBadEvent)
	}
	id, err := parseHex(o.PCSID)
	if err != nil {
		return err
	}
	t.Set(numKey(spacePolicy, o.policySeq), o.Policy[:])
	t.Set(rowKey(o.Seq), o.appendTail(o.appendCore(nil)))
	if o.Occupied {
		w := idRow{first: o.FirstSeq, judged: o.Seq, judgedAt: o.LogTime, signed: c.Signed, inputs: c.Inputs,
			outcome: o.Outcome, accepted: o.Accepted, key: o.KeyID}
		t.Set(idKey(id), w.append(nil))
	}
	if o.Registered {
		root, err := parseHex(o.MerkleRoot)
		if err != nil {
			return err
		}
		t.Set(numKey(spaceEpoch, shardNumber, uint64(o.Epoch)), (&epochRow{root: root, seq: o.Seq}).append(nil))
	}
	return nil
}

// Causes lists the earlier submissions that the outcome r of a row depends on, oldest first: those that it names,
// and for a record that was judged again the judgement that stood before.
func Causes(s Store, r *Result) ([]Stated, error) {
	seqs := []uint64{r.FirstSeq, r.JudgedSeq, r.CausedBySeq}
	if r.Reverified {
		stood, err := stoodBefore(s, r)
		if err != nil {
			return nil, err
		}
		seqs = append(seqs, stood)
	}
	slices.Sort(seqs)
	var out []Stated
	for _, seq := range slices.Compact(seqs) {
		if seq == 0 || seq == r.Seq {
			continue
		}
		e, err := stateAt(s, seq)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// stoodBefore returns the last event before r that was judged as the occupant of its id.
func stoodBefore(s Store, r *Result) (uint64, error) {
	id, err := parseHex(r.PCSID)
	if err != nil {
		return 0, err
	}
	seq, failed := r.FirstSeq, error(nil)
	err = s.Scan(sameKey(id, r.FirstSeq), sameKey(id, r.Seq), true, func(k, _ []byte) bool {
		var other Result
		other, failed = readRow(s, seqOf(k))
		if failed == nil && other.Occupied {
			seq = other.Seq
		}
		return failed == nil && !other.Occupied
	})
	if err == nil {
		err = failed
	}
	return seq, err
}
