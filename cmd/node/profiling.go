//go:build profiling

package main

import (
	"encoding/json"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strconv"
	"time"
)

// profilesEnv names a directory in which every process of this build listens on a socket, named by its process id. The
// benchmark takes profiles from there. A build without the tag "profiling" has neither the variable nor the listener, and
// no build listens on a port for profiles, because they show what a node has in memory.
const profilesEnv = "RECOUNT_PROFILES"

func init() {
	dir := os.Getenv(profilesEnv)
	if dir == "" {
		return
	}
	l, err := net.Listen("unix", filepath.Join(dir, strconv.Itoa(os.Getpid())))
	if err != nil {
		slog.Error("no profiles can be taken", "error", err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/profile", pprof.Profile)
	mux.HandleFunc("/block", blocks)
	mux.Handle("/mutex", pprof.Handler("mutex"))
	mux.HandleFunc("/waits", waits)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }()
}

// The resolution of the profile of goroutines that wait: waits as long as this are all in it, and shorter ones in
// proportion. Of the waits for locks, one in lockPart is.
const (
	waitGrain = 20 * time.Microsecond
	lockPart  = 10
)

// blocks answers with a profile of the goroutines that wait, for the seconds of the query. Waits for locks are counted
// from then on.
func blocks(w http.ResponseWriter, r *http.Request) {
	runtime.SetMutexProfileFraction(lockPart)
	runtime.SetBlockProfileRate(int(waitGrain))
	defer runtime.SetBlockProfileRate(0)
	pprof.Handler("block").ServeHTTP(w, r)
}

// waits answers with the time that goroutines waited for a processor, since the start: bounds of buckets in seconds and
// the number in each.
func waits(w http.ResponseWriter, _ *http.Request) {
	sample := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(sample)
	h := sample[0].Value.Float64Histogram()
	var out struct {
		Upper  []float64
		Counts []uint64
	}
	for i, n := range h.Counts {
		if upper := h.Buckets[i+1]; !math.IsInf(upper, 1) {
			out.Upper, out.Counts = append(out.Upper, upper), append(out.Counts, n)
		}
	}
	_ = json.NewEncoder(w).Encode(out)
}
