package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/internal/version"
	"github.com/recount-ledger/recount/wire"
)

// view holds the answer of one endpoint. Exactly one of Answer and Error is set.
type view[T any] struct {
	Endpoint string `json:"endpoint"`
	Answer   *T     `json:"answer,omitempty"`
	Error    string `json:"error,omitempty"`
	err      error
}

// word returns the cell for a missing answer: "refused" when the node rejects the credentials, "no answer" when it is
// silent.
func (v view[T]) word() string {
	var p *wire.Problem
	switch {
	case !errors.As(v.err, &p):
		return "no answer"
	case p.Code == wire.CodeUnauthorized, p.Code == wire.CodeForbidden:
		return "refused"
	}
	return string(p.Code)
}

// callAll asks every endpoint on its own, all at once. The views are in the order of the endpoints.
func callAll[T any](ctx context.Context, a *app, c *client.Client,
	fn func(context.Context, *client.Client) (*T, error)) []view[T] {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	views := make([]view[T], len(c.Endpoints()))
	var all sync.WaitGroup
	for i, endpoint := range c.Endpoints() {
		all.Go(func() {
			v := view[T]{Endpoint: endpoint}
			if v.Answer, v.err = fn(ctx, c.At(i)); v.err != nil {
				v.Error = v.err.Error()
			}
			views[i] = v
		})
	}
	all.Wait()
	return views
}

// silent returns the endpoints that gave no answer, as one error.
func silent[T any](views []view[T]) error {
	var all []error
	for _, v := range views {
		if v.err != nil {
			all = append(all, v.err)
		}
	}
	if len(all) == 0 {
		return nil
	}
	if len(all) == 1 {
		return all[0]
	}
	return &codedError{exitCode(all[0]), errors.Join(all...), ""}
}

// shortTimeout lets commands that ask every node report a dead one soon.
func (a *app) shortTimeout(cmd *cobra.Command) {
	if !cmd.Flags().Changed("timeout") {
		a.timeout = a.timeout / 6
	}
}

// clusterCommands implements the questions to every node: cluster, digest, version and whoami.
type clusterCommands struct{ *app }

func (a clusterCommands) digestCommand() *cobra.Command {
	var seq uint64
	cmd := &cobra.Command{
		Use: "digest", Short: "Compare the digests of all endpoints", Args: exactArgs(),
		Long: `digest asks every endpoint for its digests of the log, of the outcomes and of the control state at one seq: --seq, or
the lowest head among them. Exit code 7 when they differ, 5 when an endpoint does not answer.
It waits 5 seconds for an endpoint unless --timeout says otherwise.`,
		Example: `  recount digest --dev /tmp/recount
  recount digest --seq 1000 --endpoint https://a:9440 --endpoint https://b:9440`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.shortTimeout(cmd)
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			return a.compareDigests(cmd.Context(), c, seq)
		},
	}
	cmd.Flags().Uint64Var(&seq, "seq", 0, "compare at this seq (default: the lowest head)")
	return cmd
}

func (a clusterCommands) compareDigests(ctx context.Context, c *client.Client, seq uint64) error {
	views, seq := a.digests(ctx, c, seq,
		func(ctx context.Context, c *client.Client, seq uint64) (*wire.DigestAnswer, error) {
			return c.Digest(ctx, seq)
		})
	l := newList(a.app, func(t *table, v view[wire.DigestAnswer]) {
		if v.err != nil {
			t.row(v.Endpoint, "-", "-", "-", "-", "-", v.word())
			return
		}
		d := v.Answer
		t.row(v.Endpoint, d.Seq, d.Generation, dash(d.Log), dash(d.State), dash(d.Control), "ok")
	}, text("ENDPOINT", 1, 24), count("SEQ", 2), count("GENERATION", 7), hexID("LOG", 4), hexID("STATE", 5),
		hexID("CONTROL", 6), word("ANSWER", 3)).uncounted()
	for _, v := range views {
		if err := l.add(v); err != nil {
			return err
		}
	}
	if err := l.end(); err != nil {
		return err
	}
	return digestVerdict(a.app, views, seq)
}

// digests asks every endpoint for its digest at seq, 0 for the lowest head among them. Right after an
// activation a node may be an event behind: what it says of the outcomes is of another generation. So it is
// asked again, for as long as one waits for an answer.
func (a clusterCommands) digests(ctx context.Context, c *client.Client, seq uint64,
	digest func(context.Context, *client.Client, uint64) (*wire.DigestAnswer, error),
) ([]view[wire.DigestAnswer], uint64) {
	for end := time.Now().Add(a.timeout); ; {
		at := seq
		askThem := func(ctx context.Context, c *client.Client) (*wire.DigestAnswer, error) { return digest(ctx, c, at) }
		views := callAll(ctx, a.app, c, askThem)
		if at == 0 {
			for _, v := range views {
				if v.err == nil && (at == 0 || v.Answer.Seq < at) {
					at = v.Answer.Seq
				}
			}
			if at > 0 && len(views) > 1 {
				views = callAll(ctx, a.app, c, askThem)
			}
		}
		if !switching(views) || time.Now().After(end) || pause.For(ctx, 100*time.Millisecond) != nil {
			return views, at
		}
	}
}

// switching reports whether some nodes answer with one generation and some with another.
func switching(views []view[wire.DigestAnswer]) bool {
	generations := map[uint32]bool{}
	for _, v := range views {
		if v.err == nil {
			generations[v.Answer.Generation] = true
		}
	}
	return len(generations) > 1
}

// sameDigests counts the answers, which must be the same. Outcomes of two generations are not compared.
func sameDigests(views []view[wire.DigestAnswer], seq uint64) (agreed int, err error) {
	var one *view[wire.DigestAnswer]
	for i := range views {
		v := &views[i]
		if v.err != nil {
			continue
		}
		agreed++
		if one == nil {
			one = v
			continue
		}
		x, y := *one.Answer, *v.Answer
		if x.Generation != y.Generation {
			y.Generation, y.State = x.Generation, x.State
			err = &codedError{exitUnavailable,
				fmt.Errorf("%s answers with generation %d, %s with generation %d: one of them has not folded "+
					"the last activation yet",
					one.Endpoint, x.Generation, v.Endpoint, v.Answer.Generation),
				"Ask again in a moment; \"recount cluster status\" shows which node is behind."}
		}
		if !reflect.DeepEqual(x, y) {
			return agreed, &codedError{exitVerify,
				fmt.Errorf("%s and %s differ at seq %d", one.Endpoint, v.Endpoint, seq),
				"Print the whole values with -o json; find the first difference with --seq; keep the data " +
					"directories of both nodes."}
		}
	}
	return agreed, err
}

func digestVerdict(a *app, views []view[wire.DigestAnswer], seq uint64) error {
	if _, err := sameDigests(views, seq); err != nil {
		return err
	}
	if err := silent(views); err != nil {
		return err
	}
	a.notef("%d endpoints agree at seq %d", len(views), seq)
	return nil
}

func (a clusterCommands) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cluster", Short: "Show the cluster, change its members and its version",
		Example: "  recount cluster status --dev /tmp/recount",
	}
	cmd.AddCommand(a.statusCommand(), a.clusterVersionCommand(), a.upgradeCommand())
	cmd.AddCommand(memberCommands(a).commands()...)
	return cmd
}

func (a clusterCommands) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of this tool, and of the nodes when endpoints are given",
		Args:  exactArgs(),
		Example: `  recount version
  recount version --dev /tmp/recount -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.shortTimeout(cmd)
			l := newList(a.app, func(t *table, v view[wire.VersionAnswer]) {
				if v.err != nil {
					t.row(v.Endpoint, v.word(), "-", "-", "-", "-", "-", "-", "-")
					return
				}
				x := v.Answer
				t.row(v.Endpoint, x.Version, x.Go, dash(x.Node), dash(x.ClusterID),
					dash(strings.Trim(fmt.Sprint(x.Kernels), "[]")), dash(x.Platform), dash(x.Commit),
					dash(x.CommitTime))
			}, text("WHERE", 1, 24), text("VERSION", 2, 10), text("GO", 6, 6), text("NODE", 3, 8),
				text("CLUSTER", 4, 10), text("KERNELS", 5, 7), extra(text("PLATFORM", 7, 8)),
				extra(text("COMMIT", 8, 12)), extra(text("COMMITTED", 9, 10))).uncounted()
			b := version.Get()
			own := &wire.VersionAnswer{
				Version:      b.Version,
				Go:           b.Go,
				Platform:     b.Platform,
				Commit:       b.Commit,
				CommitTime:   b.Time,
				Kernels:      []int{},
				KnowsVersion: event.NewestVersion,
			}
			views := []view[wire.VersionAnswer]{{Endpoint: "recount", Answer: own}}
			if a.given() {
				c, err := a.connect()
				if err != nil {
					return err
				}
				defer c.Close()
				views = append(views,
					callAll(cmd.Context(), a.app, c,
						func(ctx context.Context, c *client.Client) (*wire.VersionAnswer, error) {
							return c.Version(ctx)
						})...)
			}
			for _, v := range views {
				if err := l.add(v); err != nil {
					return err
				}
			}
			return errors.Join(l.end(), silent(views))
		},
	}
}
