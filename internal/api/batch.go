package api

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// ndjsonTypes are the media types of a body of JSON lines. None of them is registered, so clients send all of them.
var ndjsonTypes = []string{wire.MediaNDJSON, "application/ndjson", "application/jsonl"}

// submitBatch accepts records, one a line, and responds with one line for each, in their order. It reads a group of
// lines, has it committed, and then reads on, so that a client cannot send faster than the ledger takes records. A
// batch of one group is answered in one piece. A larger one is answered while its later lines are read.
func (s *server) submitBatch(c echo.Context) error {
	s.follow(c, time.Now())
	b, err := s.beginBatch(c)
	if err == nil {
		defer b.close()
		err = b.run()
		explainBatch(c, b.lines.records)
	}
	if err != nil { // the batch is refused as a whole, and counts as one submission
		p := s.operationProblem(err, c)
		s.metrics.submission(problemLabel(p), p.Code, 0)
		return p
	}
	return nil
}

// batchCall is one request with a batch.
type batchCall struct {
	*server
	c      echo.Context
	ledger Batch
	remote string
	body   meteredBody
	lines  lineReader
	group  batchGroup // memory that all groups use
	over   error      // the address has used up its rate: no further line enters
	seq    uint64
	out    *batchAnswer // nil until an answer is sent in pieces
}

// batchEntry is one line of a group: a record for the ledger, or one that is refused here.
type batchEntry struct {
	line int
	err  error // nil for a record for the ledger
}

// batchGroup is a group of lines.
type batchGroup struct {
	entries []batchEntry
	bodies  [][]byte // of the entries for the ledger
	size    int
	first   int // number of the line behind the previous group
}

// beginBatch refuses a batch as a whole, before any of it is read, or begins it. The first record pays here.
func (s *server) beginBatch(c echo.Context) (*batchCall, error) {
	if err := checkMedia(c.Request().Header, ndjsonTypes...); err != nil {
		return nil, err
	}
	remote := c.RealIP()
	if err := s.allowAddress(remote); err != nil {
		return nil, err
	}
	if c.Request().ContentLength > s.maxBatch() {
		return nil, s.tooLarge(c, s.maxBatch())
	}
	ledger, err := s.Ledger.Submitter.Batch(Meta{RequestID: currentID(c), Remote: remote})
	if err != nil {
		return nil, err
	}
	b := &batchCall{server: s, c: c, ledger: ledger, remote: remote}
	b.body = meteredBody{Reader: io.LimitReader(c.Request().Body, s.maxBatch()+1), held: &s.bodies}
	b.lines = lineReader{in: readers.Get().(*bufio.Reader), longest: s.MaxBody}
	b.lines.in.Reset(&b.body)
	return b, nil
}

// maxBatch returns the largest body of a batch. A batch of one record of any size that is allowed fits.
func (s *server) maxBatch() int64 { return max(wire.MaxBatchBytes, s.MaxBody+int64(len("\r\n"))) }

// close gives back what the batch has taken, and waits until its response is sent.
func (b *batchCall) close() {
	b.lines.in.Reset(nil)
	readers.Put(b.lines.in)
	b.body.release()
	if b.out != nil {
		b.out.close()
	}
}

// run reads, submits and answers group after group. The error is nil once the response has begun.
func (b *batchCall) run() error {
	for {
		err := b.read(&b.group)
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return b.cut(err)
		case len(b.group.entries) == 0 && b.out == nil:
			return emptyBody()
		}
		b.decide(b.c)
		text := b.submit(&b.group)
		if err != nil && b.out == nil {
			b.whole(text)
			return nil
		}
		if b.out == nil {
			b.out = b.stream()
		}
		if !b.out.send(text) || err != nil {
			return nil
		}
	}
}

// read reads the next group. err is nil if more may come, io.EOF with the last group, or the fault of the body, which
// leaves the lines of the group without an answer.
func (b *batchCall) read(g *batchGroup) error {
	if b.out != nil { // the server's own limit is for the first group
		// The connection may not support deadlines.
		_ = b.out.control.SetReadDeadline(time.Now().Add(readTimeout))
	}
	*g = batchGroup{entries: g.entries[:0], bodies: g.bodies[:0], first: b.lines.number + 1}
	for len(g.entries) < GroupRecords && g.size < GroupBytes {
		line, err := b.lines.next()
		if b.body.took > b.maxBatch() {
			return errLongBatch
		}
		if err != nil && !errors.Is(err, errLongLine) {
			return err
		}
		b.add(g, line, err)
		if b.lines.records == wire.MaxBatchLines {
			break // what fits is answered, whatever comes
		}
	}
	if b.body.took == b.c.Request().ContentLength && b.lines.in.Buffered() == 0 {
		return io.EOF
	}
	return nil
}

// add appends a line to a group. Each record after the first draws from the rate of its address. Once there is
// nothing left, no later line of the batch enters: it would overtake the others.
func (b *batchCall) add(g *batchGroup, line []byte, err error) {
	if err != nil {
		err = wire.NewProblem(wire.CodeTooLarge, fmt.Sprintf("the line is larger than %d bytes", b.lines.longest))
	}
	if b.over == nil && b.lines.records > 1 {
		b.over = b.allowAddress(b.remote)
	}
	if err == nil {
		err = b.over
	}
	g.entries = append(g.entries, batchEntry{b.lines.number, err})
	if err == nil {
		g.bodies, g.size = append(g.bodies, line), g.size+len(line)
	}
}

// submit gives a group to the ledger and returns the lines that answer it.
func (b *batchCall) submit(g *batchGroup) []byte {
	start := time.Now()
	var results []Submitted
	if len(g.bodies) > 0 {
		results = b.ledger.Submit(watchOf(b.c).In(b.deadlines.at(start)), g.bodies)
	}
	took := time.Since(start)
	text := make([]byte, 0, lineSize*len(g.entries))
	for _, e := range g.entries {
		r := Submitted{Err: e.err}
		if e.err == nil {
			r, results = results[0], results[1:]
		}
		text = b.appendLine(text, e.line, r, took)
	}
	b.body.release()
	return text
}

// lineSize is room for the text of nearly every line.
const lineSize = answerSize + len(`{"line":10000,"status":200`)

// appendLine appends the line that answers a record, and counts the record.
func (b *batchCall) appendLine(text []byte, line int, r Submitted, took time.Duration) []byte {
	if err := neither(r.Answer, r.Err); err != nil {
		p := b.problemFor(b.operationProblem(err, b.c), b.c)
		b.metrics.submission(problemLabel(&p), p.Code, took)
		return b.appendProblem(text, wire.BatchLine{Line: line}, p)
	}
	status, label := statusOf(r.Answer)
	b.metrics.submission(label, "", took)
	b.seq = max(b.seq, r.Answer.Seq)
	text = strconv.AppendInt(append(text, `{"line":`...), int64(line), 10)
	text = strconv.AppendInt(append(text, `,"status":`...), int64(status), 10)
	at := len(text)
	text = appendAnswer(text, r.Answer)
	text[at] = ',' // in place of the brace
	return append(text, '\n')
}

func (b *batchCall) appendProblem(text []byte, l wire.BatchLine, p wire.Problem) []byte {
	text = strconv.AppendInt(append(text, `{"line":`...), int64(l.Line), 10)
	if l.Unread {
		text = append(text, `,"unread":true`...)
	}
	at := len(text)
	text = append(text, b.problemText(p)...)
	text[at] = ','
	return append(text, '\n')
}

// cut ends a batch whose body cannot be read on. If none of it has an answer, it is refused as a whole. Otherwise the
// last line of the response says so.
func (b *batchCall) cut(err error) error {
	var p *wire.Problem
	switch {
	case errors.Is(err, errManyLines):
		p = wire.NewProblem(wire.CodeTooLarge, fmt.Sprintf("a batch has at most %d records", wire.MaxBatchLines))
	case errors.Is(err, errLongBatch):
		p = wire.NewProblem(wire.CodeTooLarge, fmt.Sprintf("a batch has at most %d bytes", b.maxBatch()))
	default:
		p = unreadable(err)
	}
	if b.out == nil {
		return p
	}
	b.out.send(b.appendProblem(nil, wire.BatchLine{Line: b.group.first, Unread: true}, b.problemFor(p, b.c)))
	if p.Code == wire.CodeTooLarge { // most clients read no response before they have sent everything
		_, _ = io.CopyN(io.Discard, b.c.Request().Body, 4*b.MaxBody)
	}
	return nil
}

// whole sends the response in one piece.
func (b *batchCall) whole(text []byte) {
	h := b.header()
	h.Set(echo.HeaderContentLength, strconv.Itoa(len(text)))
	if err := b.c.Blob(http.StatusOK, wire.MediaNDJSON, text); err != nil {
		b.Logger.Debug("answer not sent", "error", err, "request_id", currentID(b.c))
	}
}

// header completes the header of the response as far as it is known when the response begins.
func (b *batchCall) header() http.Header {
	at := b.Ledger.Views.Position()
	at.AppliedSeq = max(at.AppliedSeq, b.seq)
	setPosition(b.c, at)
	return b.c.Response().Header()
}
