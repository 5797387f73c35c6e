package main

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// kind of a call.
type kind uint8

const (
	submission kind = iota
	reading         // linearizable
)

// answer holds the response to a call.
type answer uint8

const (
	unknown  answer = iota // of a submission: it may be committed now, later or never
	first                  // a submission's own outcome
	replay                 // of a submission, and of a reading: what was said before
	conflict               // other values than those that stand
	missing                // 404
)

var answerNames = [...]string{"no answer", "first", "replayed", "conflict", "not found"}

// call is one call of one client, between two moments in nanoseconds since the start.
type call struct {
	from, to int64
	id       int32 // number of the record; its pcs_id follows from it
	client   int16
	node     int8
	kind     kind
	wrong    bool // the variant that was sent: the values that are escalated
	answer   answer
	escal    bool   // the outcome that was told
	seq      uint64 // the event that was told
}

func (c call) String() string {
	what := "read"
	if c.kind == submission {
		what = "submit the right values"
		if c.wrong {
			what = "submit the wrong values"
		}
	}
	end := fmt.Sprintf("%9.3fs", seconds(c.to))
	if c.to == math.MaxInt64 {
		end = "      ever"
	}
	text := fmt.Sprintf("%9.3fs..%s client %-2d node-%d id-%d %s: %s", seconds(c.from), end, c.client, c.node+1, c.id,
		what, answerNames[c.answer])
	if c.seq == 0 {
		return text
	}
	outcome := "accepted"
	if c.escal {
		outcome = "escalated"
	}
	return fmt.Sprintf("%s, %s, seq %d", text, outcome, c.seq)
}

func seconds(ns int64) float64 { return float64(ns) / float64(time.Second) }

// history records what all clients saw. Calls that were told "not committed", and readings without an answer, are counted and left
// out: any trace of such a submission makes the check fail.
type history struct {
	began time.Time

	mu      sync.Mutex
	calls   []call
	refused []string // answers that a good record must not get

	ids      atomic.Int64 // records so far
	made     atomic.Int64 // calls
	definite atomic.Int64
	last     atomic.Int64 // when the last definite answer of a submission came
	longest  atomic.Int64 // the longest time without one since the last reset
}

func (h *history) now() int64 { return time.Since(h.began).Nanoseconds() }

// add keeps a call.
func (h *history) add(c call) {
	if c.answer != unknown {
		h.definite.Add(1)
	}
	if c.kind == submission && c.answer != unknown {
		h.progress()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, c)
}

// progress notes that the cluster has just taken something.
func (h *history) progress() {
	now := h.now()
	gap := now - h.last.Swap(now)
	for old := h.longest.Load(); gap > old && !h.longest.CompareAndSwap(old, gap); old = h.longest.Load() {
	}
}

// stall is the longest time without progress since the last call of stall.
func (h *history) stall() time.Duration {
	open := h.now() - h.last.Load()
	return time.Duration(max(h.longest.Swap(0), open))
}

func (h *history) refuse(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refused = append(h.refused, fmt.Sprintf(format, args...))
}

// all returns the calls so far.
func (h *history) all() []call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls[:len(h.calls):len(h.calls)]
}
