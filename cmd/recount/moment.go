package main

import (
	"time"

	"github.com/recount-ledger/recount/internal/when"
	"github.com/recount-ledger/recount/wire"
)

// clock returns the clock that the words and spans of flags refer to. Days begin where --time shows them.
func (a *app) clock(future bool) when.Clock {
	c := when.Clock{Now: time.Now(), Future: future}
	if a.time == timeLocal {
		c.Zone = time.Local
	}
	return c
}

// moment reads the time in a flag. None is the zero time. A span is before now.
func (a *app) moment(flag, text string) (time.Time, error) {
	return readMoment(a.clock(false), flag, text)
}

// coming is moment for flags about what is to come: a span is after now.
func (a *app) coming(flag, text string) (time.Time, error) {
	return readMoment(a.clock(true), flag, text)
}

func readMoment(c when.Clock, flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := c.Moment(text)
	if err != nil {
		return at, usagef("%s %q: %w", flag, text, err)
	}
	return at, nil
}

// past is moment for what has begun already: a mistyped year must not look like a clean list.
func (a *app) past(text string) (time.Time, error) {
	at, err := a.moment("--since", text)
	if now := time.Now(); err == nil && at.After(now.Add(time.Minute)) {
		err = usagef("--since %s is in the future; it is %s now", wire.Time(at), wire.Time(now))
	}
	return at, err
}
