package laps

import (
	"context"
	"net/http"
	"testing"
	"time"
)

// TestEmptyWatchCostsNothing: what every submission does that nobody measures allocates nothing.
func TestEmptyWatchCostsNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	h := http.Header{}
	if n := testing.AllocsPerRun(1000, func() {
		var w Watch
		in := w.In(ctx)
		found := Of(in)
		for l := range Laps {
			found.Lap(l)
		}
		if Links(WithLinks(in, found.AppendLink(nil))) != nil {
			t.Error("links")
		}
		if !profiling {
			Start().Report(h)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestMoments: a watch travels with its context, and a lap that has not ended has no moment.
func TestMoments(t *testing.T) {
	began := time.Now().Add(-time.Minute)
	link := Link{1, 2, 3}
	w := StartAt(began, link)
	Of(w.In(context.Background())).Lap(Packed)
	end, ok := w.End(Packed)
	if took := end.Sub(began); !ok || took < time.Minute || took > 2*time.Minute {
		t.Errorf("%v %v", took, ok)
	}
	if _, ok := w.End(Committed); ok {
		t.Error("a lap that has not ended has an end")
	}
	if _, ok := (Watch{}).End(Packed); ok {
		t.Error("an empty watch has an end")
	}
}

// TestLinks: of a pack at most MostLinks travel, and those without a link do not count.
func TestLinks(t *testing.T) {
	links := StartAt(time.Now(), Link{}).AppendLink(Watch{}.AppendLink(nil))
	for i := range MostLinks + 1 {
		links = StartAt(time.Now(), Link{byte(i + 1)}).AppendLink(links)
	}
	got := Links(WithLinks(context.Background(), links))
	if len(got) != MostLinks || got[0] != (Link{1}) || got[MostLinks-1] != (Link{MostLinks}) {
		t.Errorf("%v", got)
	}
}

// BenchmarkEmptyWatch is everything that a submission does on its way for a watch that measures nothing.
func BenchmarkEmptyWatch(b *testing.B) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		var w Watch
		found := Of(w.In(ctx))
		for l := range Laps {
			found.Lap(l)
		}
		if WithLinks(ctx, found.AppendLink(nil)) != ctx {
			b.Fatal("a link")
		}
	}
}
