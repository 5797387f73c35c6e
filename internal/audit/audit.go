// Package audit writes the audit stream of one node: a file of JSON lines that records each response and its
// receiver, with rotation and retention. It never blocks a caller. It counts the lines that it could not write.
// It records no payload and no key, and deletes only files that it has rotated itself. The stream is a
// convenience for other systems: the ledger's log is authoritative.
package audit

import (
	"cmp"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

// Values of the member event.
const (
	EventSubmitted        = "pcs_submitted"
	EventSignatureFailure = "signature_failure"
	EventOperation        = "operation"
	EventAccessRefused    = "access_refused"
)

// Submission is the line of one submission. Its first eight members are those of the security overview.
type Submission struct {
	Timestamp string `json:"timestamp"` // time of the response, RFC 3339, UTC
	Event     string `json:"event"`     // pcs_submitted or signature_failure
	PCSID     string `json:"pcs_id"`
	ShardID   string `json:"shard_id"`
	Epoch     *int64 `json:"epoch"`   // null if the record has none that can be read
	Outcome   string `json:"outcome"` // accepted, escalated, refused, conflict; unavailable, unknown, error
	// the accepted flag of the response; an escalated record may have it
	Accepted  bool `json:"accepted"`
	Escalated bool `json:"escalated"`
	// of the response, such as ok, degraded, epoch_regression, bad_signature; empty if there was none
	ReasonCode     string     `json:"reason_code"`
	Replayed       bool       `json:"replayed"`         // an earlier outcome was repeated
	RecomputedDHat *nano.Nano `json:"recomputed_D_hat"` // null if it was not computed
	Seq            uint64     `json:"seq"`              // of the event that decided, 0 if there is none
	KeyID          string     `json:"key_id"`           // empty when no key verified it
	RequestID      string     `json:"request_id"`
	Policy         string     `json:"policy"`          // policy that judged, empty if none did
	Error          string     `json:"error,omitempty"` // problem code of a response that is neither 200 nor 202
}

// Operation is the line of one operation, done or rejected, or of a read that was denied.
type Operation struct {
	Timestamp string `json:"timestamp"`
	Event     string `json:"event"`            // operation, or access_refused for a read
	Actor     string `json:"actor"`            // name of the caller, if known
	Role      string `json:"role"`             // role under which it was done or tried
	Route     string `json:"route"`            // method and template, such as POST /v1/policies
	Target    string `json:"target,omitempty"` // what the path names, such as a key id
	Status    int    `json:"status"`
	OpID      string `json:"op_id"`
	RequestID string `json:"request_id"`
}

// Limits of a stream: lines that wait, bytes that are collected for one write.
const (
	queueLines = 8192
	batchBytes = 64 << 10
)

// Options of a stream. File and Logger must be set.
type Options struct {
	File     string        // where lines are appended
	MaxBytes int64         // a file that would exceed it is rotated, except for one line; 0 is never
	Keep     time.Duration // age at which a rotated file is deleted; 0 is never
	Logger   *slog.Logger
	Now      func() time.Time // nil is time.Now
}

// Stream is an open audit stream. A nil Stream is off: it accepts lines and drops them uncounted. It is safe
// for concurrent use.
type Stream struct {
	o      Options
	queue  chan any
	reopen chan struct{}
	stop   chan struct{}
	once   sync.Once // closes stop
	done   chan struct{}
	file   file

	written, dropped atomic.Uint64
}

// Open opens the file for appending and starts the writer.
func Open(o Options) (*Stream, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Stream{
		o:      o,
		queue:  make(chan any, queueLines),
		reopen: make(chan struct{}, 1),
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	if err := s.file.open(o.File); err != nil {
		return nil, err
	}
	s.sweep()
	go s.run()
	return s, nil
}

// Submission queues a line. It sets the timestamp and, if empty, the event.
func (s *Stream) Submission(l Submission) {
	if s == nil {
		return
	}
	l.Timestamp, l.Event = wire.Time(s.o.Now()), cmp.Or(l.Event, EventSubmitted)
	s.put(l)
}

// Operation queues a line. It sets the timestamp and, if empty, the event.
func (s *Stream) Operation(l Operation) {
	if s == nil {
		return
	}
	l.Timestamp, l.Event = wire.Time(s.o.Now()), cmp.Or(l.Event, EventOperation)
	s.put(l)
}

func (s *Stream) put(line any) {
	select {
	case s.queue <- line:
	default:
		s.dropped.Add(1)
	}
}

// Drop counts a line that the caller decided not to write.
func (s *Stream) Drop() {
	if s != nil {
		s.dropped.Add(1)
	}
}

// Stats returns the number of lines written and the number dropped because the queue was full or the file could
// not be written.
func (s *Stream) Stats() (written, dropped uint64) {
	if s == nil {
		return 0, 0
	}
	return s.written.Load(), s.dropped.Load()
}

// Reopen closes the file and opens it again under its name, for use after the file was moved away. It does not
// wait.
func (s *Stream) Reopen() {
	if s == nil {
		return
	}
	select {
	case s.reopen <- struct{}{}:
	default: // one is pending
	}
}

// Close writes the queued lines and closes the file. Later lines are lost.
func (s *Stream) Close() error {
	if s == nil {
		return nil
	}
	s.once.Do(func() { close(s.stop) })
	<-s.done
	return s.file.close()
}

// sweepEvery is the interval at which rotated files are checked if none is rotated.
const sweepEvery = time.Hour

func (s *Stream) run() {
	defer close(s.done)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case line := <-s.queue:
			s.write(line)
		case <-s.reopen:
			s.report(errors.Join(s.file.close(), s.file.open(s.o.File)))
		case <-tick.C:
			s.sweep()
		case <-s.stop:
			for len(s.queue) > 0 {
				s.write(<-s.queue)
			}
			return
		}
	}
}

// batch returns the number of bytes that are collected for one write, at most what fits in a file. One line may
// exceed it.
func (o Options) batch() int {
	if o.MaxBytes > 0 {
		return int(min(batchBytes, o.MaxBytes))
	}
	return batchBytes
}

// write writes a line together with the lines that wait behind it.
func (s *Stream) write(line any) {
	var batch []byte
	lines := uint64(0)
	for {
		text, err := json.Marshal(line)
		if err != nil {
			s.report(err)
			s.dropped.Add(1)
		} else {
			batch, lines = append(append(batch, text...), '\n'), lines+1
		}
		if len(batch) >= s.o.batch() || len(s.queue) == 0 {
			break
		}
		line = <-s.queue
	}
	var rotated error
	if s.o.MaxBytes > 0 && s.file.size > 0 && s.file.size+int64(len(batch)) > s.o.MaxBytes {
		rotated = s.file.rotate(s.o.Now()) // on failure the file keeps growing
		s.sweep()
	}
	err := s.file.append(batch)
	s.report(errors.Join(rotated, err))
	if err != nil {
		s.dropped.Add(lines)
		return
	}
	s.written.Add(lines)
}

// report logs the first error of a series of errors.
func (s *Stream) report(err error) {
	failed := err != nil
	if failed && !s.file.failed {
		s.o.Logger.Error("audit stream: the file cannot be written or rotated as it should", "file", s.o.File,
			"error", err)
	}
	s.file.failed = failed
}

func (s *Stream) sweep() {
	if s.o.Keep <= 0 {
		return
	}
	gone, err := sweep(s.o.File, s.o.Now().Add(-s.o.Keep))
	if len(gone) > 0 {
		s.o.Logger.Info("audit stream: old files deleted", "files", strings.Join(gone, " "))
	}
	if err != nil {
		s.o.Logger.Warn("audit stream: old files cannot be deleted", "error", err)
	}
}
