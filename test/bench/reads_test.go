package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestGrowthSteps: a ledger is measured at each power of ten and at its end, once.
func TestGrowthSteps(t *testing.T) {
	for n, want := range map[int][]int{
		5_000:     {5_000},
		10_000:    {10_000},
		1_000_000: {10_000, 100_000, 1_000_000},
		2_500_000: {10_000, 100_000, 1_000_000, 2_500_000},
	} {
		if got := growthSteps(n); !slices.Equal(got, want) {
			t.Errorf("%d: %v, want %v", n, got, want)
		}
	}
}

// TestReadKinds: every kind of read asks for what a ledger of that size has, and neighbours for different records.
func TestReadKinds(t *testing.T) {
	ids := []string{"a", "b", "c"}
	for _, n := range []int{50, 100, 1_000_000} {
		for _, k := range readKinds(ids, n) {
			for i := range 3000 {
				path := k.path(i)
				if !strings.HasPrefix(path, "/v1/") || strings.Contains(path, "%!") || strings.Contains(path, "from_seq=0") {
					t.Fatalf("%s, %d records: %s", k.name, n, path)
				}
			}
		}
	}
	byID := readKinds(ids, 100)[0]
	if byID.path(0) == byID.path(1) {
		t.Error("neighbours ask for one record")
	}
}

// TestSampleOf: quantiles are those of the sorted times, in milliseconds.
func TestSampleOf(t *testing.T) {
	var all []time.Duration
	for i := range 101 {
		all = append(all, time.Duration(100-i)*time.Millisecond)
	}
	if s := sampleOf(all, 2); s.records != 101 || s.p50 != 50 || s.p99 != 99 || s.rate() != 50.5 {
		t.Errorf("%+v, %.1f/s", s, s.rate())
	}
}
