package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/corpus"
)

// request is one line of the input: a record as it stands, or a corpus line.
type request struct {
	line     int
	id       string // of the corpus line, else the pcs_id
	orderKey string // requests with one key keep their order
	http     client.Request
	expect   *corpus.Expect // nil for plain records
}

// interruptible reads until the context ends, also when nothing comes: a read of a terminal or a pipe cannot be
// cancelled, so it stays behind on a goroutine of its own.
type interruptible struct {
	ctx    context.Context
	from   io.Reader
	answer chan []byte // of the read under way, nil when there is none
	err    error       // of the last read, to be read after answer
	rest   []byte
}

func (r *interruptible) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.answer == nil {
			if r.err != nil {
				return 0, r.err
			}
			r.answer = make(chan []byte, 1)
			go func(answer chan<- []byte) {
				buf := make([]byte, 64<<10)
				n, err := r.from.Read(buf)
				r.err = err
				answer <- buf[:n]
			}(r.answer)
		}
		select {
		case r.rest = <-r.answer:
			r.answer = nil
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
	}
	n := copy(p, r.rest)
	if r.rest = r.rest[n:]; n == 0 && len(p) > 0 {
		return 0, r.err
	}
	return n, nil
}

// openInput opens a file that is to be read through. What cannot be read is wrong usage, found before anything
// is sent or printed.
func openInput(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, usagef("%w", err)
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.Join(usagef("%s is a directory", name), f.Close())
	}
	return f, nil
}

// readRequests calls fn for every JSON object of the input, with its bytes as they stand: one document on many
// lines, an array, or one object a line. Input that is not JSON ends it, and so does an error of fn. done
// completes the texts of errors: "sent".
func readRequests(r io.Reader, done string, fn func(request) error) error {
	in := bufio.NewReaderSize(r, 1<<20)
	array, err := startsArray(in)
	if err != nil {
		return err
	}
	lines := &lineCounter{from: in}
	dec := json.NewDecoder(lines)
	if array {
		if _, err := dec.Token(); err != nil {
			return err
		}
	}
	for n := 0; !array || dec.More(); n++ {
		var text json.RawMessage
		switch err := dec.Decode(&text); {
		case errors.Is(err, io.EOF) && !array:
			return nil
		case err != nil:
			return notJSON(lines.atError(err), n, done, err)
		}
		line := lines.at(dec.InputOffset() - int64(len(text)))
		if text[0] != '{' {
			return notJSON(line, n, done, errNoObject)
		}
		j, err := parseRequest(line, text)
		if err != nil {
			return err
		}
		if err := fn(j); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return usagef("line %d: the array does not end; what it holds so far was %s: %w", lines.atError(err), done, err)
	}
	return nil
}

// startsArray looks at the first byte that is no blank.
func startsArray(in *bufio.Reader) (bool, error) {
	for n := 1; ; n++ {
		switch b, err := in.Peek(n); {
		case len(b) == n && bytes.IndexByte([]byte(" \t\r\n"), b[n-1]) < 0:
			return b[n-1] == '[', nil
		case errors.Is(err, io.EOF), errors.Is(err, bufio.ErrBufferFull):
			return false, nil
		case err != nil:
			return false, err
		}
	}
}

var errNoObject = errors.New("another value")

// notJSON names the line where the input stops being records. An error of reading stays what it is.
func notJSON(line, before int, done string, err error) error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errNoObject) {
		return fmt.Errorf("line %d: %w", line, err)
	}
	what := "nothing was " + done
	if before > 0 {
		what = fmt.Sprintf("the %d before it were %s", before, done)
	}
	return &codedError{exitUsage, fmt.Errorf("line %d: this is no JSON object (%w); %s", line, err, what),
		"A file of records is one JSON document, an array of them, or one a line."}
}

// lineCounter knows in which line of the input an offset is. Offsets are asked for in ascending order.
type lineCounter struct {
	from io.Reader
	read int64
	ends []int64 // offsets of line feeds that at has not passed
	line int     // lines that at has passed
}

func (l *lineCounter) Read(p []byte) (int, error) {
	n, err := l.from.Read(p)
	for i, b := range p[:n] {
		if b == '\n' {
			l.ends = append(l.ends, l.read+int64(i))
		}
	}
	l.read += int64(n)
	return n, err
}

func (l *lineCounter) at(offset int64) int {
	for len(l.ends) > 0 && l.ends[0] < offset {
		l.ends = l.ends[1:]
		l.line++
	}
	return l.line + 1
}

// atError is the line in which the input stops being JSON.
func (l *lineCounter) atError(err error) int {
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return l.at(syntax.Offset)
	}
	return l.at(l.read - 1)
}

// parseRequest takes a line with body or parts and without pcs_id for a corpus line and sends anything else as it
// is: whether it is a record is for the node to say.
func parseRequest(n int, text []byte) (request, error) {
	j := request{line: n, http: client.Request{Method: http.MethodPost, Path: client.SubmitPath, Body: text}}
	var c corpus.Line
	err := json.Unmarshal(text, &c)
	if err != nil || c.PCSID != "" || c.Body == nil && c.Parts == nil {
		j.id, j.orderKey = c.PCSID, c.ShardID
		return j, nil
	}
	body, err := c.Bytes()
	if err != nil {
		return j, usagef("line %d (%s): %w", n, c.ID, err)
	}
	j.id, j.orderKey, j.expect = c.ID, c.Group, c.Expect
	j.http.Body, j.http.Header, j.http.Chunked = body, c.Headers, c.Chunked
	j.http.Method = cmp.Or(c.Method, http.MethodPost)
	j.http.Path = cmp.Or(c.Path, client.SubmitPath)
	if j.orderKey == "" {
		var record struct {
			ShardID string `json:"shard_id"`
		}
		if json.Unmarshal(body, &record) == nil { // a body that is no record has no order to keep
			j.orderKey = record.ShardID
		}
	}
	return j, nil
}
