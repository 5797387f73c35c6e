package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/recount-ledger/recount/test/harness"
)

// evidenceClients are the numbers of connections with which the cost of evidence is measured.
var evidenceClients = []int{64, 1}

// evidenceSetting is the setting without which a node signs no checkpoints.
const evidenceSetting = "checkpoint_key_file"

// runEvidence measures single records on two clusters of one binary in turn. The nodes of one sign checkpoints, those of the
// other have no key. Both have restarted once with changed settings.
func runEvidence(ctx context.Context, o options) (err error) {
	b, err := newBench(ctx, o, "recount-evidence-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if b.subject, err = b.evident(ctx, "checkpoints", true); err != nil {
		return err
	}
	if b.base, err = b.evident(ctx, "none", false); err != nil {
		return err
	}
	for i := range o.rounds {
		for _, conns := range evidenceClients {
			requests, err := b.src.Requests(conns, int(float64(b.most)*b.span.Seconds())/conns)
			if err != nil {
				return err
			}
			for _, s := range b.subjects(i) {
				if err := s.measure(ctx, i, conns, requests, b.span); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
			}
		}
	}
	for _, conns := range evidenceClients {
		with, without := b.subject, b.base
		each := func(s *subject) float64 { return s.used[conns].cpu / s.records(conns) / 3 * 1e6 }
		fmt.Printf("bench-evidence: connections=%d rate_ratio=%.3f cpu_us_with=%.1f cpu_us_without=%.1f p99_ms_with=%.1f p99_ms_without=%.1f\n",
			conns, median(with.nodes[conns], sample.rate)/median(without.nodes[conns], sample.rate), each(with), each(without),
			with.p99(with.nodes[conns]), without.p99(without.nodes[conns]))
	}
	return nil
}

// evident starts three nodes with or without a checkpoint key.
func (b *bench) evident(ctx context.Context, name string, signs bool) (*subject, error) {
	s, err := newSubject(ctx, name, b.bin, filepath.Join(b.tmp, name))
	if err != nil {
		return s, err
	}
	key := filepath.Join(b.tmp, name, "evidence.key")
	settings, err := os.ReadFile(filepath.Join(s.cluster.NodeDir(0), "config.yaml"))
	if err != nil {
		return s, err
	}
	id := harness.SettingOf(string(settings), "cluster_id")
	create := exec.CommandContext(ctx, b.bin, "checkpoint-key", "create", "--cluster", id, "--out", key)
	if out, err := create.CombinedOutput(); err != nil {
		return s, fmt.Errorf("%w: %s", err, out)
	}
	for i := range s.cluster.API {
		if err := s.setKey(i, key, signs); err != nil {
			return s, err
		}
		if err := s.cluster.AwaitReady(ctx, i); err != nil {
			return s, err
		}
	}
	requests, err := b.src.Requests(1, 500)
	if err != nil {
		return s, err
	}
	_, err = s.nodesAt.cell(ctx, requests, b.span, nil)
	return s, err
}

// setKey starts a node again with settings that name this key, or none.
func (s *subject) setKey(i int, key string, signs bool) error {
	path := filepath.Join(s.cluster.NodeDir(i), "config.yaml")
	settings, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var text strings.Builder
	for line := range strings.Lines(string(settings)) {
		if !strings.HasPrefix(line, evidenceSetting+":") {
			text.WriteString(line)
		}
	}
	if signs {
		fmt.Fprintf(&text, "%s: %s\n", evidenceSetting, key)
	}
	return errors.Join(os.WriteFile(path, []byte(text.String()), 0o600), s.cluster.Kill(i), s.cluster.Restart(i, s.env...))
}
