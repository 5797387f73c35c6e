package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/internal/secretfile"
	"github.com/recount-ledger/recount/internal/version"
)

// encodeKey returns a public key as recount keygen writes it.
func encodeKey(key ed25519.PublicKey) string { return base64.StdEncoding.EncodeToString(key) }

// createFlags are those of backup create.
type createFlags struct {
	key     string
	every   time.Duration
	keep    int
	metrics string
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

With --every it makes one backup after the other until it is stopped. A failed one is reported and tried again at the next
turn. --metrics writes the result to a file for the textfile collector of the Prometheus node exporter.`,
		Example: `  recount backup create /mnt/backups --key backup.key
  recount backup create /mnt/backups --key backup.key --every 1h --keep 48 --metrics /var/lib/node_exporter/recount_backup.prom`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.create(cmd.Context(), args[0], &f) },
	}
	cmd.Flags().StringVar(&f.key, "key", "", "file with the private Ed25519 key that signs the manifest (required)")
	cli.Span(cmd.Flags(), &f.every, "every", 0, "make a backup this often until stopped, such as 1h (default: one)")
	cmd.Flags().IntVar(&f.keep, "keep", 0, "remove all but this many backups after each one (default: none)")
	cmd.Flags().StringVar(&f.metrics, "metrics", "", "write metrics about the last backup to this file")
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
	for {
		began := time.Now()
		m, err := a.createOne(ctx, c, location, key, f.keep)
		if err == nil {
			err = writeBackupMetrics(f.metrics, m, time.Since(began))
		}
		if f.every == 0 || ctx.Err() != nil {
			return err
		}
		if err != nil {
			a.notef("backup failed, the next one is due in %s: %v", f.every, err)
		}
		if err := pause.For(ctx, time.Until(began.Add(f.every))); err != nil {
			return err
		}
	}
}

// createOne makes one backup, removes old ones if asked to, and prints the manifest.
func (a backupCommands) createOne(ctx context.Context, c *client.Client, location string, key ed25519.PrivateKey,
	keep int) (*backup.Manifest, error) {
	t, err := backup.CreateTarget(ctx, location)
	if err != nil {
		return nil, usage(backupError(err))
	}
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
		Tool: "recount " + version.Version, At: time.Now(), Progress: work.update})
	work.end()
	if err != nil {
		return nil, backupError(err)
	}
	if keep > 0 {
		if _, err := backup.Prune(ctx, t, keep, false); err != nil {
			return nil, backupError(err)
		}
	}
	return m, a.printManifest(m)
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

// writeBackupMetrics writes the metrics of the last backup, all at once, for the textfile collector.
func writeBackupMetrics(path string, m *backup.Manifest, took time.Duration) error {
	if path == "" {
		return nil
	}
	text := fmt.Sprintf(`# HELP recount_backup_created_timestamp_seconds When the last backup was made.
# TYPE recount_backup_created_timestamp_seconds gauge
recount_backup_created_timestamp_seconds %d
# HELP recount_backup_seq Last event of the last backup.
# TYPE recount_backup_seq gauge
recount_backup_seq %d
# HELP recount_backup_bytes Size of all files of the last backup.
# TYPE recount_backup_bytes gauge
recount_backup_bytes %d
# HELP recount_backup_new_bytes Size of the files that the last backup sent.
# TYPE recount_backup_new_bytes gauge
recount_backup_new_bytes %d
# HELP recount_backup_seconds How long the last backup took.
# TYPE recount_backup_seconds gauge
recount_backup_seconds %.3f
`, time.Now().Unix(), m.Position.Seq, m.Bytes, m.NewBytes, took.Seconds())
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
