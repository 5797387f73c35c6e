package intake

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/propose"
)

// sums is a log that takes sums of refusals, and fails while fail holds an error.
type sums struct {
	Log
	fail  atomic.Pointer[error]
	tries int
	got   []*event.RefusalsDroppedV1
}

func (s *sums) SubmitAlone(_ context.Context, ev event.Event) (propose.LogPosition, error) {
	s.tries++
	if err := s.fail.Load(); err != nil {
		return propose.LogPosition{}, *err
	}
	_, m, err := ev.Message()
	s.got = append(s.got, m.(*event.RefusalsDroppedV1))
	return propose.LogPosition{}, err
}

// TestReportRefusals: a sum that cannot be logged is kept and grows, and nothing is logged when nothing was refused.
func TestReportRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, noLeader := &sums{}, errors.New("no leader")
		log.fail.Store(&noLeader)
		in := New(Options{NodeID: "n1", Log: log, Logger: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- in.ReportRefusals(ctx) }()
		rest := func() {
			time.Sleep(reportPause) // of the clock of the bubble
			synctest.Wait()
		}
		rest()
		if log.tries != 0 {
			t.Errorf("a sum of nothing was tried %d times", log.tries)
		}
		in.drops.add(10, 100)
		in.drops.add(20, 50)
		rest()
		in.drops.add(30, 7)
		rest()
		log.fail.Store(nil)
		rest()
		rest()
		in.drops.add(40, 1)
		rest()
		want := []*event.RefusalsDroppedV1{
			{Node: "n1", From: 10, To: 30, Count: 3, Bytes: 157}, {Node: "n1", From: 40, To: 40, Count: 1, Bytes: 1}}
		if len(log.got) != len(want) || log.tries != 4 {
			t.Fatalf("%d tries, %v", log.tries, log.got)
		}
		for i := range want {
			if !proto.Equal(log.got[i], want[i]) {
				t.Errorf("%v, not %v", log.got[i], want[i])
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestPutBack: a sum that comes back keeps its times, and those of what was refused meanwhile.
func TestPutBack(t *testing.T) {
	for name, later := range map[string]bool{"nothing meanwhile": false, "one meanwhile": true} {
		r := newRefusals("n1")
		r.add(10, 1)
		r.add(20, 2)
		m := r.take()
		if r.take() != nil {
			t.Errorf("%s: taken twice", name)
		}
		want := &event.RefusalsDroppedV1{Node: "n1", From: 10, To: 20, Count: 2, Bytes: 3}
		if later {
			r.add(30, 4)
			want.To, want.Count, want.Bytes = 30, 3, 7
		}
		r.putBack(m)
		if got := r.take(); !proto.Equal(got, want) {
			t.Errorf("%s: %v, not %v", name, got, want)
		}
	}
}

// TestRefusalBudget: one address logs as many refusals in a second as the budget has, by number and by bytes. A body
// above the bytes of a second is never logged.
func TestRefusalBudget(t *testing.T) {
	for name, c := range map[string]struct{ size, want int }{
		"small":                  {1, refusalsPerSecond},
		"of the same cost":       {refusalBytes / refusalsPerSecond, refusalsPerSecond},
		"a quarter of the bytes": {refusalBytes / 4, 4},
		"one byte above them":    {refusalBytes + 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimits(&Options{}, &Counters{})
				for range 3 {
					n := 0
					for n < 1000 && l.allowLog("192.0.2.1", c.size) {
						n++
					}
					if n > c.want || n < c.want-1 { // the sum of the parts may be a little above the whole
						t.Errorf("%d in a second, not %d", n, c.want)
					}
					time.Sleep(time.Second)
				}
			})
		})
	}
}

// TestSources: a key has one share of the queue from wherever it sends, and an address with the text of a key id has
// another. The addresses of one /64 have one share.
func TestSources(t *testing.T) {
	l := newLimits(&Options{}, &Counters{})
	for _, c := range []struct {
		name, key, remote string
		taken             bool // the share of this source is full already
	}{
		{"a key", "k", "192.0.2.1", false},
		{"the key from another address", "k", "192.0.2.2", true},
		{"an address with its text", "", "k", false},
		{"the same address again", "", "k", true},
		{"the key with that address", "k", "k", true},
	} {
		_, err := l.acquire(c.key, c.remote, 500, 600)
		if (err != nil) != c.taken {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	l = newLimits(&Options{}, &Counters{})
	first, err := l.acquire("", "2001:db8::1:2:3", 500, 600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.acquire("", "2001:db8::9", 500, 600); err == nil {
		t.Error("two addresses of a /64 have two shares")
	}
	first.Leave()
	if _, err := l.acquire("", "2001:db8::9", 500, 600); err != nil {
		t.Errorf("after the first has left: %v", err)
	}
}
