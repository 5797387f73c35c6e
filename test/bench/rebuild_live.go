package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// liveConnections and livePreload shape the live part: so many clients, and so many records before the first rebuild.
const (
	liveConnections = 32
	livePreload     = 60_000
)

// runLiveRebuild measures the p99 of submissions to three nodes without and with a rebuild, in interleaved rounds, and
// returns the ratio of the medians.
func runLiveRebuild(ctx context.Context, o options, root, tmp string) (float64, error) {
	if err := o.build(ctx, tmp, root); err != nil {
		return 0, err
	}
	src, err := harness.NewSource(root)
	if err != nil {
		return 0, err
	}
	b := &bench{options: o, src: src, bare: map[int][]sample{}}
	defer func() { _ = b.close() }() // it has no directory of its own
	if err := b.startCluster(ctx, o.bin, filepath.Join(tmp, "cluster")); err != nil {
		return 0, err
	}
	preload, err := src.Requests(128, livePreload/128)
	if err != nil {
		return 0, err
	}
	if _, err := b.nodesAt.cell(ctx, preload, 2*time.Minute, nil); err != nil {
		return 0, fmt.Errorf("preload: %w", err)
	}
	if _, err := settle(ctx, b.cluster, b.client); err != nil {
		return 0, err
	}
	var calm, busy []sample
	for i := range o.rounds {
		for _, rebuild := range []bool{false, true} {
			s, err := b.liveRound(ctx, i, rebuild)
			if err != nil {
				return 0, err
			}
			if rebuild {
				busy = append(busy, s)
			} else {
				calm = append(calm, s)
			}
		}
	}
	p99 := func(s sample) float64 { return s.p99 }
	return median(busy, p99) / median(calm, p99), nil
}

func (b *bench) liveRound(ctx context.Context, round int, rebuild bool) (sample, error) {
	requests, err := b.src.Requests(liveConnections, int(float64(b.most)*b.span.Seconds())/liveConnections)
	if err != nil {
		return sample{}, err
	}
	what, number := "without a rebuild", uint32(0)
	s, err := b.nodesAt.cell(ctx, requests, b.span, func() (err error) {
		if rebuild {
			what = "with a rebuild"
			number, err = b.startGeneration(ctx)
		}
		return err
	})
	if err != nil {
		return s, err
	}
	progress := ""
	if rebuild {
		if progress, err = b.endGeneration(ctx, number); err != nil {
			return s, err
		}
	}
	fmt.Printf("round %d  %d clients %-17s %6.0f records/s  p50 %.1f ms  p99 %.1f ms%s\n", round+1, liveConnections, what, s.rate(), s.p50, s.p99, progress)
	return s, nil
}

func (b *bench) startGeneration(ctx context.Context) (uint32, error) {
	var page struct {
		Items []struct {
			ID string `json:"id"`
		} `json:"items"`
	}
	if err := b.call(ctx, http.MethodGet, "/v1/policies", nil, &page); err != nil {
		return 0, err
	}
	var g struct {
		Generation uint32 `json:"generation"`
	}
	return g.Generation, b.call(ctx, http.MethodPost, "/v1/generations", map[string]string{"policy": page.Items[0].ID}, &g)
}

// endGeneration reports the progress of the rebuild and drops it.
func (b *bench) endGeneration(ctx context.Context, number uint32) (string, error) {
	var g struct {
		Nodes []struct {
			Seq, Committed uint64
		} `json:"nodes"`
	}
	path := fmt.Sprintf("/v1/generations/%d", number)
	if err := b.call(ctx, http.MethodGet, path, nil, &g); err != nil {
		return "", err
	}
	var at []string
	for _, n := range g.Nodes {
		at = append(at, fmt.Sprintf("%d%%", 100*n.Seq/max(n.Committed, 1)))
	}
	return "  rebuilt so far " + strings.Join(at, " "), b.call(ctx, http.MethodDelete, path, nil, nil)
}

func (b *bench) call(ctx context.Context, method, path string, body, answer any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, b.cluster.API[0]+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode > 299 {
		return fmt.Errorf("%s %s: %s: %s: %w", method, path, resp.Status, got, err)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(got, answer)
}
