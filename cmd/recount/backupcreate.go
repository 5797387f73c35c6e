package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/secretfile"
	"github.com/recount-ledger/recount/internal/version"
)

// encodeKey returns a public key as recount keygen writes it.
func encodeKey(key ed25519.PublicKey) string { return base64.StdEncoding.EncodeToString(key) }

// createFlags are those of backup create.
type createFlags struct {
	key    string
	every  time.Duration
	keep   int
	check  bool
	file   string // for metrics
	listen string // likewise
}

func (a backupCommands) createCommand() *cobra.Command {
	var f createFlags
	cmd := &cobra.Command{
		Use: "create TARGET --key FILE", Short: "Back up the log of one node", Args: exactArgs("TARGET"),
		Long: `create copies the log of one node to TARGET: a directory, which it makes if need be, or s3://BUCKET/PREFIX ("recount backup
--help" says more). It has everything that was acknowledged before it began. It sends only files that TARGET does not have. So
it takes the node of the backup before, since the files of two nodes differ, or a follower if that node does not answer. It
needs a token of the role operator. With --local it takes what the node has folded, also when no majority is left.

The node reads at most copy_rate bytes a second (one of its settings, 32 MiB). An interrupted backup can be repeated and goes
on where it was.

With --every it makes one backup after the other until a signal stops it, with exit code 0. A failed one is reported and
tried again, after a minute first and then after longer pauses. --check reads each backup back and compares every hash.

--metrics-file writes the result to a file for the textfile collector of the Prometheus node exporter, --metrics-listen
answers scrapes at http://ADDRESS/metrics. The alert RecountBackupOld needs one of the two.`,
		Example: `  recount backup create /mnt/backups --key backup.key
  recount backup create /mnt/backups --key backup.key --every 1h --keep 48 --check \
    --metrics-file /var/lib/node_exporter/recount_backup.prom`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.create(cmd.Context(), args[0], &f) },
	}
	cmd.Flags().StringVar(&f.key, "key", "", "file with the private Ed25519 key that signs the manifest (required)")
	cli.Span(cmd.Flags(), &f.every, "every", 0, "make a backup this often until stopped, such as 1h (default: one)")
	cmd.Flags().IntVar(&f.keep, "keep", 0, "remove all but this many backups after each one (default: none)")
	cmd.Flags().BoolVar(&f.check, "check", false, "read each backup back and compare the hash of every file")
	cmd.Flags().StringVar(&f.file, "metrics-file", "", "write metrics to this file after each backup")
	cmd.Flags().StringVar(&f.listen, "metrics-listen", "", "with --every: serve metrics at this host:port, without TLS")
	return cmd
}

func (f *createFlags) readKey() (ed25519.PrivateKey, error) {
	if f.key == "" {
		return nil, &codedError{exitUsage, errors.New("--key is required"),
			"\"recount keygen ed25519 --out backup\" makes backup.key and backup.pub."}
	}
	raw, err := secretfile.Read(f.key)
	if err != nil {
		return nil, usagef("--key: %w", err)
	}
	key, err := backup.ParseKey(raw)
	if err != nil {
		return nil, usagef("--key: %s: %w", f.key, err)
	}
	return key, nil
}

func (a backupCommands) create(ctx context.Context, location string, f *createFlags) error {
	if f.keep < 0 || f.every < 0 {
		return usagef("--keep and --every must not be negative")
	}
	if f.listen != "" && f.every == 0 {
		return usagef("--metrics-listen needs --every: otherwise nobody would be there to scrape")
	}
	key, err := f.readKey()
	if err != nil {
		return err
	}
	a.noteCluster(ctx)
	a.patient = true
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	turns := &backupTurns{a: a, client: c, location: location, key: key, flags: f, metrics: backup.NewMetrics(true)}
	if f.every == 0 {
		return turns.one(ctx)
	}
	return turns.repeat(ctx)
}

// createOne makes one backup.
func (a backupCommands) createOne(ctx context.Context, c *client.Client, t backup.Target,
	key ed25519.PrivateKey) (*backup.Manifest, error) {
	before, _, err := backup.Read(ctx, t, "", nil)
	if errors.Is(err, backup.ErrAbsent) {
		before, err = &backup.Manifest{}, nil
	}
	if err != nil {
		return nil, backupError(err)
	}
	node, err := a.chooseNode(ctx, c, before.Node)
	if err != nil {
		return nil, err
	}
	work := newWork(a.app)
	m, err := backup.Create(ctx, backup.Options{Target: t, Source: client.CopiesOf(c, node), Key: key, Local: a.local,
		Tool: "recount " + version.Name(), At: time.Now(), Progress: work.update})
	work.end()
	if err != nil {
		return nil, backupError(err)
	}
	return m, nil
}

// chooseNode returns the number of an endpoint that answers: of the node before, whose tables the target has, else of a
// follower if there is one. Each node writes its tables at other entries.
func (a backupCommands) chooseNode(ctx context.Context, c *client.Client, before string) (int, error) {
	leader, found, follows := "", -1, false
	if s, err := c.Cluster(ctx); err == nil {
		leader = s.Leader
	}
	var errs []error
	for i := range c.Endpoints() {
		ask, cancel := context.WithTimeout(ctx, a.timeout)
		v, err := c.At(i).Version(ask)
		cancel()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if v.Node == before {
			return i, nil
		}
		if follower := v.Node != leader; found < 0 || follower && !follows {
			found, follows = i, follower
		}
	}
	if found < 0 {
		return 0, errors.Join(errs...)
	}
	return found, nil
}
