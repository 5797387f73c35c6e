//go:build profiling

package laps

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestWatch: each lap has the time since the one before it, one that did not end has none, and the next one has its time.
func TestWatch(t *testing.T) {
	w := Start()
	w.m.began = w.m.began.Add(-time.Second)
	w.Lap(Read)
	ctx := w.In(context.Background())
	w.m.began = w.m.began.Add(-time.Second)
	Of(ctx).Lap(Packed)
	h := http.Header{}
	w.Report(h)
	lengths := strings.Split(h.Get(Header), ",")
	if len(lengths) != int(Laps) {
		t.Fatalf("%v", lengths)
	}
	for i, want := range map[Lap]int{Read: 1, Checked: 0, Packed: 1, Answered: 0} {
		n, err := strconv.Atoi(lengths[i])
		if err != nil || n/1e6 != want {
			t.Errorf("lap %d: %s us, want %d s", i, lengths[i], want)
		}
	}
}

// TestNoWatch: without a watch nothing is measured and nothing is written.
func TestNoWatch(t *testing.T) {
	h := http.Header{}
	w := Of(context.Background())
	w.Lap(Read)
	w.Report(h)
	if len(h) != 0 {
		t.Errorf("%v", h)
	}
}
