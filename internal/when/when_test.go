package when

import (
	"testing"
	"time"
)

func TestSpans(t *testing.T) {
	for text, want := range map[string]time.Duration{"15m": 15 * time.Minute, "2d": 48 * time.Hour, "1w": 168 * time.Hour, "30d": 720 * time.Hour, "1w2d": 216 * time.Hour,
		"1d12h": 36 * time.Hour, "0d": 0, "0": 0, "1.5h": 90 * time.Minute, "-1h": -time.Hour, "720h": 720 * time.Hour, "1d1ms": 24*time.Hour + time.Millisecond} {
		if got, err := Span(text); got != want || err != nil {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "w", "1", "1.5d", "-1d", "+1d", "1d-1h", "1d+1h", "2d1w", "1d1d", "1y", "40000000000d", "999999999d", "106752d", "one week", " 1d", "1d "} {
		if got, err := Span(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestSpanText: what Text writes is short, and Span reads it as the same.
func TestSpanText(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0": 0, "2s": 2 * time.Second, "100ms": 100 * time.Millisecond, "10m": 10 * time.Minute, "1m10s": 70 * time.Second,
		"1h": time.Hour, "1h10m": 70 * time.Minute, "1h0m1s": time.Hour + time.Second, "1d": day, "90d": 90 * day,
		"1d12h": 36 * time.Hour, "7d500ms": week + time.Second/2, "-1h": -time.Hour,
	} {
		got := Text(d)
		if back, err := Span(got); got != want || err != nil || back != d {
			t.Errorf("%v: %q, want %q; read back as %v, %v", d, got, want, back, err)
		}
	}
}

func TestMoments(t *testing.T) {
	now := time.Date(2026, 3, 1, 1, 30, 0, 5, time.UTC)
	east := time.FixedZone("east", 2*3600)
	west := time.FixedZone("west", -2*3600)
	for _, c := range []struct {
		text  string
		clock Clock
		want  string
	}{
		{"2026-01-02T03:04:05Z", Clock{}, "2026-01-02T03:04:05Z"}, {"2026-01-02T03:04:05.5+02:00", Clock{}, "2026-01-02T01:04:05.5Z"},
		{"2026-11-28", Clock{}, "2026-11-28T00:00:00Z"}, {"2026-11-28", Clock{Zone: east}, "2026-11-27T22:00:00Z"},
		{"now", Clock{}, "2026-03-01T01:30:00.000000005Z"}, {"Today", Clock{}, "2026-03-01T00:00:00Z"}, {"yesterday", Clock{}, "2026-02-28T00:00:00Z"},
		{"today", Clock{Zone: west}, "2026-02-28T02:00:00Z"}, {"tomorrow", Clock{}, "2026-03-02T00:00:00Z"},
		{"1w", Clock{}, "2026-02-22T01:30:00.000000005Z"}, {"15m", Clock{}, "2026-03-01T01:15:00.000000005Z"}, {"2d", Clock{Future: true}, "2026-03-03T01:30:00.000000005Z"},
	} {
		c.clock.Now = now
		got, err := c.clock.Moment(c.text)
		if err != nil || got.UTC().Format(time.RFC3339Nano) != c.want {
			t.Errorf("%s: %v %v, want %s", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01", "1969-01-01T00:00:00Z", "2026-11-29T02:00:00,5Z", "2026-11-29T2:00:00Z", "40000d",
		"-1h", "2026-02-30", "2026-2-3", "03.02.2026", "noon", "9999-01-01T00:00:00Z", "2262-01-01"} {
		if got, err := (Clock{Now: now}).Moment(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
	if got, err := (Clock{Now: now, Future: true}).Moment("90000d"); err == nil {
		t.Errorf("%v", got)
	}
}
