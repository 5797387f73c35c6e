package restore

import (
	"errors"
	"fmt"
	"sort"

	"github.com/recount-ledger/recount/internal/fsm"
)

// lastSeq returns the last event that the options want to keep.
func (o *Options) lastSeq(l *ledger) (uint64, error) {
	last := l.derived.Cursor().Seq
	switch {
	case o.ToSeq != 0 && !o.ToTime.IsZero():
		return 0, errors.New("restore: give an event or a time, not both")
	case o.ToSeq != 0:
		return o.ToSeq, nil
	case o.ToTime.IsZero():
		return last, nil
	}
	// log time never goes back
	var failed error
	seq := uint64(sort.Search(int(last), func(i int) bool {
		it, err := l.derived.Item(uint64(i) + 1)
		failed = errors.Join(failed, err)
		return err != nil || it.LogTime > o.ToTime.UnixNano()
	}))
	if failed != nil {
		return 0, failed
	}
	if seq == 0 {
		return 0, fmt.Errorf("%w: its first event is later than %s", ErrRange, o.ToTime)
	}
	return seq, nil
}

// boundary returns the last entry that has no event behind seq. Entries are kept whole or not at all.
func (l *ledger) boundary(seq uint64) (index uint64, err error) {
	index, offset, err := l.derived.Locate(seq)
	if err != nil {
		return 0, err
	}
	switch next, _, err := l.derived.Locate(seq + 1); {
	case errors.Is(err, fsm.ErrNoEvent):
		return index, nil
	case err != nil:
		return 0, err
	case next != index:
		return index, nil
	}
	if uint64(offset)+1 >= seq {
		return 0, fmt.Errorf("%w: event %d is in the first entry, of which nothing can be cut", ErrRange, seq)
	}
	return index - 1, nil
}

// closeFolds closes what is folded and leaves the log open.
func (l *ledger) closeFolds() error {
	err := errors.Join(l.active.Close(), l.derived.Close())
	l.active, l.derived = nil, nil
	return err
}
