package fsm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/projections"
)

// Keyspaces of history/. A key is one byte followed by the fields listed here.
const (
	spaceChange = 'a' // seq of the activation u64: summary
	spaceFlipOf = 'h' // seq of the activation u64, seq of the submission u64: flip row
	spaceOfID   = 'i' // pcs_id 32, seq of the activation u64, seq of the submission u64: nothing
)

// History permanently records what changed at every activation. Each activation is written once, synced, and
// checked against the digest in the log. Generations may be dropped afterwards.
type History struct {
	store *Store
	lost  error // ErrDamaged: the store cannot be opened, and is nil

	mu      sync.Mutex
	checked map[uint64]bool // activations whose flips were read back
}

// Change summarizes the record of one activation.
type Change struct {
	Seq, Flips uint64
	Digest     [32]byte // running digest of the flips
}

// OpenHistory opens or creates history/ in dir. If its files cannot be read, OpenHistory succeeds and Damage
// returns the reason.
func OpenHistory(fs vfs.FS, dir string, logger *slog.Logger, damaged func(error)) (*History, error) {
	s, err := openStore(fs, dir, logger, damaged, true)
	if err != nil && Rebuildable(err) {
		return &History{lost: fmt.Errorf("%w: %w", ErrDamaged, err)}, nil
	}
	if err != nil {
		return nil, err
	}
	return &History{store: s, checked: map[uint64]bool{}}, nil
}

// Close closes the store.
func (h *History) Close() error {
	if h.store == nil {
		return nil
	}
	return h.store.Close()
}

// Damage returns the reason why the history cannot be read, or nil. With damage, every call returns ErrDamaged.
func (h *History) Damage() error {
	if h.store == nil {
		return h.lost
	}
	return h.store.Damage()
}

// met treats a row that cannot be right as damage of the store, as an unreadable block is.
func (h *History) met(err error) error {
	if errors.Is(err, projections.ErrCorrupt) && !errors.Is(err, ErrDamaged) {
		return h.store.note(err)
	}
	return err
}

// Change returns the summary of the activation at seq. ok is false if nothing is recorded.
func (h *History) Change(seq uint64) (c Change, ok bool, err error) {
	if err := h.Damage(); err != nil {
		return Change{}, false, err
	}
	v := h.store.Snapshot()
	defer v.Close()
	b, err := v.Get(binary.BigEndian.AppendUint64([]byte{spaceChange}, seq))
	if err != nil || b == nil {
		return Change{}, false, err
	}
	if len(b) != 1+8+32 || b[0] != 1 {
		return Change{}, false, h.met(fmt.Errorf("history of the activation at %d: %w", seq, projections.ErrCorrupt))
	}
	c = Change{Seq: seq, Flips: binary.BigEndian.Uint64(b[1:]), Digest: [32]byte(b[9:])}
	return c, true, h.met(h.check(v, c))
}

// check reads back, once in the life of the process, the flips that a summary describes.
func (h *History) check(v *View, c Change) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.checked[c.Seq] {
		return nil
	}
	prefix := binary.BigEndian.AppendUint64([]byte{spaceFlipOf}, c.Seq)
	got := Change{Seq: c.Seq}
	var failed error
	err := v.Scan(prefix, binary.BigEndian.AppendUint64([]byte{spaceFlipOf}, c.Seq+1), false, func(k, row []byte) bool {
		var f projections.Flip
		if len(k) != 17 {
			failed = projections.ErrCorrupt
		} else if f, failed = projections.DecodeFlip(binary.BigEndian.Uint64(k[9:]), row); failed == nil {
			f.Chain(got.Digest)
			got.Flips, got.Digest = got.Flips+1, f.Digest
		}
		return failed == nil
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	if got != c {
		return fmt.Errorf("history of the activation at %d: %d of %d flips are there: %w", c.Seq, got.Flips,
			c.Flips, projections.ErrCorrupt)
	}
	h.checked[c.Seq] = true
	return nil
}

// historyBatch is the maximum number of flips in one synced write. The last one also writes the summary.
const historyBatch = 10_000

// Record copies the flips of a comparison up to the activation at seq.
func (h *History) Record(c *Comparison, seq uint64) (Change, error) {
	if err := h.Damage(); err != nil {
		return Change{}, err
	}
	v := c.new.View()
	defer v.Close()
	if err := c.check(v); err != nil {
		return Change{}, err
	}
	sum := Change{Seq: seq}
	tx := h.store.begin(0)
	var failed error
	err := projections.EachFlip(v, 1, seq, func(f *projections.Flip) bool {
		key := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte{spaceFlipOf}, seq), f.Seq)
		tx.Set(key, f.Append(nil))
		if id, err := hex.DecodeString(f.New.PCSID); err == nil && len(id) == 32 {
			tx.Set(append(append([]byte{spaceOfID}, id...), key[1:]...), nil)
		}
		sum.Flips, sum.Digest = sum.Flips+1, f.Digest
		if sum.Flips%historyBatch == 0 {
			failed = tx.commitSync()
			tx = h.store.begin(0)
		}
		return failed == nil
	})
	if err = errors.Join(err, failed); err != nil {
		return Change{}, err
	}
	row := binary.BigEndian.AppendUint64([]byte{1}, sum.Flips)
	tx.Set(binary.BigEndian.AppendUint64([]byte{spaceChange}, seq), append(row, sum.Digest[:]...))
	return sum, tx.commitSync()
}

// Recorded is one flip with the activation that it belongs to.
type Recorded struct {
	Activation uint64
	Flip       projections.Flip
}

// Of returns the records of a pcs_id (64 hex digits) up to the activation at seq upTo, by activation and submission:
// the newest ones, at most limit.
func (h *History) Of(pcsID string, upTo uint64, limit int) ([]Recorded, error) {
	id, err := hex.DecodeString(pcsID)
	if err != nil || len(id) != 32 {
		return nil, nil
	}
	if err := h.Damage(); err != nil {
		return nil, err
	}
	v := h.store.Snapshot()
	defer v.Close()
	prefix := append([]byte{spaceOfID}, id...)
	end := append(binary.BigEndian.AppendUint64(bytes.Clone(prefix), upTo), bytes.Repeat([]byte{0xff}, 9)...)
	var keys [][]byte
	err = v.Scan(prefix, end, true, func(k, _ []byte) bool {
		keys = append(keys, append([]byte{spaceFlipOf}, k[len(prefix):]...))
		return len(keys) < limit
	})
	if err != nil {
		return nil, err
	}
	slices.Reverse(keys)
	out := make([]Recorded, len(keys))
	for i, k := range keys {
		b, err := v.Get(k)
		if err != nil {
			return nil, err
		}
		out[i].Activation = binary.BigEndian.Uint64(k[1:])
		if out[i].Flip, err = projections.DecodeFlip(binary.BigEndian.Uint64(k[9:]), b); err != nil {
			return nil, h.met(err)
		}
	}
	return out, nil
}

// Complete returns the pcs_ids with this prefix that an activation changed, in order, at most limit.
func (h *History) Complete(prefix string, limit int) ([]string, error) {
	lo, hi, ok := projections.HexRange(prefix)
	if !ok {
		return nil, nil
	}
	if err := h.Damage(); err != nil {
		return nil, err
	}
	v := h.store.Snapshot()
	defer v.Close()
	var ids []string
	// one seek for each id, however often it was changed
	for from := append([]byte{spaceOfID}, lo[:]...); len(ids) < limit; {
		found := false
		end := append(append([]byte{spaceOfID}, hi[:]...), bytes.Repeat([]byte{0xff}, 17)...)
		err := v.Scan(from, end, false, func(k, _ []byte) bool {
			ids = append(ids, hex.EncodeToString(k[1:33]))
			from = append(bytes.Clone(k[:33]), bytes.Repeat([]byte{0xff}, 17)...)
			found = true
			return false
		})
		if err != nil || !found {
			return ids, err
		}
	}
	return ids, nil
}

// HistoryView is a snapshot of the history. The caller closes it.
type HistoryView struct{ v *View }

// View returns a snapshot, for many reads.
func (h *History) View() *HistoryView { return &HistoryView{v: h.store.Snapshot()} }

// Close releases the view.
func (h *HistoryView) Close() { h.v.Close() }

// Flip returns the change that an activation made to submission seq. ok is false if it made none.
func (h *HistoryView) Flip(activation, seq uint64) (f projections.Flip, ok bool, err error) {
	key := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte{spaceFlipOf}, activation), seq)
	b, err := h.v.Get(key)
	if err != nil || b == nil {
		return f, false, err
	}
	f, err = projections.DecodeFlip(seq, b)
	return f, err == nil, err
}

// EachFlip calls fn for the changes that an activation made to submissions from <= seq <= to, until fn returns false.
func (h *HistoryView) EachFlip(activation, from, to uint64, fn func(*projections.Flip) bool) error {
	key := func(seq uint64) []byte {
		k := binary.BigEndian.AppendUint64([]byte{spaceFlipOf}, activation)
		return binary.BigEndian.AppendUint64(k, seq)
	}
	var failed error
	err := h.v.Scan(key(from), append(key(to), 0), false, func(k, row []byte) bool {
		var f projections.Flip
		if f, failed = projections.DecodeFlip(binary.BigEndian.Uint64(k[9:]), row); failed != nil {
			return false
		}
		return fn(&f)
	})
	return errors.Join(err, failed)
}
