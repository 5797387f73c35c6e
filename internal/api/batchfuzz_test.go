package api

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/recount-ledger/recount/wire"
)

// readLines reads a body as a batch. A record that is too long is given as "?".
func readLines(in io.Reader, longest int64) (records []string, numbers []int, err error) {
	l := lineReader{in: bufio.NewReaderSize(in, 16), longest: longest}
	for {
		line, err := l.next()
		switch {
		case errors.Is(err, errLongLine):
			line = []byte("?")
		case errors.Is(err, io.EOF):
			return records, numbers, nil
		case err != nil:
			return records, numbers, err
		}
		records, numbers = append(records, string(line)), append(numbers, l.number)
	}
}

// plainLines does the same with the whole body at once.
func plainLines(body string, longest int) (records []string, numbers []int) {
	for i, line := range strings.Split(body, "\n") {
		line = strings.TrimSuffix(line, "\r")
		switch {
		case len(line) > longest:
			line = "?"
		case strings.Trim(line, " \t\r") == "":
			continue
		}
		records, numbers = append(records, line), append(numbers, i+1)
	}
	return records, numbers
}

// FuzzLineReader: the reader of lines finds what strings.Split finds, in whatever pieces the body comes.
func FuzzLineReader(f *testing.F) {
	for _, body := range []string{
		"", "\n", "{}", "{}\n", "{}\r\n", "\r", "\r\r\n", " \t\n{}", "{}\n\n{}\n", "\ufeff{}\n", "\x00\n\x00", "a\rb\n",
		strings.Repeat("x", 15) + "\n", strings.Repeat("x", 16) + "\r\n", strings.Repeat("x", 39) + "\r", strings.Repeat("y", 200) + "\n{}",
		strings.Repeat(" ", 41) + "\n1", "\u2028", strings.Repeat("x", 40), strings.Repeat("x", 40) + "\r\n", strings.Repeat("x", 41),
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		const longest = 40
		want, at := plainLines(body, longest)
		for _, in := range []io.Reader{
			strings.NewReader(body), iotest.OneByteReader(strings.NewReader(body)), iotest.DataErrReader(strings.NewReader(body)),
			iotest.HalfReader(strings.NewReader(body)),
		} {
			got, numbers, err := readLines(in, longest)
			if len(want) > wire.MaxBatchLines {
				if !errors.Is(err, errManyLines) {
					t.Fatalf("%d lines: %v", len(want), err)
				}
				continue
			}
			if err != nil || len(got) != len(want) {
				t.Fatalf("%q, want %q: %v", got, want, err)
			}
			for i := range got {
				if got[i] != want[i] || numbers[i] != at[i] {
					t.Errorf("line %d: %q, want %q in line %d", numbers[i], got[i], want[i], at[i])
				}
			}
		}
		if len(body) > 0 {
			cut := io.MultiReader(strings.NewReader(body[:len(body)/2]), iotest.ErrReader(io.ErrUnexpectedEOF))
			if _, _, err := readLines(cut, longest); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("cut: %v", err)
			}
		}
	})
}

// TestLinesAreCopies: a record stays as it is while later lines are read.
func TestLinesAreCopies(t *testing.T) {
	var body bytes.Buffer
	for i := range 50 {
		body.WriteString(strings.Repeat(string(rune('a'+i%26)), 1+i) + "\n")
	}
	l := lineReader{in: bufio.NewReaderSize(&body, 16), longest: 100}
	var all [][]byte
	for {
		line, err := l.next()
		if err != nil {
			break
		}
		all = append(all, line)
	}
	for i, line := range all {
		if string(line) != strings.Repeat(string(rune('a'+i%26)), 1+i) {
			t.Errorf("line %d became %q", i+1, line)
		}
	}
	if len(all) != 50 {
		t.Errorf("%d lines", len(all))
	}
}
