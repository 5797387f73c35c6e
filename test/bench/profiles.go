package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// profiler takes profiles from nodes that were built with the tag "profiling". They listen on sockets in dir.
type profiler struct{ dir string }

// newProfiler makes the directory of the sockets.
func newProfiler(tmp string) (*profiler, error) {
	p := &profiler{dir: filepath.Join(tmp, "p")}
	return p, os.Mkdir(p.dir, 0o700)
}

// env is the setting for the nodes.
func (p *profiler) env() string { return "RECOUNT_PROFILES=" + p.dir }

// get reads a document of a process.
func (p *profiler) get(ctx context.Context, pid int, path string) ([]byte, error) {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", filepath.Join(p.dir, strconv.Itoa(pid)))
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("profiles need a node that was built with -tags profiling: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, body)
	}
	return body, err
}

// waits reads how long the goroutines of a process have waited for a processor.
func (p *profiler) waits(ctx context.Context, pid int) (histogram, error) {
	var answer struct {
		Upper  []float64
		Counts []float64
	}
	body, err := p.get(ctx, pid, "/waits")
	if err != nil {
		return histogram{}, err
	}
	err = json.Unmarshal(body, &answer)
	return histogram{answer.Upper, answer.Counts}, err
}

// recording is a profile of several processes that is being taken.
type recording struct {
	done    sync.WaitGroup
	samples [][]cpuSample
	errs    []error
}

// record begins to take a profile of the processes for so long.
func (p *profiler) record(ctx context.Context, pids []int, path string, span time.Duration) *recording {
	r := &recording{samples: make([][]cpuSample, len(pids)), errs: make([]error, len(pids))}
	for i, pid := range pids {
		r.done.Go(func() {
			body, err := p.get(ctx, pid, fmt.Sprintf("%s?seconds=%.0f", path, span.Seconds()))
			if err == nil {
				r.samples[i], err = readProfile(body)
			}
			r.errs[i] = err
		})
	}
	return r
}

// wait returns the samples of each process.
func (r *recording) wait() ([][]cpuSample, error) {
	r.done.Wait()
	return r.samples, errors.Join(r.errs...)
}
