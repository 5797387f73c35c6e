package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/recount-ledger/recount/test/harness"
	"github.com/recount-ledger/recount/wire"
)

// The shape of the measurements of reads.
const (
	readConns = 4    // connections that read at once, from a follower
	pageRows  = 100  // rows of a page of the audit list
	knownIDs  = 1000 // records that are asked for
	readSpan  = 2 * time.Second
)

// runReads fills a ledger and measures reads, records with Ed25519 signatures and restarts.
func runReads(ctx context.Context, o options, n int) (err error) {
	b, err := newBench(ctx, o, "recount-reads-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	b.subject, err = newSubject(ctx, "three nodes", b.bin, filepath.Join(b.tmp, "cluster"),
		"PCS_SIGN_ALG=hmac,ed25519", "PCS_ED25519_PUB_B64="+harness.Ed25519Public)
	if err != nil {
		return err
	}
	if err := b.fill(ctx, n); err != nil {
		return err
	}
	fmt.Printf("a ledger of %d records\n", n)
	if err := b.printReads(ctx, n); err != nil {
		return err
	}
	if err := b.ed25519(ctx); err != nil {
		return fmt.Errorf("Ed25519: %w", err)
	}
	r, err := b.restart(ctx)
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	r.print()
	st, err := b.leave(ctx)
	if err != nil {
		return fmt.Errorf("a follower that was away: %w", err)
	}
	fmt.Printf("  a follower is ready %v after it was away for %v\n", st, awaySpan)
	return nil
}

// ed25519 measures records with Ed25519 signatures beside those with HMAC.
func (b *bench) ed25519(ctx context.Context) error {
	const conns = 64
	for round := range b.rounds {
		for _, name := range []string{"HMAC records", "Ed25519 records"} {
			b.src.SignHMAC()
			if name == "Ed25519 records" {
				if err := b.src.SignEd25519(); err != nil {
					return err
				}
			}
			requests, err := b.src.Requests(conns, int(float64(b.most)*b.span.Seconds())/conns)
			if err != nil {
				return err
			}
			s, used, err := b.settled(ctx, b.nodesAt, requests, b.span)
			if err != nil {
				return err
			}
			printSample(round, name, conns, s)
			fmt.Printf("         %.2f CPU s for 10,000 records over all nodes\n", used.cpu/float64(s.records)*1e4)
		}
	}
	b.src.SignHMAC()
	return nil
}

// readKind is a kind of request, numbered so that neighbours ask for different things.
type readKind struct {
	name string
	path func(i int) string
}

// readKinds are the reads that are measured, in a ledger of n records.
func readKinds(ids []string, n int) []readKind {
	page := func(format string, args ...any) string {
		return fmt.Sprintf("/v1/audit?limit=%d&", pageRows) + fmt.Sprintf(format, args...)
	}
	spread := func(i int) int { return 1 + i*7919%max(1, n-pageRows) }
	return []readKind{
		{"record by id", func(i int) string { return "/v1/pcs/" + ids[i*7%len(ids)] + "?consistency=local" }},
		{"record by id, linearizable", func(i int) string { return "/v1/pcs/" + ids[i*7%len(ids)] + "?consistency=linearizable" }},
		{"audit page, oldest", func(int) string { return page("from_seq=1") }},
		{"audit page, newest", func(int) string { return page("order=newest") }},
		{"audit page, anywhere", func(i int) string { return page("from_seq=%d", spread(i)) }},
		{"audit page of a shard", func(i int) string { return page("shard=%s", shardName(i%fillShards)) }},
	}
}

// printReads measures every kind of read.
func (b *bench) printReads(ctx context.Context, n int) error {
	leader, err := b.leader(ctx)
	if err != nil {
		return err
	}
	api := b.cluster.API[(leader+1)%3]
	ids, err := b.sampleIDs(ctx, api, n)
	if err != nil {
		return err
	}
	for _, k := range readKinds(ids, n) {
		s, err := b.read(ctx, readSpan, func(i int) string { return api + k.path(i) })
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		fmt.Printf("  %-28s %7.0f/s  p50 %6.2f ms  p99 %6.2f ms\n", k.name, s.rate(), s.p50, s.p99)
	}
	return nil
}

// sampleIDs returns pcs_ids of records all over the ledger.
func (b *bench) sampleIDs(ctx context.Context, api string, n int) (ids []string, err error) {
	for at := 1; len(ids) < min(knownIDs, n); at += max(pageRows, n/(knownIDs/pageRows)) {
		var page wire.AuditPage
		url := fmt.Sprintf("%s/v1/audit?limit=%d&from_seq=%d", api, pageRows, min(at, max(1, n-pageRows)))
		if err := harness.Call(ctx, b.client, "GET", url, nil, &page); err != nil {
			return nil, err
		}
		if len(page.Items) == 0 {
			return nil, errors.New("the audit list has no records")
		}
		for _, item := range page.Items {
			ids = append(ids, item.PCSID)
		}
	}
	return ids, nil
}

// read sends requests on a few connections for a while.
func (s *subject) read(ctx context.Context, span time.Duration, url func(i int) string) (sample, error) {
	client := s.cluster.HTTP(readConns)
	defer client.CloseIdleConnections()
	took, errs := make([][]time.Duration, readConns), make([]error, readConns)
	var workers sync.WaitGroup
	start := time.Now()
	for w := range readConns {
		workers.Go(func() {
			for i := w; time.Since(start) < span && errs[w] == nil; i += readConns {
				began := time.Now()
				errs[w] = fetch(ctx, client, url(i))
				took[w] = append(took[w], time.Since(began))
			}
		})
	}
	workers.Wait()
	elapsed := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return sample{}, err
	}
	return sampleOf(slices.Concat(took...), elapsed.Seconds()), nil
}

// fetch reads one document to its end.
func fetch(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.300s", url, resp.Status, body)
	}
	return err
}
