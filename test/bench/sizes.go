package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/recount-ledger/recount/test/harness"
	"github.com/recount-ledger/recount/wire"
)

// The steps of a measurement of sizes.
const (
	sizeSteps  = 4                // samples until all records are in
	sizeConns  = 64               // keep-alive connections
	sizeBatch  = 20_000           // records signed in advance
	buildLimit = 10 * time.Minute // until a second generation is built
)

// stores are the directories of a node's data that grow.
var stores = []string{"events", "derived", "generations", "history"}

// sizes holds what a cluster occupies at one moment. Bytes are means over its nodes, processor time is the sum.
type sizes struct {
	records int
	disk    map[string]float64 // bytes by store
	rss     float64            // bytes
	cpu     float64            // seconds
}

func (s sizes) all() (sum float64) {
	for _, b := range s.disk {
		sum += b
	}
	return sum
}

// runSizes sends n records to a cluster of three and prints what that takes, then builds a second generation of them.
func runSizes(ctx context.Context, o options, n int) (err error) {
	b, err := newBench(ctx, o, "recount-sizes-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.startCluster(ctx, b.bin, filepath.Join(b.tmp, "cluster")); err != nil {
		return err
	}
	var bodies float64
	before, err := b.sizes(ctx, 0)
	if err != nil {
		return err
	}
	printSizes(before)
	first, sent := before, 0
	for step := range sizeSteps {
		for sent == before.records || sent < n*(step+1)/sizeSteps {
			took, size, err := b.sendBatch(ctx)
			if err != nil {
				return err
			}
			sent, bodies = sent+took, bodies+size
		}
		now, err := b.sizes(ctx, sent)
		if err != nil {
			return err
		}
		printSizes(now)
		printGrowth(before, now)
		before = now
	}
	fmt.Printf("\n%d records of %.0f bytes: %.2f bytes on the disk of each node for each byte sent\n", sent, bodies/float64(sent),
		(before.all()-first.all())/bodies)
	return b.sizeOfGeneration(ctx, before)
}

// sendBatch sends records on all connections until one of them has none left.
func (b *bench) sendBatch(ctx context.Context) (records int, sent float64, err error) {
	requests, err := b.src.Requests(sizeConns, sizeBatch/sizeConns)
	if err != nil {
		return 0, 0, err
	}
	total := 0
	for _, r := range requests[0] {
		_, body, _ := bytes.Cut(r, []byte("\r\n\r\n"))
		total += len(body)
	}
	s, err := b.nodesAt.cell(ctx, requests, time.Minute, nil)
	return s.records, float64(s.records) * float64(total) / float64(len(requests[0])), err
}

// sizes waits until everything is folded and measures.
func (b *bench) sizes(ctx context.Context, records int) (s sizes, err error) {
	u, err := settle(ctx, b.cluster, b.client)
	if err != nil {
		return s, err
	}
	s = sizes{records: records, disk: map[string]float64{}, cpu: u.cpu}
	nodes := float64(len(b.cluster.API))
	for i := range b.cluster.API {
		pid, err := b.cluster.PID(i)
		if err != nil {
			return s, err
		}
		rss, err := residentBytes(pid)
		if err != nil {
			return s, err
		}
		s.rss += rss / nodes
		for _, store := range stores {
			bytes, err := filesBelow(filepath.Join(b.cluster.NodeDir(i), "data", store))
			if err != nil {
				return s, err
			}
			s.disk[store] += bytes / nodes
		}
	}
	return s, nil
}

// sizeOfGeneration builds a second generation and prints what it adds.
func (b *bench) sizeOfGeneration(ctx context.Context, before sizes) error {
	ctx, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	var policies wire.PoliciesPage
	if err := harness.Call(ctx, b.client, "GET", b.cluster.API[0]+"/v1/policies", nil, &policies); err != nil {
		return err
	}
	var g wire.GenerationAnswer
	start := wire.GenerationRequest{Policy: policies.Items[0].ID}
	if err := harness.Call(ctx, b.client, "POST", b.cluster.API[0]+"/v1/generations", start, &g); err != nil {
		return err
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for !built(g) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		url := fmt.Sprintf("%s/v1/generations/%d", b.cluster.API[0], g.Generation)
		if err := harness.Call(ctx, b.client, "GET", url, nil, &g); err != nil {
			return err
		}
	}
	now, err := b.sizes(ctx, before.records)
	if err != nil {
		return err
	}
	fmt.Println("\na second generation:")
	printSizes(now)
	fmt.Printf("  adds %.1f MB of disk and takes %.0f us of processor time per record on each node\n",
		(now.all()-before.all())/1e6, (now.cpu-before.cpu)*1e6/float64(before.records)/float64(len(b.cluster.API)))
	return nil
}

// built reports whether every node has compared all that it knows to be committed.
func built(g wire.GenerationAnswer) bool {
	for _, p := range g.Nodes {
		if p.Committed == 0 || p.Compared < p.Committed {
			return false
		}
	}
	return len(g.Nodes) > 0
}

func printSizes(s sizes) {
	fmt.Printf("%9d records  disk of a node %7.1f MB:", s.records, s.all()/1e6)
	for _, store := range stores {
		fmt.Printf("  %s %.1f", store, s.disk[store]/1e6)
	}
	fmt.Printf("  memory of a node %.0f MB\n", s.rss/1e6)
}

func printGrowth(before, now sizes) {
	n := float64(now.records - before.records)
	fmt.Printf("  since then, for a million records on each node: disk %.0f MB, of it the log %.0f MB; "+
		"processor time of all nodes %.2f s for 10,000\n",
		(now.all()-before.all())/n, (now.disk["events"]-before.disk["events"])/n, (now.cpu-before.cpu)/n*1e4)
}

// residentBytes is the memory of a process that is in use.
func residentBytes(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) < 2 || fields[1] != "kB" {
		return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
	}
	kb, err := strconv.ParseFloat(fields[0], 64)
	return kb * 1024, err
}

// filesBelow sums the sizes of all files below dir. A file that goes away meanwhile has none.
func filesBelow(dir string) (sum float64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				sum += float64(info.Size())
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return sum, err
}
