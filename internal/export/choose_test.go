package export

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// TestChooseTimes: the range of two times is that of a walk over all events.
func TestChooseTimes(t *testing.T) {
	s := serve(t, kept)
	c := s.client()
	at := func(i int) time.Time {
		when, err := wire.ParseTime(s.events[i].LogTime)
		must(t, err)
		return when
	}
	var bounds []time.Time
	for _, i := range []int{0, 1, 12, 22, 23} {
		bounds = append(bounds, at(i).Add(-1), at(i), at(i).Add(1))
	}
	for _, since := range append(bounds, time.Time{}) {
		for _, until := range append(bounds, time.Time{}) {
			var first, last uint64
			for i, e := range s.events {
				if !at(i).Before(since) && (until.IsZero() || at(i).Before(until)) {
					if last = e.Seq; first == 0 {
						first = e.Seq
					}
				}
			}
			w := &writer{Options: Options{Since: since, Until: until, Timeout: time.Minute}, c: c, ctx: t.Context()}
			err := w.choose()
			r := w.m.Range
			switch {
			case first == 0 && !errors.Is(err, ErrRange):
				t.Errorf("%v to %v: %+v %v, and there is no event", since, until, r, err)
			case first != 0 && (err != nil || r.FromSeq != first || r.ToSeq != last):
				t.Errorf("%v to %v: %+v %v, want %d to %d", since, until, r, err, first, last)
			case first != 0 && (r.FirstTime != s.events[first-1].LogTime || r.LastTime != s.events[last-1].LogTime):
				t.Errorf("%+v has other times than its events", r)
			case (r.Since == "") != since.IsZero() || (r.Until == "") != until.IsZero():
				t.Errorf("%v to %v is noted as %+v", since, until, r)
			}
		}
	}
}

// TestChooseRange: a range beyond the end, or behind it, is none, and no request is made for its events.
func TestChooseRange(t *testing.T) {
	s := serve(t, kept)
	c := s.client()
	for _, r := range []struct {
		from, to, first, last uint64
		says                  string
	}{
		{0, 0, 1, 24, ""},
		{1, 24, 1, 24, ""},
		{24, 0, 24, 24, ""},
		{0, 1, 1, 1, ""},
		{25, 0, 0, 0, "event 25 comes after event 24, the last one"},
		{0, 25, 0, 0, "the ledger ends with event 24, before event 25"},
		{9, 8, 0, 0, "event 9 comes after event 8"},
		{^uint64(0), 0, 0, 0, "comes after event 24"},
		{1, ^uint64(0), 0, 0, "the ledger ends with event 24"},
	} {
		s.asked = nil
		w := &writer{Options: Options{FromSeq: r.from, ToSeq: r.to, Timeout: time.Minute}, c: c, ctx: t.Context()}
		err := w.choose()
		if r.says == "" && (err != nil || w.m.Range.FromSeq != r.first || w.m.Range.ToSeq != r.last) {
			t.Errorf("%+v: %+v %v", r, w.m.Range, err)
		}
		if r.says != "" && (!errors.Is(err, ErrRange) || !strings.Contains(err.Error(), r.says) || len(s.asked) != 1) {
			t.Errorf("%+v: %v after %q", r, err, s.asked)
		}
	}
}
