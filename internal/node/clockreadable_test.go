package node

import (
	"testing"
	"time"
)

// TestReadableDifference: what was measured as an hour less a millisecond is an hour to a person.
func TestReadableDifference(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Hour - time.Millisecond:        "1h0m0s",
		-time.Hour + 3*time.Millisecond:     "-1h0m0s",
		10*time.Second + 400_000_000:        "10s",
		1500*time.Millisecond + 300_000:     "1.5s",
		-9*time.Second - 1*time.Millisecond: "-9.001s",
	} {
		if got := readable(d).String(); got != want {
			t.Errorf("%d ns: %s, want %s", d, got, want)
		}
	}
}
