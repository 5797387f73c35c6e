package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/doctor"
	"github.com/recount-ledger/recount/wire"
)

// nodeState is one endpoint as it sees the cluster and itself.
type nodeState struct {
	view[wire.ClusterAnswer]
	Version  *wire.VersionAnswer `json:"version,omitempty"`
	Ready    *bool               `json:"ready,omitempty"`     // absent when it did not say
	NotReady []string            `json:"not_ready,omitempty"` // the checks that fail, and why
	DiskFree *uint64             `json:"disk_free_bytes,omitempty"`
	CertDays *int                `json:"certificate_days,omitempty"` // until the first of its certificates ends
}

func (a clusterCommands) statusCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show every node, the leader, and the health of the cluster", Args: exactArgs(),
		Long: `status asks every endpoint for its own state and its view of the others, and prints one row for each node and a verdict. Members
that are not endpoints are listed as the others see them. A learner gets all entries and does not vote:
a line of its own says how many entries of the leader it lacks, and whether it can be promoted. --all-views prints what each endpoint says of each member.
Exit code 5 when none answers or none knows a leader, 7 when the digests differ or the endpoints belong to different clusters.
It waits 5 seconds for an endpoint unless --timeout says otherwise.`,
		Example: `  recount cluster status --dev /tmp/recount
  recount cluster status --all-views
  recount cluster status -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.shortTimeout(cmd)
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			return a.status(cmd.Context(), c, all)
		},
	}
	cmd.Flags().BoolVar(&all, "all-views", false, "what each endpoint says of each member")
	return cmd
}

func (a clusterCommands) status(ctx context.Context, c *client.Client, all bool) error {
	states := a.askStates(ctx, c)
	if err := a.printStates(states, all); err != nil {
		return err
	}
	views := make([]view[wire.ClusterAnswer], len(states))
	leader, answers, ids := "", 0, map[string]bool{}
	for i, s := range states {
		views[i] = s.view
		if s.err == nil {
			answers++
			leader = cmp.Or(leader, s.Answer.Leader)
			ids[s.Answer.ClusterID] = true
		}
	}
	switch {
	case answers == 0:
		return silent(views)
	case len(ids) > 1:
		return &codedError{exitVerify, errors.New("the endpoints belong to different clusters"), "Check --endpoint."}
	case leader == "":
		return &codedError{exitUnavailable, errors.New("no endpoint knows a leader"),
			"A majority of the members must run and reach each other; see their logs."}
	}
	if err := silent(views); err != nil {
		a.notef("no answer: %v", err)
	}
	return a.verdict(ctx, c, states, leader)
}

// askStates asks every endpoint for all that status prints.
func (a clusterCommands) askStates(ctx context.Context, c *client.Client) []nodeState {
	views := callAll(ctx, a.app, c, func(ctx context.Context, c *client.Client) (*nodeState, error) {
		s := &nodeState{}
		var err error
		if s.Answer, err = c.Cluster(ctx); err != nil {
			return nil, err
		}
		s.Version, _ = c.Version(ctx) // what an endpoint does not say is a dash
		s.askReady(ctx, c)
		s.askMetrics(ctx, c)
		return s, nil
	})
	states := make([]nodeState, len(views))
	for i, v := range views {
		if v.Answer != nil {
			states[i] = *v.Answer
		}
		states[i].Endpoint, states[i].Error, states[i].err = v.Endpoint, v.Error, v.err
	}
	return states
}

func (s *nodeState) askReady(ctx context.Context, c *client.Client) {
	r, err := c.Once(ctx, client.Request{Method: http.MethodGet, Path: "/readyz", Query: url.Values{"verbose": {""}}})
	if err != nil || r.Status != http.StatusOK && r.Status != http.StatusServiceUnavailable {
		return
	}
	ready := r.Status == http.StatusOK
	s.Ready = &ready
	for line := range strings.Lines(string(r.Body)) {
		if name, why, ok := strings.Cut(strings.TrimSpace(line), " failed: "); ok {
			s.NotReady = append(s.NotReady, strings.TrimPrefix(name, "[-]")+": "+why)
		}
	}
}

// askMetrics reads the two metrics that status shows. They need a token that may read them.
func (s *nodeState) askMetrics(ctx context.Context, c *client.Client) {
	r, err := c.Once(ctx, client.Request{Method: http.MethodGet, Path: "/metrics"})
	if err != nil || r.Status != http.StatusOK {
		return
	}
	for lines := bufio.NewScanner(bytes.NewReader(r.Body)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		name, _, _ = strings.Cut(name, "{")
		switch name {
		case "flk_disk_free_bytes":
			free := uint64(max(n, 0))
			s.DiskFree = &free
		case "flk_tls_certificate_expiry_seconds":
			if days := int(n / 86400); s.CertDays == nil || days < *s.CertDays {
				s.CertDays = &days
			}
		}
	}
}

func (a clusterCommands) printStates(states []nodeState, all bool) error {
	row, head := statusRow(states),
		[]any{text("NODE", 1, 8), word("STATE", 2), word("SUFFRAGE", 12), text("READY", 3, 22),
			count("TERM", 8), count("COMMITTED", 4), count("APPLIED", 7),
			count("LAG", 5), text("VERSION", 6, 8), text("DISK FREE", 9, 9),
			text("CERTIFICATE", 10, 11), text("ENDPOINT", 11, 16), extra(text("CLUSTER", 13, 8))}
	if all {
		row, head = viewRows,
			[]any{text("ENDPOINT", 1, 24), text("CLUSTER", 9, 10), text("LEADER", 4, 8), count("TERM", 7),
				text("MEMBER", 2, 8), text("API", 11, 12), word("SUFFRAGE", 10), count("COMMITTED", 5),
				count("APPLIED", 6), count("LAG", 8), word("STATE", 3)}
	}
	l := newList(a.app, row, head...).uncounted()
	for _, s := range states {
		if err := l.add(s); err != nil {
			return err
		}
	}
	if !all && l.table != nil {
		for _, m := range notAsked(states) {
			l.table.row(m.ID, m.State, suffrage(m), "not asked", "-", number(m.CommittedSeq), number(m.AppliedSeq),
				number(m.Lag), "-", "-", "-", m.API, "-")
		}
	}
	return l.end()
}

// statusRow prints one line per endpoint, with what the others say of one that cannot be reached.
func statusRow(states []nodeState) func(*table, nodeState) {
	return func(t *table, s nodeState) {
		id, m := s.own(states)
		if s.err != nil {
			t.row(id, s.word(), suffrage(m), "-", "-", number(m.CommittedSeq), number(m.AppliedSeq),
				number(m.Lag), "-", "-", "-", s.Endpoint, "-")
			return
		}
		version := "-"
		if s.Version != nil {
			version = dash(s.Version.Version)
		}
		t.row(id, dash(m.State), suffrage(m), s.readiness(), s.Answer.Term, number(m.CommittedSeq),
			number(m.AppliedSeq), number(m.Lag), version, bytesText(s.DiskFree), daysText(s.CertDays),
			s.Endpoint, s.Answer.ClusterID)
	}
}

// suffrage names a learner as Raft does.
func suffrage(m wire.Member) string {
	if m.Suffrage == "nonvoter" {
		return "learner"
	}
	return dash(m.Suffrage)
}

// noteLearners prints how many entries each learner lacks and whether it can be promoted, as the leader sees it.
func (a clusterCommands) noteLearners(states []nodeState) {
	said := map[string]bool{}
	for _, s := range states {
		if s.Answer == nil {
			continue
		}
		for _, m := range s.Answer.Members {
			if m.Learner != nil && !said[m.ID] {
				said[m.ID] = true
				a.notef("learner %s %s", plain(m.ID), plain(learnerText(m.Learner)))
			}
		}
	}
}

// noteVersion says that the cluster version can rise, as the leader sees the members.
func (a clusterCommands) noteVersion(states []nodeState, leader string) {
	for _, s := range states {
		if s.Answer == nil || s.Version == nil || s.Version.Node != leader {
			continue
		}
		if common, away := doctor.CommonVersion(s.Answer); len(away) == 0 && common > s.Answer.ClusterVersion {
			a.notef("%s", plain(versionVerdict(s.Answer)))
		}
	}
}

func learnerText(l *wire.LearnerProgress) string {
	text := fmt.Sprintf("lacks %d entries of the leader and ", l.Lacks)
	if l.Promotable {
		return text + "can be promoted"
	}
	return text + "cannot be promoted yet: " + l.Why
}

// own returns the member behind the endpoint: as it says itself, or as the others know its address.
func (s *nodeState) own(states []nodeState) (id string, m wire.Member) {
	if s.Version != nil {
		id = s.Version.Node
	}
	for _, from := range append([]nodeState{*s}, states...) {
		if from.Answer == nil {
			continue
		}
		for _, m := range from.Answer.Members {
			if id != "" && m.ID == id || id == "" && strings.TrimRight(m.API, "/") == s.Endpoint {
				return m.ID, m
			}
		}
	}
	return dash(id), m
}

// notAsked are the members that no endpoint stands for.
func notAsked(states []nodeState) (out []wire.Member) {
	seen := map[string]bool{}
	for _, s := range states {
		id, _ := s.own(states)
		seen[id] = true
	}
	for _, s := range states {
		if s.Answer == nil {
			continue
		}
		for _, m := range s.Answer.Members {
			if !seen[m.ID] {
				seen[m.ID] = true
				out = append(out, m)
			}
		}
	}
	return out
}

func (s *nodeState) readiness() string {
	switch {
	case s.Ready == nil:
		return "-"
	case *s.Ready:
		return "yes"
	case len(s.NotReady) == 0:
		return "no"
	}
	return "no: " + strings.Join(s.NotReady, "; ")
}

func bytesText(n *uint64) string {
	if n == nil {
		return "-"
	}
	for _, unit := range []struct {
		size uint64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}} {
		if *n >= unit.size {
			return fmt.Sprintf("%.1f %s", float64(*n)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%d B", *n)
}

func daysText(n *int) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprintf("%d days", *n)
}

// verdict compares the digests and sums up in one line.
func (a clusterCommands) verdict(ctx context.Context, c *client.Client, states []nodeState, leader string) error {
	ready := 0
	for _, s := range states {
		if s.Ready != nil && *s.Ready {
			ready++
		}
	}
	a.noteLearners(states)
	a.noteVersion(states, leader)
	equal := "digests not compared"
	views, seq := a.digests(ctx, c, 0,
		func(ctx context.Context, c *client.Client, seq uint64) (*wire.DigestAnswer, error) {
			for _, s := range states { // who was waited for in vain is not asked again
				if s.Endpoint == c.Endpoints()[0] && s.err != nil {
					return nil, s.err
				}
			}
			return c.Digest(ctx, seq)
		})
	if seq > 0 {
		agreed, err := sameDigests(views, seq)
		if err != nil {
			return err
		}
		if agreed > 1 {
			equal = fmt.Sprintf("%d digests equal at seq %d", agreed, seq)
		}
	}
	a.notef("%d of %d ready, leader %s, %s", ready, len(states)+len(notAsked(states)), leader, equal)
	return nil
}

// viewRows prints one line per member that an endpoint knows, the view's own columns on the first only.
func viewRows(t *table, s nodeState) {
	if s.err != nil {
		t.row(s.Endpoint, "-", "-", "-", "-", "-", "-", "-", "-", "-", s.word())
		return
	}
	lead := []any{s.Endpoint, s.Answer.ClusterID, dash(s.Answer.Leader), s.Answer.Term}
	for _, m := range s.Answer.Members {
		t.row(append(lead, m.ID, m.API, m.Suffrage, number(m.CommittedSeq), number(m.AppliedSeq), number(m.Lag),
			m.State)...)
		lead = []any{"", "", "", ""}
	}
}
