// Package logqueue keeps a writer that may block or fail, such as a pipe to a log collector, away from those who write.
// It refuses to wait and to fail: what finds no room is dropped and counted.
package logqueue

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultBytes is enough for some thousand lines, the burst of a bad minute.
const DefaultBytes = 4 << 20

// Queue is an io.Writer with a bounded queue and one goroutine behind it, which writes to the real writer.
type Queue struct {
	to      io.Writer
	max     int
	dropped atomic.Uint64
	wake    chan struct{} // has room for one
	idle    chan struct{} // closed while nothing waits and nothing is being written

	mu    sync.Mutex
	lines [][]byte
	held  int  // bytes in lines
	busy  bool // something waits or is being written
}

// New starts a queue of at most maxBytes in front of to. The goroutine lives as long as the process.
func New(to io.Writer, maxBytes int) *Queue {
	q := &Queue{to: to, max: maxBytes, wake: make(chan struct{}, 1), idle: make(chan struct{})}
	close(q.idle)
	go q.run()
	return q
}

// Write takes one line, or drops it when the queue is full. It never waits for the writer and never fails.
func (q *Queue) Write(line []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held+len(line) > q.max {
		q.dropped.Add(1)
		return len(line), nil
	}
	q.lines = append(q.lines, append([]byte(nil), line...))
	q.held += len(line)
	if !q.busy {
		q.busy, q.idle = true, make(chan struct{})
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return len(line), nil
}

// Dropped counts the lines that were not written: no room, or the writer failed.
func (q *Queue) Dropped() uint64 { return q.dropped.Load() }

// Flush waits until everything is written, no longer than limit. It tells whether everything is.
func (q *Queue) Flush(limit time.Duration) bool {
	q.mu.Lock()
	idle := q.idle
	q.mu.Unlock()
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-idle:
		return true
	case <-t.C:
		return false
	}
}

func (q *Queue) run() {
	var told uint64
	for range q.wake {
		for line := q.next(); line != nil; line = q.next() {
			if lost := q.dropped.Load(); lost > told && q.write(lostLine(lost-told)) {
				told = lost
			}
			if !q.write(line) {
				q.dropped.Add(1)
			}
		}
	}
}

// next takes the oldest line, nil when there is none.
func (q *Queue) next() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines) == 0 {
		if q.busy {
			q.busy, q.lines = false, nil
			close(q.idle)
		}
		return nil
	}
	line := q.lines[0]
	q.lines = q.lines[1:]
	q.held -= len(line)
	return line
}

func (q *Queue) write(line []byte) bool {
	_, err := q.to.Write(line)
	return err == nil // a reader that is gone is nobody's fault here
}

// lostLine tells the reader of the log, in the form of the other lines, that some are missing.
func lostLine(n uint64) []byte {
	return fmt.Appendf(nil,
		`{"time":%q,"level":%q,"msg":"lines of this log were dropped: its reader was away or too slow","dropped":%d}`+
			"\n",
		time.Now().Format(time.RFC3339Nano), slog.LevelWarn.String(), n)
}
