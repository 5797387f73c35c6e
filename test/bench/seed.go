package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// The live traffic while a node joins: so many clients, each with one record in a period. seedCalm is how long they are
// measured alone, before and after.
const (
	seedClients = 32
	seedPeriod  = 160 * time.Millisecond
	seedCalm    = 20 * time.Second
	seedLimit   = 5 * time.Minute // of one part
)

// copied is in the log of a joining node when it has installed the copy.
const copied = "the copy of the log is in place"

// runSeed lets a fourth node join a ledger of n records and measures the clients before, while it copies the log, while it
// folds it, and after it has left. A joining node has a machine of its own. Here it has the processor time that
// nobody else wants (SCHED_IDLE), and the directory apart, on a disk of its own, if one is given.
func runSeed(ctx context.Context, o options, n int, apart string) (err error) {
	b, err := newBench(ctx, o, "recount-seed-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.startCluster(ctx, b.bin, filepath.Join(b.tmp, "cluster")); err != nil {
		return err
	}
	if err := b.fill(ctx, n); err != nil {
		return err
	}
	if apart != "" {
		own, err := os.MkdirTemp(apart, "recount-seed-")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(own)) }()
		if err := os.Symlink(own, b.cluster.NodeDir(3)); err != nil {
			return err
		}
	}
	return b.seed(ctx)
}

// seed measures each part and prints it.
func (b *bench) seed(ctx context.Context) error {
	calm := func() error { wait(ctx, seedCalm); return ctx.Err() }
	before, err := b.whileLive(ctx, calm)
	if err != nil {
		return err
	}
	peer, err := b.cluster.Join([]string{"setsid", "chrt", "--idle", "0", b.bin}, b.port, 3, b.env...)
	if err != nil {
		return err
	}
	began := time.Now()
	copying, err := b.whileLive(ctx, func() error { return errors.Join(b.add(ctx, peer), b.yield(), b.awaitCopy(ctx)) })
	if err != nil {
		return err
	}
	m, err := b.seedBytes()
	if err != nil {
		return err
	}
	folding, err := b.whileLive(ctx, func() error { return b.cluster.AwaitReady(ctx, 3) })
	if err != nil {
		return err
	}
	if err := b.remove(ctx); err != nil {
		return err
	}
	after, err := b.whileLive(ctx, calm)
	if err != nil {
		return err
	}
	quiet := (before.p99 + after.p99) / 2
	fmt.Printf("copied %.1f MB in %.1f s, %.1f MB/s; ready after %.1f s\n", m, copying.seconds, m/copying.seconds,
		time.Since(began).Seconds()-after.seconds)
	for _, part := range []struct {
		name string
		sample
	}{{"before", before}, {"while it copies", copying}, {"while it folds", folding}, {"after", after}} {
		fmt.Printf("%-16s %5d submissions, %.0f/s, p50 %.1f ms, p99 %.1f ms\n", part.name, part.records, part.rate(), part.p50, part.p99)
	}
	fmt.Printf("bench-seed: mb_per_s=%.1f live_p99_ratio_copy=%.2f live_p99_ratio_fold=%.2f\n", m/copying.seconds,
		copying.p99/quiet, folding.p99/quiet)
	return nil
}

// add asks the leader for the new member, until it answers at its address.
func (b *bench) add(ctx context.Context, peer string) error {
	request := map[string]string{"reason": "measure", "node_id": "node-4", "peer_address": peer, "api_address": b.cluster.API[3]}
	return b.until(ctx, func() error {
		return b.call(ctx, http.MethodPost, "/v1/cluster/members", request, nil)
	})
}

// yield puts the session of the new node behind those of the others. Linux shares processor time between sessions first, where
// it has autogroups, and SCHED_IDLE counts within a session only.
func (b *bench) yield() error {
	pid, err := b.cluster.PID(3)
	if err != nil {
		return err
	}
	err = os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", pid), []byte("19"), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func (b *bench) remove(ctx context.Context) error {
	if err := b.call(ctx, http.MethodPost, "/v1/cluster/members/node-4/remove", map[string]string{"reason": "measured"}, nil); err != nil {
		return err
	}
	return b.cluster.Kill(3)
}

// awaitCopy returns when the new node has installed the copy.
func (b *bench) awaitCopy(ctx context.Context) error {
	return b.until(ctx, func() error {
		text, err := os.ReadFile(filepath.Join(b.cluster.NodeDir(3), "log"))
		if err == nil && !bytes.Contains(text, []byte(copied)) {
			err = errors.New("the new node does not get the log")
		}
		return err
	})
}

// until repeats f until it returns nil, and returns the last error otherwise.
func (b *bench) until(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, seedLimit)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		if wait(ctx, 50*time.Millisecond); ctx.Err() != nil {
			return err
		}
	}
}

// seedBytes returns the megabytes of the log on the disk of the new node.
func (b *bench) seedBytes() (mb float64, err error) {
	files, err := filepath.Glob(filepath.Join(b.cluster.NodeDir(3), "data", "events", "*"))
	for _, name := range files {
		if info, err := os.Stat(name); err == nil {
			mb += float64(info.Size()) / 1e6
		}
	}
	return mb, err
}

// whileLive lets the clients send until f returns.
func (b *bench) whileLive(ctx context.Context, f func() error) (sample, error) {
	links, err := b.nodesAt.open(ctx, make([][][]byte, seedClients))
	if err != nil {
		return sample{}, err
	}
	defer closeAll(links)
	l := &steady{src: b.src, want: b.nodesAt.want, done: make(chan struct{})}
	errs := make([]error, len(links))
	var clients sync.WaitGroup
	began := time.Now()
	for i, link := range links {
		clients.Go(func() { errs[i] = l.send(link, shardName(i), seedPeriod*time.Duration(i)/seedClients) })
	}
	err = f()
	close(l.done)
	clients.Wait()
	var all []time.Duration
	for _, link := range links {
		all = append(all, link.took...)
	}
	if err := errors.Join(err, first(errs)); err != nil || len(all) == 0 {
		return sample{}, errors.Join(err, ctx.Err())
	}
	return sampleOf(all, time.Since(began).Seconds()), nil
}

// steady is a number of clients that send at a fixed rate, however long an answer takes.
type steady struct {
	mu   sync.Mutex
	src  *harness.Source
	want []byte
	done chan struct{}
}

func (s *steady) next(shard string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.src.Next(shard)
}

// send sends one record each period. The time of an answer counts from when the record was due.
func (s *steady) send(l *link, shard string, offset time.Duration) error {
	due := time.Now().Add(offset)
	for {
		select {
		case <-time.After(time.Until(due)):
		case <-s.done:
			return nil
		}
		body, err := s.next(shard)
		if err != nil {
			return err
		}
		if err := l.conn.SetDeadline(time.Now().Add(fillWait)); err != nil {
			return err
		}
		status, err := l.exchange(harness.Submission(body))
		if err != nil {
			return err
		}
		if status != "200" || !bytes.Contains(l.body, s.want) {
			return fmt.Errorf("answer %s: %s", status, l.body)
		}
		l.took = append(l.took, time.Since(due))
		due = due.Add(seedPeriod)
	}
}
