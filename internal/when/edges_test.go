package when

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// TestTextAndSpanAgree: Span reads every text of Text as the same, for spans of any size, and Text writes no text
// twice.
func TestTextAndSpanAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	spans := []time.Duration{0, 1, day - 1, day, day + 1, week, math.MaxInt64, math.MaxInt64 - 1, time.Hour + 1, -1, -day,
		math.MinInt64 + 1}
	for range 2000 {
		spans = append(spans, time.Duration(rng.Int64()>>rng.IntN(63)), time.Duration(rng.IntN(400*24))*time.Hour)
	}
	seen := map[string]time.Duration{}
	for _, d := range spans {
		text := Text(d)
		if got, err := Span(text); err != nil || got != d {
			t.Errorf("%d is %q, which is %d, %v", d, text, got, err)
		}
		if before, ok := seen[text]; ok && before != d {
			t.Errorf("%d and %d are %q", before, d, text)
		}
		seen[text] = d
	}
}

// TestLongestSpan: what nanoseconds cannot count is no span, in every unit.
func TestLongestSpan(t *testing.T) {
	for text, ok := range map[string]bool{
		"106751d": true, "106752d": false, "15250w": true, "15251w": false, "106751d23h47m16s": true,
		"106751d23h47m17s": false, "106751d24h": false, "2562047h": true, "2562048h": false, "15250w1d": true, "15250w2d": false,
	} {
		if got, err := Span(text); (err == nil) != ok || ok && got <= 0 || !ok && !errors.Is(err, ErrSpan) {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
}

// TestWhyNoMoment: each kind of text that is refused has its own reason.
func TestWhyNoMoment(t *testing.T) {
	now := time.Date(2026, 3, 1, 1, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		text   string
		future bool
		want   error
	}{
		{"noon", false, ErrMoment},
		{"", false, ErrMoment},
		{"-1h", false, ErrMoment},
		{"1970-01-01T00:00:00Z", false, ErrOld},
		{"1970-01-01T00:00:00.000000001Z", false, nil},
		{"1969-12-31", false, ErrOld},
		{"100w", false, nil},
		{"3000w", false, ErrOld},
		{"3000w", true, nil},
		{"15000w", true, ErrFar},
		{"2261-12-31T23:59:59Z", false, nil},
		{"2262-01-01T00:00:00Z", false, ErrFar},
		{"2262-01-01T00:30:00+01:00", false, nil},
		{"2261-12-31T23:30:00-01:00", false, ErrFar},
		{"  2026-01-02\n", false, nil},
		{"NOW", false, nil},
		{"0", false, nil},
	} {
		got, err := Clock{Now: now, Future: c.future}.Moment(c.text)
		if !errors.Is(err, c.want) || (err == nil) == got.IsZero() {
			t.Errorf("%q, future %v: %v %v, want %v", c.text, c.future, got, err, c.want)
		}
	}
}

// TestDaysOfAZone: days begin where the zone says, whatever the date is elsewhere, and have the length of that day.
func TestDaysOfAZone(t *testing.T) {
	for _, c := range []struct {
		now   time.Time
		hours int // of the zone, east of Greenwich
		words map[string]string
	}{
		{time.Date(2026, 1, 1, 0, 30, 0, 0, time.UTC), -1, map[string]string{"today": "2025-12-31T01:00:00Z",
			"yesterday": "2025-12-30T01:00:00Z", "tomorrow": "2026-01-01T01:00:00Z"}},
		{time.Date(2026, 2, 28, 23, 30, 0, 0, time.UTC), 1, map[string]string{"today": "2026-02-28T23:00:00Z",
			"yesterday": "2026-02-27T23:00:00Z", "tomorrow": "2026-03-01T23:00:00Z"}},
		{time.Date(2028, 2, 28, 12, 0, 0, 0, time.UTC), 0, map[string]string{"tomorrow": "2028-02-29T00:00:00Z"}},
	} {
		clock := Clock{Now: c.now, Zone: time.FixedZone("z", c.hours*3600)}
		for word, want := range c.words {
			if got, err := clock.Moment(word); err != nil || got.UTC().Format(time.RFC3339) != want {
				t.Errorf("%s at %v: %v %v, want %s", word, c.now, got, err, want)
			}
		}
	}
}

// TestFlag: the value of a flag is a span that is not negative, and a wrong text changes nothing.
func TestFlag(t *testing.T) {
	f := Flag(time.Minute)
	for text, want := range map[string]time.Duration{"1d12h": 36 * time.Hour, "0": 0, "90s": 90 * time.Second} {
		if err := f.Set(text); err != nil || time.Duration(f) != want || f.String() != want.String() {
			t.Errorf("%s: %s %v", text, f.String(), err)
		}
	}
	f = Flag(time.Minute)
	for _, text := range []string{"", "-1h", "soon", "1"} {
		if err := f.Set(text); !errors.Is(err, ErrSpan) || f != Flag(time.Minute) {
			t.Errorf("%q: %s %v", text, f.String(), err)
		}
	}
	if f.Type() != "span" {
		t.Error(f.Type())
	}
}
