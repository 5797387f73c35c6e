package api

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/recount-ledger/recount/wire"
)

// Faults of the body of a batch.
var (
	errLongLine  = errors.New("the line is too long")         // the next line can be read
	errManyLines = errors.New("the batch has too many lines") // nothing more is read
	errLongBatch = errors.New("the batch has too many bytes") // nothing more is read
)

// lineBuffer is the size of the buffer through which a batch is read, in bytes. A line that fits is copied once.
const lineBuffer = 16 << 10

// readers keeps the buffers of batches that have ended.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, lineBuffer) }}

// lineReader reads the lines of a batch. A line ends with a line feed, before which one carriage return is taken
// off, or with the body. Lines of spaces, tabs and carriage returns only are skipped. They count as lines, so that the
// number of a line is what an editor shows. All other bytes belong to the record and are the ledger's to judge: a byte
// order mark, NUL, what is no JSON.
type lineReader struct {
	in      *bufio.Reader
	longest int64 // bytes of a record
	records int   // lines returned, with those that were too long
	number  int   // of the last line that was read
}

// next returns a copy of the next record. The error is io.EOF at the end of the body, errLongLine for a line that
// was skipped because of its size, errManyLines, or that of the body.
func (l *lineReader) next() ([]byte, error) {
	for {
		line, err := l.line()
		switch {
		case errors.Is(err, errLongLine):
		case err != nil:
			return nil, err
		case line == nil:
			continue
		}
		if l.records == wire.MaxBatchLines {
			return nil, errManyLines
		}
		l.records++
		return line, err
	}
}

// line reads one line and returns nil for a blank one.
func (l *lineReader) line() ([]byte, error) {
	part, err := l.in.ReadSlice('\n')
	switch {
	case err == nil, errors.Is(err, io.EOF) && len(part) > 0:
		l.number++
		line, err := l.record(part)
		return bytes.Clone(line), err
	case errors.Is(err, bufio.ErrBufferFull):
		l.number++
		return l.long(bytes.Clone(part))
	}
	return nil, err
}

// long reads the rest of a line that is larger than the buffer. It keeps no more of it than a record may have.
func (l *lineReader) long(line []byte) ([]byte, error) {
	tooLong := false
	for {
		part, err := l.in.ReadSlice('\n')
		if tooLong = tooLong || int64(len(line)+len(part)) > l.longest+int64(len("\r\n")); !tooLong {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		case tooLong:
			return nil, errLongLine
		}
		return l.record(line)
	}
}

// record returns the record in a line, nil if there is none.
func (l *lineReader) record(line []byte) ([]byte, error) {
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	switch {
	case int64(len(line)) > l.longest:
		return nil, errLongLine
	case len(bytes.Trim(line, " \t\r")) == 0:
		return nil, nil
	}
	return line, nil
}
