package main

import (
	"encoding/json"
	"testing"
	"time"
)

// TestRecord: records have the size of the benchmark, are JSON, and no two are equal.
func TestRecord(t *testing.T) {
	seen := map[string]bool{}
	for conn := range 3 {
		for n := range 3 {
			b := record(conn, n)
			if len(b) != recordBytes || !json.Valid(b) || seen[string(b)] {
				t.Errorf("%d bytes: %s", len(b), b)
			}
			seen[string(b)] = true
		}
	}
}

// TestSummary: quantiles are those of the sorted times, in milliseconds.
func TestSummary(t *testing.T) {
	var all []time.Duration
	for i := range 101 {
		all = append(all, time.Duration(100-i)*time.Millisecond)
	}
	if f := summary(all, 2); f != (figures{Records: 101, Seconds: 2, P50: 50, P99: 99}) {
		t.Errorf("%+v", f)
	}
}
