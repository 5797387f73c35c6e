package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recount-ledger/recount/internal/laps"
)

// sample holds the measurements of one cell of a round.
type sample struct {
	records  int
	refused  int // records of batches that the nodes were too busy for
	seconds  float64
	p50, p99 float64 // milliseconds

	lapped [][]lapped // by address, of targets with laps
}

func (s sample) rate() float64 { return float64(s.records) / s.seconds }

// target is a group of servers with the same contract; connection i goes to address i modulo their number.
type target struct {
	addrs []string
	tls   *tls.Config
	want  []byte // every answer contains it for each of its records; nil for no check
	each  int    // records in a request, 0 for one
	laps  bool   // answers have the header of laps
}

func (t *target) records() int { return max(1, t.each) }

// link is one keep-alive connection with its own requests, sent one after another.
type link struct {
	conn     *tls.Conn
	in       *bufio.Reader
	body     []byte
	requests [][]byte
	took     []time.Duration
	refused  int
	laps     bool
	header   []byte // of laps, in the last answer
	lapped   []lapped
}

// open dials every connection before the clock starts.
func (t *target) open(ctx context.Context, requests [][][]byte) ([]*link, error) {
	var links []*link
	for i, reqs := range requests {
		d := tls.Dialer{Config: t.tls}
		conn, err := d.DialContext(ctx, "tcp", t.addrs[i%len(t.addrs)])
		if err != nil {
			closeAll(links)
			return nil, err
		}
		links = append(links, &link{conn: conn.(*tls.Conn), in: bufio.NewReader(conn), requests: reqs, laps: t.laps,
			took: make([]time.Duration, 0, len(reqs))})
	}
	return links, nil
}

func closeAll(links []*link) {
	for _, l := range links {
		_ = l.conn.NetConn().Close()
	}
}

// drive sends on all connections until the time is over or one of them runs out of requests.
func (t *target) drive(links []*link, span time.Duration) (sample, error) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	errs := make([]error, len(links))
	start := time.Now()
	timer := time.AfterFunc(span, func() { stop.Store(true) })
	defer timer.Stop()
	for i, l := range links {
		wg.Go(func() {
			_ = l.conn.SetDeadline(start.Add(span + 20*time.Second))
			errs[i] = l.run(&stop, t.want, t.records())
			stop.Store(true)
		})
	}
	wg.Wait()
	took := time.Since(start).Seconds()
	var all []time.Duration
	refused := 0
	for _, l := range links {
		all = append(all, l.took...)
		refused += l.refused
	}
	for _, err := range errs {
		if err != nil {
			return sample{}, err // the others tend to say the same
		}
	}
	if len(all) == 0 {
		return sample{}, errors.New("nothing was answered")
	}
	s := sampleOf(all, took)
	s.records, s.refused = s.records*t.records()-refused, refused
	s.lapped = t.lapped(links)
	return s, nil
}

// lapped returns the answers of each address, in parts.
func (t *target) lapped(links []*link) [][]lapped {
	out := make([][]lapped, len(t.addrs))
	for i, l := range links {
		out[i%len(t.addrs)] = append(out[i%len(t.addrs)], l.lapped...)
	}
	return out
}

// sampleOf returns the figures of requests that took so long, of which there is one at least.
func sampleOf(all []time.Duration, seconds float64) sample {
	slices.Sort(all)
	at := func(q float64) float64 { return all[int(q*float64(len(all)-1))].Seconds() * 1e3 }
	return sample{records: len(all), seconds: seconds, p50: at(0.5), p99: at(0.99)}
}

// run sends until stop is set. Every answer has to say want for each record, unless want is nil.
func (l *link) run(stop *atomic.Bool, want []byte, records int) error {
	for _, req := range l.requests {
		if stop.Load() {
			return nil
		}
		start := time.Now()
		status, err := l.exchange(req)
		if err != nil {
			return err
		}
		busy := 0
		if records > 1 {
			busy = bytes.Count(l.body, overloaded)
		}
		l.refused += busy
		if status != "200" || want != nil && bytes.Count(l.body, want)+busy != records {
			return fmt.Errorf("answer %s: %s", status, l.body)
		}
		took := time.Since(start)
		l.took = append(l.took, took)
		if l.laps {
			of, err := lappedOf(took, l.header)
			if err != nil {
				return err
			}
			l.lapped = append(l.lapped, of)
		}
	}
	return nil
}

// exchange sends a request and reads its response into l.body.
func (l *link) exchange(request []byte) (status string, err error) {
	if _, err := l.conn.Write(request); err != nil {
		return "", err
	}
	return l.answer()
}

// answer reads one response with a Content-Length into l.body. It is written by hand so that the generator takes little
// of the processor time that it shares with the servers.
func (l *link) answer() (status string, err error) {
	size := -1
	for first := true; ; first = false {
		line, err := l.in.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		line = bytes.TrimRight(line, "\r\n")
		if first {
			if len(line) < 12 {
				return "", fmt.Errorf("status line %q", line)
			}
			status = string(line[9:12])
			continue
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if size, err = strconv.Atoi(string(value)); err != nil {
				return "", err
			}
		case l.laps && bytes.EqualFold(name, []byte(laps.Header)):
			l.header = append(l.header[:0], value...)
		}
	}
	if size < 0 || size > 1<<20 {
		return "", fmt.Errorf("answer %s has no usable Content-Length", status)
	}
	l.body = slices.Grow(l.body[:0], size)[:size]
	_, err = io.ReadFull(l.in, l.body)
	return status, err
}

// cell opens the connections, calls before, sends for the span and closes.
func (t *target) cell(ctx context.Context, requests [][][]byte, span time.Duration, before func() error) (sample, error) {
	links, err := t.open(ctx, requests)
	if err != nil {
		return sample{}, err
	}
	defer closeAll(links)
	if before != nil {
		if err := before(); err != nil {
			return sample{}, err
		}
	}
	return t.drive(links, span)
}
