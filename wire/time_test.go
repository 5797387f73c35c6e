package wire

import (
	"slices"
	"testing"
	"time"
)

// TestTimesSortAsText: nine decimals always, so the texts have one width and sort as the moments do.
func TestTimesSortAsText(t *testing.T) {
	var texts []string
	for _, ns := range []int64{0, 1, 10, 999_999_999, 1_000_000_000, 1_500_000_000, 1_764_374_400_120_000_000} {
		text := TimeNS(ns)
		at, err := ParseTime(text)
		if err != nil || at.UnixNano() != ns || len(text) != 30 {
			t.Errorf("%d: %s %v", ns, text, err)
		}
		texts = append(texts, text)
	}
	if !slices.IsSorted(texts) {
		t.Errorf("%v", texts)
	}
	if got := Time(time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))); got != "2026-01-02T02:04:05.000000000Z" {
		t.Error(got)
	}
}
