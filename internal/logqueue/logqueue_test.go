package logqueue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// gate is a writer that blocks until it is opened.
type gate struct {
	open    chan struct{}
	entered chan struct{}
	once    sync.Once
	mu      sync.Mutex
	text    bytes.Buffer
}

func (g *gate) Write(b []byte) (int, error) {
	g.once.Do(func() { close(g.entered) })
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.Write(b)
}

// TestWriterThatBlocks: those who write go on, what finds no room is counted, and when the writer goes on the log says how
// much is missing.
func TestWriterThatBlocks(t *testing.T) {
	g := &gate{open: make(chan struct{}), entered: make(chan struct{})}
	q := New(g, 1000)
	const lines, size = 200, 10
	for i := range lines {
		if n, err := fmt.Fprintf(q, "line %04d\n", i); n != size || err != nil {
			t.Fatal(n, err)
		}
	}
	<-g.entered
	if q.Flush(time.Millisecond) {
		t.Fatal("flushed while the writer blocks")
	}
	lost := q.Dropped()
	if lost < lines-1000/size-1 || lost >= lines {
		t.Fatalf("%d of %d lines dropped, the queue holds %d", lost, lines, 1000/size)
	}
	close(g.open)
	if !q.Flush(10 * time.Second) {
		t.Fatal("not flushed")
	}
	got := strings.Split(strings.TrimSpace(g.text.String()), "\n")
	reports, said := 0, 0 // one report, or two where lines were dropped before the writer began
	for _, line := range got {
		var report struct{ Dropped int }
		if json.Unmarshal([]byte(line), &report) == nil {
			reports, said = reports+1, said+report.Dropped
		}
	}
	if len(got)-reports != lines-int(lost) || reports == 0 || reports > 2 {
		t.Errorf("%d lines and %d reports arrived, of %d, %d were dropped", len(got)-reports, reports, lines, lost)
	}
	if said != int(lost) {
		t.Errorf("the log reports %d lines, %d were dropped: %s", said, lost, g.text.String())
	}
	if _, err := q.Write([]byte("after\n")); err != nil || !q.Flush(10*time.Second) || !strings.HasSuffix(g.text.String(), "after\n") {
		t.Errorf("a line after it is not there: %v", err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// TestWriterThatFails: a reader that is gone is counted, and nobody hears of it.
func TestWriterThatFails(t *testing.T) {
	q := New(broken{}, 1000)
	for range 3 {
		if _, err := q.Write([]byte("line\n")); err != nil {
			t.Fatal(err)
		}
		if !q.Flush(10 * time.Second) {
			t.Fatal("not flushed")
		}
	}
	if q.Dropped() != 3 {
		t.Errorf("%d dropped", q.Dropped())
	}
}
