package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

var fileBytes = bytes.Repeat([]byte("0123456789"), 1000)

// cutting serves the file and cuts each response after some bytes.
func cutting(after int, seen *[]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		*seen = append(*seen, r.Header.Get("Range"))
		http.ServeContent(&cutWriter{w, after}, r, "", time.Time{}, bytes.NewReader(fileBytes))
	}
}

type cutWriter struct {
	http.ResponseWriter
	left int
}

func (c *cutWriter) Write(b []byte) (int, error) {
	if len(b) > c.left {
		_, _ = c.ResponseWriter.Write(b[:c.left])
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(b)
	return c.ResponseWriter.Write(b)
}

// TestFileGoesOn: a file whose responses are cut arrives whole, each request asks for the rest, and one that is never
// answered ends.
func TestFileGoesOn(t *testing.T) {
	var seen []string
	s, ca := server(t, cutting(3000, &seen))
	c := CopiesOf(connect(t, fast(ca, s.URL)), 0)
	var got bytes.Buffer
	got.Write(fileBytes[:500])
	n, err := c.File(t.Context(), "id", "end", 500, &got)
	if err != nil || n != int64(len(fileBytes)-500) || !bytes.Equal(got.Bytes(), fileBytes) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if len(seen) != 4 || seen[0] != "bytes=500-" || seen[1] != "bytes=3500-" {
		t.Errorf("asked for %q", seen)
	}
	seen = nil
	s, ca = server(t, cutting(0, &seen))
	if _, err := CopiesOf(connect(t, fast(ca, s.URL)), 0).File(t.Context(), "id", "end", 0, io.Discard); err == nil || len(seen) != fruitless {
		t.Errorf("%d attempts, %v", len(seen), err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// TestFileEnds: what a repetition cannot help is asked for once.
func TestFileEnds(t *testing.T) {
	var seen []string
	whole, ca := server(t, cutting(1<<20, &seen))
	if _, err := CopiesOf(connect(t, fast(ca, whole.URL)), 0).File(t.Context(), "id", "end", 0, full{}); err == nil ||
		!strings.Contains(err.Error(), "disk full") || len(seen) != 1 {
		t.Errorf("a writer that fails: %d attempts, %v", len(seen), err)
	}
	asked := 0
	gone, ca := server(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(http.StatusNotFound)
	})
	if _, err := CopiesOf(connect(t, fast(ca, gone.URL)), 0).File(t.Context(), "id", "end", 0, io.Discard); !errors.Is(err, ErrNotFound) || asked != 1 {
		t.Errorf("a copy that is gone: %d attempts, %v", asked, err)
	}
	ignorant, ca := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(fileBytes) })
	if n, err := CopiesOf(connect(t, fast(ca, ignorant.URL)), 0).File(t.Context(), "id", "end", 7, io.Discard); !errors.Is(err, ErrProtocol) || n != 0 {
		t.Errorf("a proxy that ignores the range: %d bytes, %v", n, err)
	}
	release := make(chan struct{})
	silent, ca := server(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	defer close(release)
	cfg := fast(ca, silent.URL)
	cfg.AttemptTimeout = 20 * time.Millisecond
	if _, err := CopiesOf(connect(t, cfg), 0).File(t.Context(), "id", "end", 0, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("a node that says nothing: %v", err)
	}
}
