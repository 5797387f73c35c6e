package log

// tail holds the most recent entries, contiguous and bounded in bytes.
type tail struct {
	limit int
	bytes int
	head  int // records[:head] are dropped
	recs  []record
}

func (t *tail) push(r record) {
	t.recs = append(t.recs, r)
	t.bytes += r.size()
	for t.bytes > t.limit && t.head < len(t.recs) {
		t.bytes -= t.recs[t.head].size()
		t.recs[t.head] = record{}
		t.head++
	}
	if t.head > 64 && t.head > len(t.recs)/2 {
		n := copy(t.recs, t.recs[t.head:])
		clear(t.recs[n:])
		t.recs, t.head = t.recs[:n], 0
	}
}

// from returns the held records starting with index, or nil if index is not held. The slice is valid while the
// store's lock is held.
func (t *tail) from(index uint64) []record { return window(t.recs[t.head:]).from(index) }

// cut drops the records from index on.
func (t *tail) cut(index uint64) {
	for n := len(t.recs); n > t.head && t.recs[n-1].Index >= index; n-- {
		t.bytes -= t.recs[n-1].size()
		t.recs[n-1] = record{}
		t.recs = t.recs[:n-1]
	}
}

// window is a run of consecutive records.
type window []record

func (w window) from(index uint64) []record {
	if len(w) == 0 || index < w[0].Index || index-w[0].Index >= uint64(len(w)) {
		return nil
	}
	return w[index-w[0].Index:]
}

// ahead caches entries for the last few sequential readers, because Raft's catch-up reads entries one by one.
type ahead struct {
	windows [4]window
	next    int
}

const (
	aheadEntries = 64
	aheadBytes   = 4 << 20
)

func (a *ahead) get(index uint64) (record, bool) {
	for _, w := range a.windows {
		if rs := w.from(index); rs != nil {
			return rs[0], true
		}
	}
	return record{}, false
}

// sequential reports whether index follows a window, and returns the slot of that window.
func (a *ahead) sequential(index uint64) (slot int, ok bool) {
	for i, w := range a.windows {
		if len(w) > 0 && w[len(w)-1].Index+1 == index {
			return i, true
		}
	}
	return 0, false
}

func (a *ahead) put(w window) {
	slot, ok := a.sequential(w[0].Index)
	if !ok {
		slot = a.next
		a.next = (a.next + 1) % len(a.windows)
	}
	a.windows[slot] = w
}
