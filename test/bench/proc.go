package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// clockTicks is USER_HZ, which Linux fixes at 100 for /proc.
const clockTicks = 100

// usage sums the nodes of a cluster since their start.
type usage struct {
	cpu            float64 // seconds, user and system
	written        float64 // bytes that reached the block layer
	syncs, appends float64
	lag            float64
}

func (u usage) minus(v usage) usage {
	return usage{cpu: u.cpu - v.cpu, written: u.written - v.written, syncs: u.syncs - v.syncs, appends: u.appends - v.appends}
}

func (u usage) plus(v usage) usage {
	return usage{cpu: u.cpu + v.cpu, written: u.written + v.written, syncs: u.syncs + v.syncs, appends: u.appends + v.appends}
}

// measure reads the processes and the metrics of every node.
func measure(ctx context.Context, c *harness.Cluster, client *http.Client) (u usage, err error) {
	for i := range c.API {
		pid, err := c.PID(i)
		if err != nil {
			return u, err
		}
		cpu, err := cpuSeconds(pid)
		if err != nil {
			return u, err
		}
		written, err := writtenBytes(pid)
		if err != nil {
			return u, err
		}
		m, err := c.Metrics(ctx, client, i)
		if err != nil {
			return u, err
		}
		u = u.plus(usage{cpu: cpu, written: written, syncs: m["flk_log_syncs_total"], appends: m["flk_log_appends_total"]})
		u.lag = max(u.lag, m["flk_fold_lag_entries"])
	}
	return u, nil
}

// settle waits until every node has folded what it knows to be committed, so that no work of a cell goes uncounted.
func settle(ctx context.Context, c *harness.Cluster, client *http.Client) (usage, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 600 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return usage{}, ctx.Err()
		}
		if u, err := measure(ctx, c, client); err != nil || u.lag == 0 {
			return u, err
		}
	}
	return usage{}, errors.New("the nodes do not fold what is committed")
}

func cpuSeconds(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest) // from field 3 on
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %q", pid, b)
	}
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	return (user + system) / clockTicks, errors.Join(err1, err2)
}

func writtenBytes(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			return strconv.ParseFloat(strings.TrimSpace(v), 64)
		}
	}
	return 0, fmt.Errorf("/proc/%d/io has no write_bytes", pid)
}

// settled sends requests to a target of the nodes and returns with the figures what the nodes used for them, until all of
// them have folded everything.
func (b *bench) settled(ctx context.Context, t *target, requests [][][]byte, span time.Duration) (sample, usage, error) {
	var before usage
	s, err := t.cell(ctx, requests, span, func() (err error) {
		before, err = settle(ctx, b.cluster, b.client)
		return err
	})
	if err != nil {
		return sample{}, usage{}, err
	}
	after, err := settle(ctx, b.cluster, b.client)
	return s, after.minus(before), err
}
