package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/auditor"
	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/version"
)

// auditFlags are those of audit verify.
type auditFlags struct {
	from        string
	key         string
	checkpoints []string
	dir         string
	quiet       bool
	timeout     time.Duration

	ca, token, cert, certKey string // of a cluster that runs
	output                   string
}

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "Fold a whole ledger again and compare it with what was said of it",
		Example: `  recount-node audit verify --from /mnt/backups --key ledger.pub --checkpoint march.note`,
	}
	cmd.AddCommand(verifyAuditCommand())
	return cmd
}

func verifyAuditCommand() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use: "verify --from URL|DIR", Args: cli.None,
		Short: "Fold every event and every generation from the first event on, and compare",
		Long: `Read all events of a ledger and fold them on this machine, with every generation that was ever active, from the first event on.
The root of the events is compared with signed checkpoints, and what was folded with the digests and activations in the log. The first
position that differs is named. "recount audit verify" does the same with the cluster of a context.

--from is the URL of a node (several with commas, and then --ca and --token-file as for recount), an export that begins with event
1, a target of backups, the data directory of a stopped node, or a copy of its log.

--dir keeps the events, what was folded and the newest checkpoint. A second run goes on there. It hashes the events that it has again,
compares them with what the source has now, folds them again, and reads new ones. A ledger that was rolled back, or that signs a checkpoint which contradicts
the kept one, differs, and both checkpoints are kept under forks/. Without --dir a temporary directory is used, and removed.

With --key a checkpoint is required: that of the cluster, or one that you kept. A directory shows none.

Exit codes: 0 everything was reproduced, 1 it could not be checked, 2 wrong usage, 7 the ledger differs.`,
		Example: `  recount-node audit verify --from https://10.0.0.11:9440 --ca ca.pem --token-file auditor.token --key ledger.pub --dir audit
  recount-node audit verify --from /mnt/backups --key ledger.pub --checkpoint march.note -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := f.run(cmd)
			if errors.Is(err, context.Canceled) { // as such it ends with exit code 0, and nothing was reproduced
				return errors.New("interrupted: nothing was verified. The same command with the same --dir goes on")
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "", "where the ledger is: URL of a node, or a directory (required)")
	flags.StringVar(&f.key, "key", "", "file with the public keys of the ledger that you trust, one a line")
	flags.StringArrayVar(&f.checkpoints, "checkpoint", nil, "file with a checkpoint that you kept, repeatable")
	flags.StringVar(&f.dir, "dir", "", "directory to keep the events and the folded state in")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "no progress on stderr")
	flags.StringVar(&f.ca, "ca", "", "with a URL: PEM file of the authority of the nodes' certificates")
	flags.StringVar(&f.token, "token-file", "", "with a URL: file with the token of an auditor")
	flags.StringVar(&f.cert, "cert", "", "with a URL: PEM file with a client certificate, instead of a token")
	flags.StringVar(&f.certKey, "cert-key", "", "with a URL: PEM file with its private key")
	cli.Span(flags, &f.timeout, "timeout", 30*time.Second, "with a URL: how long to try for one answer")
	flags.StringVarP(&f.output, "output", "o", "table", "table (text for people) or json")
	cli.Closed(cmd, "output", "table", "json")
	return cmd
}

func (f *auditFlags) run(cmd *cobra.Command) error {
	progress := cmd.ErrOrStderr()
	if f.quiet {
		progress = io.Discard
	}
	o := auditor.Options{Dir: f.dir, Began: time.Now(), Now: time.Now, Tell: auditor.Progress(tell(progress))}
	var err error
	if o.Keys, o.Notes, err = f.evidence(); err != nil {
		return wrong(err)
	}
	if o.Source, err = f.source(cmd.Context()); err != nil {
		return err
	}
	r, err := auditor.Run(cmd.Context(), o)
	switch {
	case err == nil, errors.Is(err, auditor.ErrDiffers), r != nil && errors.Is(err, auditor.ErrUnchecked):
		return errors.Join(f.show(cmd, r), err)
	case errors.Is(err, auditor.ErrChanged): // first: what was changed may be a note that cannot be read
		return fmt.Errorf("%w\n%s", err, changedStep)
	case errors.Is(err, auditor.ErrOther), errors.Is(err, durable.ErrInUse),
		errors.Is(err, evidence.ErrFormat), errors.Is(err, evidence.ErrSignature):
		return wrong(err)
	case errors.Is(err, auditor.ErrNoCheckpoint):
		return fmt.Errorf("%w. Nothing was verified\n%s", err, noCheckpointStep)
	}
	return err
}

// changedStep is the next step after auditor.ErrChanged.
const changedStep = "That is no word about the ledger. Find out what changed files there. Then audit into another " +
	"directory, and give it the notes under ledgers/ of this one with --checkpoint: they find a ledger that was " +
	"rolled back since."

// noCheckpointStep is the next step after auditor.ErrNoCheckpoint.
const noCheckpointStep = "Give one that you or a witness kept with --checkpoint, or let the operator set " +
	"checkpoint_key_file (docs/evidence.md). Without --key the events are folded and compared with what the ledger " +
	"says of itself only."

// evidence reads the keys and the checkpoints.
func (f *auditFlags) evidence() (keys []evidence.PublicKey, notes []auditor.Note, err error) {
	if f.key == "" && len(f.checkpoints) > 0 {
		return nil, nil, errors.New("--checkpoint needs --key, the public key of the ledger that you trust")
	}
	if f.key == "" {
		return nil, nil, nil
	}
	text, err := os.ReadFile(f.key)
	if err != nil {
		return nil, nil, fmt.Errorf("--key: %w", err)
	}
	if keys, err = evidence.ParsePublicKeys(string(text)); err != nil {
		return nil, nil, fmt.Errorf("--key %s: %w", f.key, err)
	}
	for _, file := range f.checkpoints {
		note, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, fmt.Errorf("--checkpoint: %w", err)
		}
		notes = append(notes, auditor.Note{From: file, Text: note})
	}
	return keys, notes, nil
}

// source opens what --from names.
func (f *auditFlags) source(ctx context.Context) (auditor.Source, error) {
	switch {
	case f.from == "":
		return nil, wrong(errors.New("--from is required: the URL of a node, or a directory"))
	case !strings.HasPrefix(f.from, "https://") && !strings.HasPrefix(f.from, "http://"):
		if f.ca+f.token+f.cert+f.certKey != "" {
			return nil, wrong(errors.New("--ca, --token-file, --cert and --cert-key are for a URL"))
		}
		s, err := auditor.OpenLocation(ctx, f.from)
		if errors.Is(err, auditor.ErrSource) || errors.Is(err, backup.ErrAbsent) {
			return nil, wrong(err)
		}
		return s, err
	}
	cfg := client.Config{Endpoints: strings.Split(f.from, ","), UserAgent: "recount-node/" + version.Name()}
	for _, file := range []struct {
		flag, path string
		to         *[]byte
	}{{"--ca", f.ca, &cfg.CA}, {"--cert", f.cert, &cfg.Cert}, {"--cert-key", f.certKey, &cfg.CertKey}} {
		if err := readFlag(file.flag, file.path, file.to); err != nil {
			return nil, err
		}
	}
	var token []byte
	if err := readFlag("--token-file", f.token, &token); err != nil {
		return nil, err
	}
	cfg.Token = strings.TrimSpace(string(token))
	c, err := client.New(cfg)
	if err != nil {
		return nil, wrong(err)
	}
	return auditor.Remote(ctx, c, f.from, f.timeout)
}

// readFlag reads the file that a flag names, if it names one.
func readFlag(flag, path string, to *[]byte) (err error) {
	if path == "" {
		return nil
	}
	if *to, err = os.ReadFile(path); err != nil {
		return wrong(fmt.Errorf("%s: %w", flag, err))
	}
	return nil
}

// contradiction describes two contradictory checkpoints and names their file.
func contradiction(c *auditor.Contradiction) string {
	text := fmt.Sprintf("checkpoints of %d and of %d events, both signed", c.Fork.OldSize, c.Fork.NewSize)
	if c.Proven {
		text += ", proven"
	}
	if c.File == "" {
		return text + "; -o json shows them, and --dir keeps them"
	}
	return text + ", are in " + c.File
}

// show prints a report.
func (f *auditFlags) show(cmd *cobra.Command, r *auditor.Report) error {
	pairs := []any{"ledger", r.ClusterID, "from", r.From, "events", r.Events, "submissions", r.Submissions, "log time",
		r.LogTime, "log digest", r.Log, "state digest", r.State, "control digest", r.Control}
	for _, c := range r.Checkpoints {
		pairs = append(pairs, "checkpoint", fmt.Sprintf("of %d events, %s, signed by %s", c.Size, c.From,
			strings.Join(c.By, " ")))
	}
	pairs = append(pairs, "digests in the log", r.Digests, "activations", r.Activations,
		"generations", strings.Trim(fmt.Sprint(r.Generations), "[]"))
	for _, n := range r.NotChecked {
		pairs = append(pairs, "not checked", n)
	}
	for _, d := range r.Differences {
		pairs = append(pairs, "differs", d)
	}
	for _, c := range r.Contradictions {
		pairs = append(pairs, "contradiction", contradiction(&c))
	}
	rate := float64(r.Events) / max(r.Seconds, 0.001)
	pairs = append(pairs, "speed", fmt.Sprintf("%.1f s, %.0f events a second", r.Seconds, rate), "result", r.Summary())
	b := backupFlags{output: f.output}
	return b.print(cmd, r, pairs...)
}
