package event

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
)

// encoded makes the pack of events as it was before there were runs: each event is encoded again.
func encoded(at int64, events ...Event) []byte {
	p := Pack{ProposedAt: at, Events: events}
	p.Mark()
	return p.Append(nil)
}

// records makes n submissions of the size of usual ones.
func records(n int) []Event {
	out := make([]Event, n)
	for i := range out {
		s := sampleSub()
		s.Body = bytes.Repeat([]byte{'x'}, 430+i%16)
		out[i] = Event{Submission, s.Payload()}
	}
	return out
}

// TestJoin: runs of own and of forwarded events make the pack that encoding all events again makes, also where they are
// empty, large or marked. The header of a forwarded pack has no influence on it.
func TestJoin(t *testing.T) {
	all := append(samplePack(t).Events, records(40)...)
	newest := Event{Submission, Sub{Facts: Facts{KeyID: "k", Alg: 1, Profile: 9, Mode: 1}}.Payload()}
	large := Event{Submission, make([]byte, 70_000)}
	for name, parts := range map[string][][]Event{
		"one record":       {records(1)},
		"records":          {records(3), records(200), records(1)},
		"every kind":       {all[:3], all[3:30], all[30:]},
		"newer at the end": {records(2), {newest}},
		"newer in front":   {{newest}, records(2)},
		"a later kind":     {records(1), {{PolicyPublished, make([]byte, SaltSize)}}},
		"no submission":    {{{Submission, []byte("malformed payload")}}, records(1)},
		"large":            {{large}, records(1), {large, large}},
	} {
		var events []Event
		var own, forwarded []Run
		for _, part := range parts {
			events = append(events, part...)
			own = append(own, NewRun(part...))
			for _, lie := range []bool{false, true} {
				r, decoded, err := DecodeRun(Pack{ProposedAt: 5, Events: part, Newer: lie}.Append(nil))
				if err != nil || len(decoded) != len(part) || fmt.Sprint(r) != fmt.Sprint(own[len(own)-1]) {
					t.Fatalf("%s: %d events, %v", name, len(decoded), err)
				}
				if lie {
					forwarded = append(forwarded, r)
				}
			}
		}
		want := encoded(-7, events...)
		if !bytes.Equal(Join(-7, own...), want) || !bytes.Equal(Join(-7, forwarded...), want) {
			t.Errorf("%s: the joined pack has other bytes", name)
		}
	}
}

// FuzzDecodeRun: bytes that are no pack are refused like by DecodePack, and events of two packs make the pack that
// encoding all of them again makes.
func FuzzDecodeRun(f *testing.F) {
	good := samplePack(f).Append(nil)
	newest := Event{Submission, Sub{Facts: Facts{KeyID: "k", Alg: 1, Profile: 9, Mode: 1}}.Payload()}
	f.Add(good, encoded(3, records(2)...), int64(1))
	f.Add(Pack{Events: []Event{newest}}.Append(nil), Pack{Events: records(1), Newer: true}.Append(nil), int64(-1))
	f.Add(good[:len(good)-1], good[:packHeader], int64(0))
	f.Add(append(bytes.Clone(good), 0), binary.BigEndian.AppendUint32(bytes.Clone(good[:16]), MaxEvents), int64(2))
	f.Fuzz(func(t *testing.T, a, b []byte, at int64) {
		var runs []Run
		var events []Event
		for _, body := range [][]byte{a, b} {
			p, bad := DecodePack(body)
			r, list, err := DecodeRun(body)
			if (err == nil) != (bad == nil) || errors.Is(err, ErrPack) != errors.Is(bad, ErrPack) {
				t.Fatalf("DecodePack: %v, DecodeRun: %v", bad, err)
			}
			if err != nil {
				continue
			}
			if !samePack(p, Pack{ProposedAt: p.ProposedAt, Events: list}) || r.First != list[0].Kind ||
				fmt.Sprint(r) != fmt.Sprint(NewRun(list...)) {
				t.Fatalf("a run of %d events from %d", r.Count, len(p.Events))
			}
			runs, events = append(runs, r), append(events, list...)
		}
		if len(runs) > 0 && !bytes.Equal(Join(at, runs...), encoded(at, events...)) {
			t.Fatal("the joined pack has other bytes")
		}
	})
}

// TestRunsAllocateLittle: what a pack costs does not grow with its events.
func TestRunsAllocateLittle(t *testing.T) {
	body := encoded(1, records(256)...)
	run, events, err := DecodeRun(body)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		most float64
		do   func()
	}{
		"decode": {1, func() { _, _, _ = DecodeRun(body) }},
		"encode": {1, func() { NewRun(events...) }},
		"join":   {1, func() { Join(1, run, run) }},
	} {
		if n := testing.AllocsPerRun(10, c.do); n > c.most {
			t.Errorf("%s: %.0f allocations for 256 events", name, n)
		}
	}
}

// BenchmarkForwarded compares what a leader does with the bytes of a forwarded pack until it has those of the entry.
func BenchmarkForwarded(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		body := encoded(1, records(n)...)
		b.Run(fmt.Sprint("encode again/", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p, err := DecodePack(body)
				if err != nil {
					b.Fatal(err)
				}
				out := Pack{ProposedAt: 2, Events: append([]Event(nil), p.Events...)}
				for _, e := range out.Events { // as Mark did
					if _, err := DecodeSubmission(e.Payload); err != nil {
						b.Fatal(err)
					}
				}
				out.Append(make([]byte, 0, out.Size()))
			}
		})
		b.Run(fmt.Sprint("join/", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, _, err := DecodeRun(body)
				if err != nil {
					b.Fatal(err)
				}
				Join(2, r)
			}
		})
	}
}
