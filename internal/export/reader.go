package export

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// reader reads an NDJSON file line by line.
type reader[T any] struct {
	name string
	file *os.File
	scan *bufio.Scanner
	line int
}

func openLines[T any](dir, name string) (*reader[T], error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	r := &reader[T]{name: name, file: f, scan: bufio.NewScanner(f)}
	r.scan.Buffer(make([]byte, 64<<10), maxLine)
	return r, nil
}

// next gives the value of the next line, io.EOF behind the last. What is no such value is ErrFormat, and so is
// another text of it than an export has: with a member twice, or in capitals, two readers could find two
// values.
func (r *reader[T]) next() (*T, error) {
	if !r.scan.Scan() {
		if err := r.scan.Err(); errors.Is(err, bufio.ErrTooLong) {
			return nil, fmt.Errorf("%w: %s: line %d is longer than %d bytes", ErrFormat, r.name, r.line+1, maxLine)
		} else if err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	r.line++
	v := new(T)
	dec := json.NewDecoder(bytes.NewReader(r.scan.Bytes()))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if errors.Is(err, io.EOF) {
		err = errors.New("an empty line") // not the end of the file
	}
	if err == nil {
		err = onlyText(r.scan.Bytes(), v)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s, line %d: %w", ErrFormat, r.name, r.line, err)
	}
	return v, nil
}

// onlyText sees that a text is the one that an export has of a value.
func onlyText(text []byte, v any) error {
	var b bytes.Buffer
	if err := encoder(&b).Encode(v); err != nil {
		return err
	}
	if !bytes.Equal(bytes.TrimSuffix(b.Bytes(), []byte("\n")), text) {
		return errors.New("another text of the value than an export has")
	}
	return nil
}

// encoder writes lines of NDJSON.
func encoder(to io.Writer) *json.Encoder {
	enc := json.NewEncoder(to)
	enc.SetEscapeHTML(false)
	return enc
}
