// Package when reads the times and the spans that people type, alike in every flag.
package when

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// Forms names what Moment takes, for texts about a flag.
const Forms = "2026-01-02T15:04:05Z, 2026-01-02, yesterday, today, now, or a time span such as 15m, 2d or 1w"

// Spans names what Span takes.
const Spans = "15m, 12h, 2d or 1w"

// ErrSpan means that a text is no time span.
var ErrSpan = errors.New("no time span such as " + Spans)

// ErrMoment means that a text is no time.
var ErrMoment = errors.New("must be a date-time, a date or a time span: " + Forms)

// ErrOld means that a time is not later than the first that a ledger knows.
var ErrOld = errors.New("must be later than 1970-01-01T00:00:00Z")

// ErrFar means that a time is later than nanoseconds can count.
var ErrFar = errors.New("must be earlier than the year 2262")

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// Span reads a time span: what time.ParseDuration reads, with weeks and days of 24 hours in front, as in 1w,
// 30d or 1d12h.
func Span(text string) (time.Duration, error) {
	var sum time.Duration
	rest := text
	for _, unit := range []struct {
		name string
		long time.Duration
	}{{"w", week}, {"d", day}} {
		digits, after, ok := strings.Cut(rest, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || time.Duration(n) > (math.MaxInt64-sum)/unit.long {
			return 0, ErrSpan
		}
		sum, rest = sum+time.Duration(n)*unit.long, after
	}
	if rest == "" && text != "" {
		return sum, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || rest != text && (d < 0 || strings.HasPrefix(rest, "+") || d > math.MaxInt64-sum) {
		return 0, ErrSpan
	}
	return sum + d, nil
}

// Text returns the shortest text that Span reads as d: days of 24 hours in front, and no units of which there are
// none.
func Text(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	days := ""
	if d >= day {
		days, d = strconv.FormatInt(int64(d/day), 10)+"d", d%day
	}
	if d == 0 {
		return days
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return days + text
}

// Clock is the reference for words and spans.
type Clock struct {
	Now    time.Time
	Zone   *time.Location // in which days begin; nil is UTC
	Future bool           // a span is after now, and not before
}

// Moment reads a time: an RFC 3339 date-time, a date, which is its first instant, a word, or a span before now
// (after now, if Future).
func (c Clock) Moment(text string) (time.Time, error) {
	at, err := c.read(strings.TrimSpace(text))
	switch {
	case err != nil:
		return time.Time{}, err
	case !at.After(time.Unix(0, 0)):
		return time.Time{}, ErrOld
	case at.UTC().Year() > 2261:
		return time.Time{}, ErrFar
	}
	return at, nil
}

func (c Clock) read(text string) (time.Time, error) {
	zone := c.Zone
	if zone == nil {
		zone = time.UTC
	}
	year, month, date := c.Now.In(zone).Date()
	switch strings.ToLower(text) {
	case "now":
		return c.Now, nil
	case "today":
		return time.Date(year, month, date, 0, 0, 0, 0, zone), nil
	case "yesterday":
		return time.Date(year, month, date-1, 0, 0, 0, 0, zone), nil
	case "tomorrow":
		return time.Date(year, month, date+1, 0, 0, 0, 0, zone), nil
	}
	if at, err := time.ParseInLocation(time.DateOnly, text, zone); err == nil {
		return at, nil
	}
	if span, err := Span(text); err == nil && span >= 0 {
		if c.Future {
			return c.Now.Add(span), nil
		}
		return c.Now.Add(-span), nil
	}
	if at, err := wire.ParseTime(text); err == nil {
		return at, nil
	}
	return time.Time{}, ErrMoment
}

// Flag is a time span as the value of a flag.
type Flag time.Duration

// String implements pflag.Value.
func (f *Flag) String() string { return time.Duration(*f).String() }

// Set implements pflag.Value.
func (f *Flag) Set(text string) error {
	d, err := Span(text)
	if err == nil && d < 0 {
		err = ErrSpan
	}
	if err != nil {
		return err
	}
	*f = Flag(d)
	return nil
}

// Type implements pflag.Value.
func (f *Flag) Type() string { return "span" }
