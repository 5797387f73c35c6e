package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/backup"
)

// backupCommands implements recount backup.
type backupCommands struct{ *app }

func (a backupCommands) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Back up the log of a running cluster",
		Args:  exactArgs(),
		Long: `backup copies the log of one node to a TARGET while the cluster goes on: a directory, such as one on another machine, or
s3://BUCKET/PREFIX in an S3 store. A second backup to the same target sends only what is new. Each one has a manifest with
the digests of the ledger, signed by a key of yours ("recount keygen ed25519 --out backup" makes one).

An S3 store is s3://BUCKET/PREFIX?endpoint=https://HOST:PORT&region=REGION&path-style=true&ca=FILE, in quotes. All behind the
question mark is optional: AWS_ENDPOINT_URL_S3, AWS_REGION and AWS_CA_BUNDLE of the environment say it, too. The access key
comes from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from the file AWS_SHARED_CREDENTIALS_FILE.

A backup holds all records and operations. It holds no secret of an HMAC key, no text of a token and no certificate: back
up the settings of the nodes yourself.

"recount-node backup verify" opens and folds a backup, and "recount-node backup restore" founds a new cluster with it.
docs/backup.md goes through all steps.`,
		Example: `  recount keygen ed25519 --out backup
  recount backup create /mnt/backups --key backup.key
  recount backup list /mnt/backups
  recount-node backup verify /mnt/backups --public-key backup.pub

  export AWS_SHARED_CREDENTIALS_FILE=/etc/recount/s3-credentials AWS_ENDPOINT_URL_S3=https://s3.example.org
  recount backup create s3://backups/prod-a --key backup.key`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.createCommand(), a.listCommand(), a.inspectCommand(), a.checkCommand(), a.pruneCommand())
	return cmd
}

// publicKeyFlag is the key that must have signed a manifest.
type publicKeyFlag struct{ path string }

func (f *publicKeyFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.path, "public-key", "", "file with the public key that must have signed the manifest "+
		"(default: any key, which proves nothing)")
}

func (f *publicKeyFlag) read() (ed25519.PublicKey, error) {
	raw, err := readSetting("--public-key", f.path)
	if err != nil || raw == nil {
		return nil, err
	}
	key, err := backup.ParsePublicKey(raw)
	if err != nil {
		return nil, usagef("--public-key: %s is %w", f.path, err)
	}
	return key, nil
}

// openTarget opens a directory, or a prefix in an S3 store, that has backups.
func openTarget(ctx context.Context, location string) (backup.Target, error) {
	t, err := backup.OpenTarget(ctx, location)
	if err != nil {
		return nil, backupError(err)
	}
	return t, nil
}

// argID returns the optional id behind the target.
func argID(args []string) (string, error) {
	if len(args) < 2 {
		return "", nil
	}
	if err := backup.CheckID(args[1]); err != nil {
		return "", usage(err)
	}
	return args[1], nil
}

func (a backupCommands) listCommand() *cobra.Command {
	var key publicKeyFlag
	cmd := &cobra.Command{
		Use: "list TARGET", Short: "List the backups of a target, oldest first", Args: exactArgs("TARGET"),
		Long: `list shows every backup of a target. NEW is the size of the files that the target did not have before it.`,
		Example: `  recount backup list /mnt/backups
  recount backup list /mnt/backups --public-key backup.pub -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := openTarget(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			trusted, err := key.read()
			if err != nil {
				return err
			}
			all, err := backup.List(cmd.Context(), t, trusted)
			if err != nil {
				return backupError(err)
			}
			if a.format != formatTable {
				return a.printJSON(all)
			}
			table := a.table(text("BACKUP", 1, 25), moment("MADE", 2), count("SEQ", 3), text("SIZE", 4, 8),
				text("NEW", 5, 8), text("NODE", 6, 8), extra(text("CLUSTER", 7, 8)))
			for _, m := range all {
				table.row(m.ID, m.CreatedAt, m.Position.Seq, size(m.Bytes), size(m.NewBytes), m.Node, m.ClusterID)
			}
			return table.flush()
		},
	}
	key.add(cmd)
	return cmd
}

func size(n int64) string {
	u := uint64(n)
	return bytesText(&u)
}

func (a backupCommands) inspectCommand() *cobra.Command {
	var key publicKeyFlag
	cmd := &cobra.Command{
		Use: "inspect TARGET [ID]", Short: "Show what a backup says of itself", Args: cobra.RangeArgs(1, 2),
		Long: `inspect shows the manifest of a backup, of the newest one without an ID. With --public-key it fails unless that key signed
the manifest. It reads no other file.`,
		Example: `  recount backup inspect /mnt/backups
  recount backup inspect /mnt/backups 20261130T135317042Z-k3x7qab2 --public-key backup.pub -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, by, _, err := a.manifest(cmd.Context(), args, &key)
			if err != nil {
				return err
			}
			return a.printManifest(m, "signed by", encodeKey(by))
		},
	}
	key.add(cmd)
	return cmd
}

// manifest reads the manifest that the arguments TARGET and ID name.
func (a backupCommands) manifest(ctx context.Context, args []string,
	key *publicKeyFlag) (*backup.Manifest, ed25519.PublicKey, backup.Target, error) {
	id, err := argID(args)
	if err != nil {
		return nil, nil, nil, err
	}
	t, err := openTarget(ctx, args[0])
	if err != nil {
		return nil, nil, nil, err
	}
	trusted, err := key.read()
	if err != nil {
		return nil, nil, nil, err
	}
	m, by, err := backup.Read(ctx, t, id, trusted)
	if err != nil {
		return nil, nil, nil, backupError(err)
	}
	return m, by, t, nil
}

func (a backupCommands) printManifest(m *backup.Manifest, more ...any) error {
	pairs := []any{"backup", m.ID, "made", m.CreatedAt, "cluster", m.ClusterID, "node", m.Node, "events",
		fmt.Sprintf("1 to %d", m.Position.Seq), "log time", m.Position.LogTime, "entries",
		fmt.Sprintf("1 to %d, the last one of term %d", m.Position.Index, m.Position.Term), "files", len(m.Files),
		"size", size(m.Bytes), "new", size(m.NewBytes), "previous", dash(m.Previous), "log digest", m.Digest.Log,
		"state digest", m.Digest.State, "control digest", m.Digest.Control, "generation", m.Digest.Generation}
	return a.printFields(m, append(pairs, more...)...)
}

func (a backupCommands) checkCommand() *cobra.Command {
	var key publicKeyFlag
	cmd := &cobra.Command{
		Use: "check TARGET [ID]", Short: "Compare the files of a backup with its manifest", Args: cobra.RangeArgs(1, 2),
		Long: `check reads every file of a backup, of the newest one without an ID, and compares its hash with the manifest. It names all
files that differ. It does not open the log: "recount-node backup verify" does that, too.

Remove a damaged file, and the next "recount backup create" sends it again if the log still has it.`,
		Example: `  recount backup check /mnt/backups --public-key backup.pub`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, _, t, err := a.manifest(cmd.Context(), args, &key)
			if err != nil {
				return err
			}
			work := newWork(a.app)
			err = backup.Check(cmd.Context(), t, m, func(done, total uint64) { work.update("check", done, total) })
			work.end()
			if err != nil {
				return backupError(err)
			}
			a.notef("All %d files of backup %s are as its manifest says.", len(m.Files), m.ID)
			return nil
		},
	}
	key.add(cmd)
	return cmd
}

func (a backupCommands) pruneCommand() *cobra.Command {
	var keep int
	var dry bool
	cmd := &cobra.Command{
		Use: "prune TARGET --keep N", Short: "Remove old backups", Args: exactArgs("TARGET"),
		Long: `prune removes all backups but the newest N, and the files that none of these needs. It removes nothing while another backup
works on the target, or if a manifest cannot be read.`,
		Example: `  recount backup prune /mnt/backups --keep 30 --dry-run
  recount backup prune /mnt/backups --keep 30`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if keep < 1 {
				return usagef("--keep is required: the number of backups that stay, at least 1")
			}
			t, err := openTarget(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			p, err := backup.Prune(cmd.Context(), t, keep, dry)
			if err != nil {
				return backupError(err)
			}
			return a.printFields(p, "kept", len(p.Kept), "removed", len(p.Removed), "files removed", p.Files, "freed",
				size(p.Bytes), "dry run", dry)
		},
	}
	cmd.Flags().IntVar(&keep, "keep", 0, "number of backups that stay (required)")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "remove nothing and tell what would be removed")
	return cmd
}

// backupError adds the exit code and the next step to the failure of a command.
func backupError(err error) error {
	switch {
	case errors.Is(err, backup.ErrLocked):
		return &codedError{exitUnavailable, err, ""}
	case errors.Is(err, backup.ErrCredentials):
		return &codedError{exitRejected, err, "Give a key that may list, read, write and remove below the prefix in " +
			"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in the file AWS_SHARED_CREDENTIALS_FILE."}
	case errors.Is(err, backup.ErrNoBucket):
		return &codedError{exitNotFound, err, "Make the bucket, or correct its name or the endpoint."}
	case errors.Is(err, backup.ErrClock):
		return &codedError{exitRejected, err,
			"Set the clock of this machine: \"chronyc tracking\" shows how far it is off."}
	case errors.Is(err, backup.ErrStore), errors.Is(err, backup.ErrLockLost):
		return &codedError{exitUnavailable, err, "Try again when the store answers. What was sent is not sent again."}
	case errors.Is(err, backup.ErrSignature):
		return &codedError{exitVerify, err, "Somebody else made this backup, or it was changed. Do not restore it."}
	case errors.Is(err, backup.ErrDamaged):
		return &codedError{exitVerify, err,
			"Remove the named files from the target, and \"recount backup create\" sends them again."}
	case errors.Is(err, backup.ErrManifest):
		return &codedError{exitVerify, err, "Use another backup: \"recount backup list\"."}
	case errors.Is(err, backup.ErrAbsent), errors.Is(err, client.ErrNotFound):
		return &codedError{exitNotFound, err, ""}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOTDIR):
		return &codedError{exitUsage, err, ""}
	}
	return err
}
