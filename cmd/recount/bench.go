package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/load"
	"github.com/recount-ledger/recount/internal/sample"
	"github.com/recount-ledger/recount/sign"
)

// benchCommands implements recount bench.
type benchCommands struct{ *app }

// benchFlags are those of recount bench.
type benchFlags struct {
	signFlags
	rate     float64
	clients  int
	inFlight int
	duration time.Duration
	prefix   string
	shards   int
	retry    bool
	confirm  confirmFlags
}

// mostSenders bounds the records under way at once. Each has a connection.
const mostSenders = 1024

func (a benchCommands) command() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure how many records the ledger takes, and how fast it answers", Args: exactArgs(),
		Long: `bench sends signed records to the ledger for some time and prints how long the answers took.

With --rate R, R records become due in each second, whether answers come or not. The time of an answer begins when its record is due,
so the wait behind a slow answer counts. With --clients N, each of N clients sends its next record when it has the last answer.

The records stay in the ledger permanently. The command asks before it begins, in scripts give --yes. It signs with the key of
--key-file, which the ledger must trust: make one for tests only, and retire it afterwards. Its shards are called PREFIX-RUN-NUMBER,
where RUN is new each time, so no shard of others gets a record. The first record must be accepted before others are sent.

Each record is sent once. With --retry it is sent again as agents do, and the time ends with the last answer. Limits of the nodes
apply: token_rate is 100 records a second on each node by default, and what is over it fails with throttled.

Exit code: 0 the ledger took every record, 1 a record failed or was never sent, 2 wrong usage. An interrupt ends the test early and
prints what was measured.`,
		Example: `  recount keygen hmac --out bench
  recount bench --rate 200 --duration 1m --key-file bench.key
  recount bench --clients 64 --duration 30s --key-file bench.key --yes -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.bench(cmd.Context(), &f) },
	}
	flags := cmd.Flags()
	flags.Float64Var(&f.rate, "rate", 0, "records a second, at a constant rate")
	flags.IntVar(&f.clients, "clients", 0, "clients that each wait for an answer before they send again")
	flags.IntVar(&f.inFlight, "in-flight", 256, "with --rate: the most records under way at once")
	cli.Span(flags, &f.duration, "duration", time.Minute, "how long records become due")
	flags.StringVar(&f.keyFile, "key-file", "", "file with the key of the test (required)")
	flags.StringVar(&f.alg, "alg", "", "hmac or ed25519 (default: ed25519 for a PEM file, else hmac)")
	flags.StringVar(&f.scheme, "scheme", sign.PCS1, "what is signed: pcs/1 (eight members) or pcs/2 (the whole record)")
	flags.StringVar(&f.prefix, "shard-prefix", "bench", "how the names of the shards begin")
	flags.IntVar(&f.shards, "shards", 0, "number of shards (default: one for each record under way)")
	flags.BoolVar(&f.retry, "retry", false, "send again what failed, as agents do, until --timeout")
	flags.BoolVarP(&f.confirm.yes, "yes", "y", false, "do it without asking (for scripts)")
	cli.Closed(cmd, "scheme", sign.PCS1, sign.PCS2)
	return cmd
}

// validate checks the flags and fills in what follows from others.
func (f *benchFlags) validate() error {
	senders := f.senders()
	if f.shards == 0 {
		f.shards = senders
	}
	switch {
	case (f.rate == 0) == (f.clients == 0):
		return usagef("give either --rate R, for a constant rate, or --clients N, for clients that wait for each " +
			"answer")
	case f.rate < 0 || f.rate > 1e6:
		return usagef("--rate: more than 0 and at most 1000000 records a second")
	case senders < 1 || senders > mostSenders:
		return usagef("--clients and --in-flight must be in 1..%d", mostSenders)
	case f.duration <= 0:
		return usagef("--duration must be positive")
	case f.shards < senders || f.shards > 1_000_000:
		return usagef("--shards: %d to 1000000; each record under way needs one of its own", senders)
	case len(f.prefix) > 64 || strings.ContainsFunc(f.prefix, notInPrefix):
		return usagef("--shard-prefix: at most 64 letters, digits, dots, underscores and hyphens")
	}
	return nil
}

func notInPrefix(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
}

func (f *benchFlags) senders() int {
	if f.clients != 0 {
		return f.clients
	}
	return f.inFlight
}

func (a benchCommands) bench(ctx context.Context, f *benchFlags) error {
	if err := f.validate(); err != nil {
		return err
	}
	key, err := f.key()
	if err != nil {
		return err
	}
	records, err := sample.With(key, f.scheme)
	if err != nil {
		return usagef("--key-file %s: %w", f.keyFile, err)
	}
	cfg := load.Config{
		Rate: f.rate, Senders: f.senders(), Shards: f.shards, Duration: f.duration, Grace: a.timeout,
		Prefix: f.prefix + "-" + strings.ToLower(rand.Text()[:8]), Sign: records.Signed,
	}
	f.confirm.does = "writes records that stay in the ledger permanently"
	f.confirm.then = "The records stay in the ledger permanently."
	if err := a.app.confirm(ctx, &f.confirm, "bench", benchHits(&cfg, key.ID())); err != nil {
		return err
	}
	a.noteCluster(ctx)
	a.patient = true
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := a.tryOne(ctx, c, &cfg, key.ID()); err != nil {
		return err
	}
	return a.runBench(ctx, f, cfg)
}

// benchHits describes the records that a test will write.
func benchHits(cfg *load.Config, key string) func(context.Context, *client.Client) (string, string, error) {
	return func(ctx context.Context, c *client.Client) (string, string, error) {
		v, err := c.Version(ctx)
		if err != nil {
			return "", "", err
		}
		much := fmt.Sprintf("as many records as %s can send", plural(cfg.Senders, "client"))
		if cfg.Rate > 0 {
			much = plural(int(cfg.Planned(cfg.Duration)), "record")
		}
		return v.ClusterID, fmt.Sprintf("%s in %s, signed by %s, to %s of the name %s-NUMBER", much, cfg.Duration, key,
			plural(cfg.Shards, "shard"), cfg.Prefix), nil
	}
}

// tryOne sends one record, to a shard of its own. A ledger that does not take it would take none of the others.
func (a benchCommands) tryOne(ctx context.Context, c *client.Client, cfg *load.Config, key string) error {
	body, err := cfg.Sign(cfg.Prefix+"-first", 1)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	result, err := c.Submit(ctx, body)
	if errors.Is(err, client.ErrRejected) {
		return &codedError{exitFailed, fmt.Errorf("the first record was refused, so no other one was sent: %w", err),
			fmt.Sprintf("Let the ledger trust %s and let the key sign for shards %s-*: \"recount key show %s\".", key,
				cfg.Prefix[:strings.LastIndexByte(cfg.Prefix, '-')], key)}
	}
	if err != nil {
		return &codedError{exitFailed, fmt.Errorf("the first record was not taken, so no other one was sent: %w", err),
			nextStep(err)}
	}
	if !result.Accepted {
		a.notef("the first record was escalated (%s); the ledger keeps records that are", plain(result.ReasonCode))
	}
	return nil
}

// runBench measures with a client for each sender.
func (a benchCommands) runBench(ctx context.Context, f *benchFlags, cfg load.Config) error {
	senders := make([]*client.Client, cfg.Senders)
	for i := range senders {
		c, err := a.connect()
		if err != nil {
			return err
		}
		defer c.Close()
		senders[i] = c
	}
	cfg.Send = load.Submitter(senders, a.timeout, f.retry)
	shown := newBenchProgress(a.app)
	cfg.Progress = shown.update
	report, err := load.Run(ctx, cfg)
	shown.end()
	if err != nil {
		return err
	}
	if err := a.showBench(report); err != nil {
		return err
	}
	return benchVerdict(report)
}
