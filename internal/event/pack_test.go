package event

import (
	"bytes"
	"errors"
	"testing"
)

// TestEventAt: one event of a pack is the one that DecodePack gives, and there is none before the first and behind the
// last.
func TestEventAt(t *testing.T) {
	b := samplePack(t).Append(nil)
	all, err := DecodePack(b)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range all.Events {
		got, err := EventAt(b, i)
		if err != nil || got.Kind != want.Kind || !bytes.Equal(got.Payload, want.Payload) ||
			&got.Payload[0] != &want.Payload[0] || cap(got.Payload) != len(got.Payload) {
			t.Errorf("event %d: %v, %v", i, got.Kind, err)
		}
	}
	for _, offset := range []int{-1, len(all.Events), MaxEvents} {
		if _, err := EventAt(b, offset); !errors.Is(err, ErrPack) {
			t.Errorf("event %d of %d: %v", offset, len(all.Events), err)
		}
	}
}

// FuzzEventAt: whatever the bytes are, EventAt ends with an event of DecodePack or with an error.
func FuzzEventAt(f *testing.F) {
	good := samplePack(f).Append(nil)
	for offset := range 8 {
		f.Add(good, offset)
		f.Add(good[:len(good)-1], offset)
	}
	f.Fuzz(func(t *testing.T, b []byte, offset int) {
		got, err := EventAt(b, offset)
		if err != nil && !errors.Is(err, ErrPack) && !errors.Is(err, ErrNewer) {
			t.Fatal(err)
		}
		p, bad := DecodePack(b)
		if bad != nil {
			return // EventAt does not look at the events behind, so it may have one
		}
		if want := offset >= 0 && offset < len(p.Events); want != (err == nil) {
			t.Fatalf("event %d of %d: %v", offset, len(p.Events), err)
		} else if want && (got.Kind != p.Events[offset].Kind || !bytes.Equal(got.Payload, p.Events[offset].Payload)) {
			t.Fatalf("event %d differs", offset)
		}
	})
}
