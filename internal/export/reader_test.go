package export

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLines: a line is the one text of its value, and the number of the line is in the error.
func TestLines(t *testing.T) {
	type item struct {
		A string `json:"a"`
		B uint64 `json:"b,omitempty"`
	}
	for text, want := range map[string]string{
		"":                                           "",
		"{\"a\":\"x\"}\n":                            "x",
		"{\"a\":\"x\"}":                              "x",
		"{\"a\":\"<&>\"}\n":                          "<&>",
		"{\"a\":\"\\u003c\"}\n":                      "line 1",
		"{\"a\":\"1\"}\n{\"a\":2}":                   "1 line 2",
		"{\"a\":\"1\"}\n\n":                          "1 line 2",
		"\n{\"a\":\"1\"}\n":                          "line 1",
		"{\"a\":\"1\"}\n{\"a\":\"2\",\"b\":1}\n":     "1 2",
		"{\"a\":\"1\",\"b\":0}\n":                    "line 1",
		"{\"a\":\"1\",\"a\":\"2\"}\n":                "line 1",
		"{\"A\":\"1\"}\n":                            "line 1",
		"{\"a\":\"1\",\"c\":2}\n":                    "line 1",
		"{\"a\":\"1\"}{\"a\":\"2\"}\n":               "line 1",
		"{\"a\": \"1\"}\n":                           "line 1",
		"{\"a\":\"1\"} \n":                           "line 1",
		"{\"a\":\"1\"}\r\n":                          "1", // bufio.ScanLines takes a carriage return away
		"{\"a\":\"\xff\"}\n":                         "line 1",
		"{\"a\":\"1\",\"b\":1e0}\n":                  "line 1",
		"{\"a\":\"1\",\"b\":-1}\n":                   "line 1",
		"{\"a\":\"1\",\"b\":18446744073709551616}\n": "line 1",
		"{\"a\":\"1\",\"b\":18446744073709551615}\n": "1",
		"null\n":         "line 1",
		"[]\n":           "line 1",
		"{}\n":           "line 1",
		"{\"a\":\"1\"\n": "line 1",
	} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "x.ndjson"), []byte(text), 0o600))
		r, err := openLines[item](dir, "x.ndjson")
		must(t, err)
		var got []string
		for {
			v, err := r.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "x.ndjson, line ") {
					t.Errorf("%q: %v", text, err)
				}
				got = append(got, fmt.Sprintf("line %d", r.line))
				break
			}
			got = append(got, v.A)
		}
		r.file.Close()
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if _, err := openLines[item](t.TempDir(), "x.ndjson"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestEmptyLine: behind an empty line there may be lies, so it is no end of a file.
func TestEmptyLine(t *testing.T) {
	for _, name := range []string{EventsFile, VerdictsFile, OperationsFile} {
		dir := filepath.Join(t.TempDir(), "copy")
		must(t, os.CopyFS(dir, os.DirFS(kept)))
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		must(t, err)
		last := text[bytes.LastIndexByte(text[:len(text)-1], '\n')+1:]
		must(t, os.WriteFile(path, append(append(text, '\n'), last...), 0o600))
		must(t, Reseal(dir, nil))
		r, err := Check(t.Context(), dir, CheckOptions{})
		if err != nil || r.OK {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
}

// TestLongLine: a line is read up to the bound, and not beyond it.
func TestLongLine(t *testing.T) {
	type item struct {
		A string `json:"a"`
	}
	for _, size := range []int{maxLine - 1, maxLine, maxLine + 1} {
		dir := t.TempDir()
		text := `{"a":"` + strings.Repeat("x", size-len(`{"a":""}`)) + `"}`
		must(t, os.WriteFile(filepath.Join(dir, "x.ndjson"), []byte(text+"\n"), 0o600))
		r, err := openLines[item](dir, "x.ndjson")
		must(t, err)
		_, err = r.next()
		r.file.Close()
		if size < maxLine && err != nil || size > maxLine && (!errors.Is(err, ErrFormat) ||
			!strings.Contains(err.Error(), "line 1 is longer than")) {
			t.Errorf("%d bytes: %.100v", size, err)
		}
	}
}
