package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"runtime/pprof"
	"strings"
	"testing"
	"time"
)

// TestStageOf: a stack counts for the stage that it works for, whatever library does the work.
func TestStageOf(t *testing.T) {
	const (
		fsm     = internal + "fsm."
		serve   = "net/http.(*conn).serve"
		handler = internal + "api.(*server).submit"
	)
	for _, c := range []struct {
		stack string // from the innermost function
		want  string
	}{
		{"crypto/tls.(*Conn).Read net/http.(*connReader).Read " + serve, stageHTTP},
		{"runtime.mallocgc " + internal + "pcs.Decode " + internal + "intake.(*Intake).Submit " + handler + " " + serve, stageDecode},
		{"crypto/internal/fips140/hmac.New " + internal + "intake.(*Intake).Submit " + handler + " " + serve, stageSignature},
		{"encoding/json.Marshal " + handler + " " + serve, stageEdge},
		{"runtime.chansend " + internal + "propose.(*Packer[go.shape.x]).Submit " + handler + " " + serve, stagePacker},
		{"crypto/tls.(*Conn).Write " + internal + "cluster/frames.(*Conn).Call " + internal + "propose.(*Packer[go.shape.x]).send", stageFrames},
		{"crypto/tls.(*Conn).Write github.com/hashicorp/raft.(*NetworkTransport).AppendEntries", stageRaft},
		{"syscall.fdatasync github.com/cockroachdb/pebble/v2/record.(*LogWriter).flushLoop", stageLog},
		{"github.com/cockroachdb/pebble/v2.(*DB).Apply " + internal + "log.(*Store).StoreLogs github.com/hashicorp/raft.(*Raft).run", stageLog},
		{internal + "pcs.decodePlain " + internal + "pcs.Decode " + internal + "projections.Prepare " + fsm + "(*Generation).prepare", stageFoldDecode},
		{internal + "verify.(*KeySet).Recheck " + internal + "projections.Prepare", stageFoldSign},
		{internal + "verify.Evaluate " + internal + "projections.(*Prepared).judge " + internal + "projections.Prepare", stageFoldJudge},
		{"runtime.mapassign " + internal + "projections.(*Generation).Fold " + fsm + "(*Generation).fold", stageFoldRows},
		{"github.com/cockroachdb/pebble/v2.(*DB).Apply " + fsm + "(*Generation).fold", stageFoldApply},
		{"runtime.memmove " + fsm + "(*Generation).fold", stageFoldRest},
		{"crypto/sha256.Sum256 " + fsm + "(*Derived).foldAll", stageDerived},
		{"github.com/cockroachdb/pebble/v2.(*DB).Apply " + fsm + "(*Store).applyOut", stageSteps},
		{"github.com/cockroachdb/pebble/v2.(*DB).compact1 runtime/pprof.Do", stagePebble},
		{"runtime.scanobject runtime.gcBgMarkWorker", stageGC},
		{"runtime.scanobject runtime.gcAssistAlloc runtime.mallocgc " + internal + "pcs.Decode", stageGC},
		{"runtime.futex runtime.findRunnable runtime.mcall", stageScheduler},
		{"github.com/prometheus/client_golang/prometheus.(*Registry).Gather", stageOther},
		{"", stageScheduler},
	} {
		if got := stageOf(strings.Fields(c.stack)); got != c.want {
			t.Errorf("%s: %s, want %s", c.stack, got, c.want)
		}
	}
}

// TestEveryStageHasARow: no time is in a stage that the table does not print.
func TestEveryStageHasARow(t *testing.T) {
	rows := map[string]bool{}
	for _, stage := range stageOrder {
		if rows[stage] {
			t.Errorf("%s has two rows", stage)
		}
		rows[stage] = true
	}
	for _, r := range stageRules {
		if !rows[r.stage] {
			t.Errorf("%s has no row", r.stage)
		}
		for _, prefix := range append(r.in, r.also...) {
			if strings.HasPrefix(prefix, "github.com/recount-ledger/") && !strings.HasPrefix(prefix, internal) {
				t.Errorf("%s is not a package of this tree", prefix)
			}
		}
	}
}

//go:noinline
func burn(until time.Time) (sum byte) {
	for time.Now().Before(until) {
		for range 1000 {
			sum += sha256.New().Sum([]byte{sum})[0]
		}
	}
	return sum
}

// TestReadProfile: a profile of this process names the function that took the time, from the inside to the outside.
func TestReadProfile(t *testing.T) {
	var b bytes.Buffer
	if err := pprof.StartCPUProfile(&b); err != nil {
		t.Skipf("somebody takes a profile of this test already: %v", err)
	}
	burn(time.Now().Add(500 * time.Millisecond))
	pprof.StopCPUProfile()
	samples, err := readProfile(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var in, all int64
	for _, s := range samples {
		if s.stack[0] == "racecall" || s.stack[0] == "runtime._ExternalCode" {
			continue // in the race detector, which has no Go stack
		}
		all += s.nanos
		for i, f := range s.stack {
			if strings.HasSuffix(f, ".burn") {
				in += s.nanos
				if i+1 == len(s.stack) || !strings.HasSuffix(s.stack[i+1], "TestReadProfile") {
					t.Fatalf("called from %v", s.stack[i+1:])
				}
				break
			}
		}
	}
	if in < all/2 || time.Duration(all) < 20*time.Millisecond || time.Duration(all) > 5*time.Second {
		t.Errorf("%v of %v are in burn", time.Duration(in), time.Duration(all))
	}
	for _, bad := range [][]byte{nil, b.Bytes()[:b.Len()/2], []byte("no profile")} {
		if _, err := readProfile(bad); !errors.Is(err, errProfile) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
}

// TestHistogram: quantiles lie in the bucket that holds them, and a difference counts what came between.
func TestHistogram(t *testing.T) {
	before := map[string]float64{`h_bucket{le="0.005"}`: 1, `h_bucket{le="0.01"}`: 1, `h_bucket{le="+Inf"}`: 1, "other": 7}
	after := map[string]float64{`h_bucket{le="0.005"}`: 1, `h_bucket{le="0.01"}`: 99, `h_bucket{le="+Inf"}`: 101}
	h := histogramOf(after, "h").minus(histogramOf(before, "h"))
	for q, want := range map[float64][2]float64{0.5: {0.005, 0.01}, 0.98: {0.0099, 0.01}, 1: {0.01, 0.01}} {
		if got := h.quantile(q); got < want[0] || got > want[1] {
			t.Errorf("%v of the observations are below %v", q, got)
		}
	}
	if got := (histogram{}).quantile(0.5); got != 0 {
		t.Errorf("nothing was observed, and half of it lies below %v", got)
	}
	if both := h.plus(h); both.counts[1] != 2*h.counts[1] || both.quantile(0.5) != h.quantile(0.5) {
		t.Errorf("%+v", both)
	}
}
