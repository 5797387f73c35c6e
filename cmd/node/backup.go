package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/restore"
	"github.com/recount-ledger/recount/internal/secretfile"
	"github.com/recount-ledger/recount/internal/term"
)

// backupFlags name a backup and the key that must have signed it.
type backupFlags struct {
	publicKey string
	output    string
}

func backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Verify a backup, or found a new cluster with it",
		Long: `Verify a backup by opening and folding it, or found a new cluster with it. No node needs to run, and a backup is never changed.

"recount backup" makes, lists and removes backups. docs/backup.md goes through all steps.`,
		Example: `  recount-node backup verify /mnt/backups --public-key backup.pub
  recount-node backup restore /mnt/backups --public-key backup.pub --dir /var/lib/recount --cluster-id prod-b \
    --node-id prod-b-1 --peer-address 10.0.0.21:9441 --reason "site a burned down"`,
	}
	cmd.AddCommand(verifyBackupCommand(), restoreCommand())
	return cmd
}

func (f *backupFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.publicKey, "public-key", "",
		"file with the public key that must have signed the manifest (required)")
	cmd.Flags().StringVarP(&f.output, "output", "o", "table", "table (text for people) or json")
	cli.Closed(cmd, "output", "table", "json")
}

// open reads the manifest of the backup that the arguments TARGET and ID name, of the newest one without an ID.
func (f *backupFlags) open(ctx context.Context, args []string) (backup.Target, *backup.Manifest, error) {
	if len(args) == 0 {
		return nil, nil, wrong(errors.New("name the directory, or the s3://BUCKET/PREFIX, with the backups"))
	}
	key, err := f.key()
	if err != nil {
		return nil, nil, wrong(err)
	}
	id := ""
	if len(args) > 1 {
		if id = args[1]; backup.CheckID(id) != nil {
			return nil, nil, wrong(backup.CheckID(id))
		}
	}
	t, err := backup.OpenTarget(ctx, args[0])
	if err != nil {
		return nil, nil, wrong(err)
	}
	m, _, err := backup.Read(ctx, t, id, key)
	return t, m, err
}

func (f *backupFlags) key() (ed25519.PublicKey, error) {
	if f.publicKey == "" {
		return nil, errors.New("--public-key is required: the file .pub of the key that signs your backups; a key " +
			"that comes with the backup proves nothing")
	}
	raw, err := secretfile.ReadPublic(f.publicKey)
	if err != nil {
		return nil, fmt.Errorf("--public-key: %w", err)
	}
	key, err := backup.ParsePublicKey(raw)
	if err != nil {
		return nil, fmt.Errorf("--public-key: %s: %w", f.publicKey, err)
	}
	return key, nil
}

// tell prints how far a stage is, every two seconds. A stage may begin where an earlier run has ended.
func tell(to io.Writer) restore.Progress {
	var stage string
	var began, last time.Time
	var from uint64
	return func(now string, done, total uint64) {
		at := time.Now()
		if now != stage {
			stage, began, last, from = now, at, at, done
		}
		if at.Sub(last) < 2*time.Second || done <= from {
			return
		}
		last = at
		rate := float64(done-from) / at.Sub(began).Seconds()
		left := float64(total-min(done, total)) / rate
		fmt.Fprintf(to, "%s: %d of %d, %.0f/s, %.0f s left\n", stage, done, total, rate, left)
	}
}

func verifyBackupCommand() *cobra.Command {
	var f backupFlags
	var work, metrics string
	cmd := &cobra.Command{
		Use: "verify TARGET [ID] --public-key FILE", Short: "Open and fold a backup and compare its digests",
		Args: cobra.MaximumNArgs(2),
		Long: `Verify a backup in TARGET, a directory or s3://BUCKET/PREFIX ("recount backup --help" says more), the newest one without an ID: the signature of its manifest, the hash of every file, the log as a node opens it, and
the digests of log, outcomes and control state, which are folded again from the first event on. The digests are those that
the cluster had when the backup was made.

It copies the backup to a directory below --work and removes it again: there must be room for the log and for what is folded of it,
about twice the size of the backup.

--metrics-file writes when the good backup was made to a file for the textfile collector of the Prometheus node exporter. The
alert RecountBackupOld fires when that is too long ago.

Exit codes: 0 the backup is good, 1 it is not, or could not be read, 2 wrong usage.`,
		Example: `  recount-node backup verify /mnt/backups --public-key backup.pub
  recount-node backup verify /mnt/backups --public-key backup.pub --work /var/tmp \
    --metrics-file /var/lib/node_exporter/recount_verified.prom`,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, m, err := f.open(cmd.Context(), args)
			if err != nil {
				return err
			}
			r, err := restore.Verify(cmd.Context(), t, m, work, tell(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			if metrics != "" {
				all := backup.NewMetrics(false)
				if err := errors.Join(all.Verified(m, backup.ByFold), all.WriteFile(metrics)); err != nil {
					return fmt.Errorf("--metrics-file: %w", err)
				}
			}
			logged := fmt.Sprintf("%d compared, %d differ", r.Logged, r.Differ)
			return f.print(cmd, r, "backup", r.Backup, "events", r.Position.Seq, "log time", r.Position.LogTime,
				"files", r.Files, "log digest", r.Digest.Log, "state digest", r.Digest.State,
				"control digest", r.Digest.Control, "digests in the log", logged, "result", "good")
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&work, "work", "", "directory for the copy (default: that of the system for temporary files)")
	cmd.Flags().StringVar(&metrics, "metrics-file", "", "write metrics about the last success to this file")
	return cmd
}

// print prints a result as JSON, or as name and value pairs.
func (f *backupFlags) print(cmd *cobra.Command, v any, pairs ...any) error {
	out := cmd.OutOrStdout()
	if f.output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if _, err := fmt.Fprintf(out, "%-20s %s\n", pairs[i], term.Visible(fmt.Sprint(pairs[i+1]))); err != nil {
			return err
		}
	}
	return nil
}
