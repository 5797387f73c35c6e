package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// follower streams n submissions. The stream i ends as ends[i] says, the last one again and again.
type follower struct {
	t     *testing.T
	n     uint64
	ends  []func(w http.ResponseWriter, next uint64)
	opens atomic.Int32
	asked []string // header and query of each stream
}

// perStream is the number of submissions of a stream before its end.
const perStream = 3

func (f *follower) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i := int(f.opens.Add(1)) - 1
	last := r.Header.Get(wire.HeaderLastEventID)
	f.asked = append(f.asked, last+" "+r.URL.RawQuery)
	if r.URL.Path != "/v1/audit/stream" || r.Header.Get("Accept") != wire.MediaEvents {
		f.t.Errorf("%s %v", r.URL, r.Header)
	}
	next, err := strconv.ParseUint(last, 10, 64)
	if next++; err != nil {
		if next, err = strconv.ParseUint(r.URL.Query().Get("from_seq"), 10, 64); err != nil {
			next = 1
		}
	}
	end := f.ends[min(i, len(f.ends)-1)]
	w.Header().Set("Content-Type", wire.MediaEvents)
	if i%2 == 1 { // every other one has a position first, and a sign of life
		fmt.Fprintf(w, "retry: 1000\nid: %d\n\n: nothing new\nid: %d\n\n", next-1, next-1)
	}
	for range perStream {
		if next <= f.n {
			submissionOf(w, next)
			next++
		}
	}
	end(w, next)
}

func submissionOf(w http.ResponseWriter, seq uint64) {
	text, err := json.Marshal(wire.AuditItem{Seq: seq})
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(w, "id: %d\nevent: submission\ndata: %s\n\n", seq, text)
}

// endFor ends a stream with a reason.
func endFor(reason string) func(w http.ResponseWriter, next uint64) {
	return func(w http.ResponseWriter, next uint64) {
		text, err := json.Marshal(wire.StreamEnded{Reason: reason, Detail: "why", Seq: next - 1})
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(w, "event: end\ndata: %s\n\n", text)
	}
}

// Ends that say nothing: behind an event, and in the midst of one.
func cutBehind(w http.ResponseWriter, _ uint64) {
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func cutWithin(w http.ResponseWriter, next uint64) {
	fmt.Fprintf(w, "id: %d\nevent: submission\ndata: {\"seq\":", next)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func cutBehindID(w http.ResponseWriter, next uint64) {
	fmt.Fprintf(w, "id: %d\n", next)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// seqsOf follows up to limit submissions.
func seqsOf(t *testing.T, c *Client, q AuditQuery) (out []uint64, last error) {
	t.Helper()
	for item, err := range c.Tail(deadline(t, 20*time.Second), q) {
		if last != nil {
			t.Error("it goes on after its error")
		}
		if last = err; err == nil {
			out = append(out, item.Seq)
		}
	}
	return out, last
}

// TestTailGoesOn: however a stream ends, the next one begins where it ended, and every submission comes once.
func TestTailGoesOn(t *testing.T) {
	repeats := func(w http.ResponseWriter, next uint64) { submissionOf(w, next-1); cutBehind(w, next) }
	f := &follower{t: t, n: 40, ends: []func(http.ResponseWriter, uint64){cutWithin, cutBehindID,
		endFor(wire.EndedGeneration), cutBehind, endFor(wire.EndedStopping), endFor(wire.EndedNotReady), repeats,
		endFor(wire.EndedSlow), cutBehind}}
	s, ca := server(t, f.ServeHTTP)
	c := connect(t, fast(ca, s.URL))
	got, err := seqsOf(t, c, AuditQuery{FromSeq: 5, Limit: 30, Shard: "s", Read: Read{MinSeq: 4}})
	if want := upTo(34)[4:]; err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v %v, asked %.2000q", got, err, f.asked)
	}
	if f.asked[0] != " from_seq=5&min_seq=4&shard=s" || f.asked[1] != "7 from_seq=5&min_seq=4&shard=s" {
		t.Errorf("asked %q", f.asked)
	}
}

// TestTailWaitsForANode: a node that answers nobody is asked again later, or another one is.
func TestTailWaitsForANode(t *testing.T) {
	f := &follower{t: t, n: 3, ends: []func(http.ResponseWriter, uint64){cutBehind}}
	refusals := 0
	s, ca := server(t, func(w http.ResponseWriter, r *http.Request) {
		if refusals++; refusals < 4 {
			reply(w, 0, wire.NewProblem(wire.CodeNotReady, ""))
			return
		}
		f.ServeHTTP(w, r)
	})
	var slow atomic.Int32
	cfg := fast(ca, s.URL)
	cfg.SlowAfter, cfg.Slow = time.Nanosecond, func(Slow) { slow.Add(1) }
	if got, err := seqsOf(t, connect(t, cfg), AuditQuery{Limit: 3}); err != nil || len(got) != 3 {
		t.Errorf("%v %v", got, err)
	}
}

// TestTailEndsAtNonsense: what is no stream of a node ends a tail, and is not asked for again and again.
func TestTailEndsAtNonsense(t *testing.T) {
	say := func(kind, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			fmt.Fprint(w, text)
		}
	}
	for name, h := range map[string]http.HandlerFunc{
		"a page":        say("text/html", "<html>"),
		"no row":        say(wire.MediaEvents, "id: 1\nevent: submission\ndata: {\n\n"),
		"other id":      say(wire.MediaEvents, "id: 1\nevent: submission\ndata: {\"seq\":2}\n\n"),
		"without id":    say(wire.MediaEvents, "event: submission\ndata: {\"seq\":2}\n\n"),
		"no end":        say(wire.MediaEvents, "event: end\ndata: {\n\n"),
		"not a problem": say(wire.MediaJSON, "{}"),
	} {
		s, ca := server(t, h)
		if got, err := seqsOf(t, connect(t, fast(ca, s.URL)), AuditQuery{}); len(got) != 0 || !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
}

// TestTailStops: a caller that stops is the end of it, also in the midst of a stream. A limit counts over all streams,
// and a second range begins again.
func TestTailStops(t *testing.T) {
	f := &follower{t: t, n: 40, ends: []func(http.ResponseWriter, uint64){endFor(wire.EndedGeneration)}}
	s, ca := server(t, f.ServeHTTP)
	c := connect(t, fast(ca, s.URL))
	for _, stop := range []int{1, 3, 4, 7} {
		n := 0
		before := f.opens.Load()
		for _, err := range c.Tail(deadline(t, 20*time.Second), AuditQuery{FromSeq: 1}) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == stop {
				break
			}
		}
		if opens := int(f.opens.Load() - before); opens != (stop+perStream-1)/perStream {
			t.Errorf("%d streams for %d rows", opens, stop)
		}
	}
	all := c.Tail(deadline(t, 20*time.Second), AuditQuery{FromSeq: 1, Limit: 7})
	for range 2 {
		var got []uint64
		for item, err := range all {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, item.Seq)
		}
		if !slices.Equal(got, upTo(7)) {
			t.Errorf("%v", got)
		}
	}
}

// TestTailOfASilentNode: a stream without any sign of life is left, and the tail goes on at another one.
func TestTailOfASilentNode(t *testing.T) {
	opened := make(chan struct{}, 10)
	s, ca := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", wire.MediaEvents)
		if r.Header.Get(wire.HeaderLastEventID) == "" {
			submissionOf(w, 1)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		submissionOf(w, 2)
		opened <- struct{}{}
	})
	c := connect(t, fast(ca, s.URL))
	c.silence = 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []uint64
	for item, err := range c.Tail(ctx, AuditQuery{FromSeq: 1, Limit: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, item.Seq)
	}
	if !slices.Equal(got, upTo(2)) {
		t.Errorf("%v", got)
	}
	<-opened
}
