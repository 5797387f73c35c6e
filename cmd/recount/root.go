package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/term"
	"github.com/recount-ledger/recount/internal/version"
)

// app is one run of the tool: its streams, its environment and the flags that every command has. Its methods connect,
// print, ask for confirmation and end the run. The commands are methods of small types by area, such as keyCommands,
// which embed it.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string

	endpoints   []string
	caFile      string
	tokenFile   string
	certFile    string
	certKey     string
	devDir      string
	contextName string
	format      string
	timeout     time.Duration
	quiet       bool
	local       bool
	viewFlags
	shown io.Writer // out, as it was given
	vars  io.Writer // of -o env: gets the line that sets variables; nil otherwise

	notedCluster bool        // of an operation
	notedMark    bool        // that a marked context is asked
	patient      bool        // no word of calls that take long: the command has a progress of its own
	terminal     func() bool // nil: look at stdin and stderr
	place        place       // where the cluster is, once it was found
	opID         string      // of the operation that was asked for
	waitApproval bool        // wait until a second actor has approved it
}

const longHelp = `recount talks to a Recount ledger: a replicated, append-only record of signed proof-of-computation summaries.

A command uses the cluster of the command line (--dev DIR, --context NAME, or --endpoint with --ca), else that of
the environment (RECOUNT_DEV, RECOUNT_CONTEXT, or RECOUNT_ENDPOINTS with RECOUNT_CA and RECOUNT_TOKEN_FILE), else the current context
("recount context"). Endpoints, authority and credential come from one of them and are never mixed, but --token-file or --cert may
replace the credential. Every operation prints its cluster to stderr, and "recount whoami" shows the settings of a command.

Submissions need only their signature, and checks a token of any role. Reading needs the role auditor. Policies, generations and
revocations need the role responder, and tokens the role operator ("recount token create").

Results go to stdout, progress and notes to stderr.

Exit codes:
  0  done
  1  failed for another reason
  2  wrong usage
  3  not found
  4  rejected: the same request will be rejected again
  5  unavailable: nothing was committed, try again
  6  outcome unknown: a submission or an operation was sent and got no response. It is safe to send a submission again
  7  verification failed: answers differ from what was expected, or nodes from each other`

// run executes one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	a.shown = a.out
	out := cli.Watch(a.out)
	a.in, a.out = &interruptible{ctx: ctx, from: a.in}, out
	cmd := a.root()
	cmd.SetArgs(args)
	cmd.SetIn(a.in)
	cmd.SetOut(a.out)
	cmd.SetErr(a.err)
	ran, err := cmd.ExecuteContextC(ctx)
	err = out.Lost(err)
	if err != nil {
		a.explain(err, ran.CommandPath())
		unsetVars(out, ran, args)
	}
	return exitCode(err)
}

func (a *app) root() *cobra.Command {
	cmd := &cobra.Command{
		Use: "recount", Short: "Sign, submit, read and compare records of a Recount ledger", Long: longHelp,
		Example: `  recount submit --dev /tmp/recount testdata/good-hmac.ndjson
  recount get --endpoint https://127.0.0.1:9440 --ca ca.pem 65c8f7093db946879683b020ce72cdb43c71895141051e382fe63b079c090fc5
  recount digest --dev /tmp/recount`,
		SilenceUsage: true, SilenceErrors: true, Version: version.Get().String(),
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			a.exportVars(cmd)
			if err := cli.Check(cmd, args); err != nil {
				return usagef("%w", err)
			}
			return a.checkFlags()
		},
	}
	f := cmd.PersistentFlags()
	f.StringArrayVar(&a.endpoints, "endpoint", nil, "base URL of a node, repeatable (env RECOUNT_ENDPOINTS)")
	f.StringVar(&a.caFile, "ca", "", "PEM file of the authority of the nodes' certificates (env RECOUNT_CA)")
	f.StringVar(&a.certFile, "cert", "", "PEM file with a client certificate, instead of a token (env RECOUNT_CERT)")
	f.StringVar(&a.certKey, "cert-key", "", "PEM file with its private key (env RECOUNT_CERT_KEY)")
	f.StringVar(&a.tokenFile, "token-file", "", "file with a bearer token (env RECOUNT_TOKEN_FILE)")
	f.StringVar(&a.devDir, "dev", "", "directory of a cluster started with recount-node dev (env RECOUNT_DEV)")
	f.StringVar(&a.contextName, "context", "", "name of a cluster kept with recount context add (env RECOUNT_CONTEXT)")
	f.StringVarP(&a.format, "output", "o", formatTable,
		"table, wide (a table with every column in full), json (one document) or ndjson (one line per item); "+
			"some commands take env")
	a.viewFlags.add(cmd)
	f.BoolVar(&a.local, "local", false,
		"read what the node that is asked knows, without a word from the others: works without a majority, may be old")
	cli.Span(f, &a.timeout, "timeout", 30*time.Second, "how long to try for one answer")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no progress and no notes on stderr")
	cli.Closed(cmd, "color", term.ColorAuto, term.ColorAlways, term.ColorNever)
	cli.Closed(cmd, "time", timeUTC, timeLocal, timeRelative)
	cli.Closed(cmd, "output", formatTable, formatWide, formatJSON, formatNDJSON)
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.AddCommand(a.commands()...)
	cmd.AddCommand(a.oldSpellings()...)
	a.completeIDs(cmd)
	cli.Strict(cmd, usage)
	cli.FitHelp(cmd, func() int { return a.screen().Width })
	return cmd
}

// commands returns all commands below recount.
func (a *app) commands() []*cobra.Command {
	records := recordCommands{a}
	audit := auditCommands{a}
	cluster := clusterCommands{a}
	freezes := freezeCommands{a}
	return []*cobra.Command{
		records.keygenCommand(),
		records.signCommand(),
		records.submitCommand(),
		records.checkCommand(),
		records.getCommand(),
		records.eventCommand(),
		audit.command(),
		audit.tailCommand(),
		shardCommands{a}.command(),
		cluster.digestCommand(),
		cluster.command(),
		doctorCommands{a}.command(),
		cluster.whoamiCommand(),
		cluster.versionCommand(),
		policyCommands{a}.command(),
		generationCommands{a}.command(),
		keyCommands{a}.command(),
		incidentCommands{a}.command(),
		canaryCommands{a}.command(),
		drillCommands{a}.command(),
		benchCommands{a}.command(),
		freezes.command(),
		freezes.thawCommand(),
		tokenCommands{a}.command(),
		approveCommands{a}.command(),
		operationCommands{a}.command(),
		exportCommands{a}.command(),
		backupCommands{a}.command(),
		contextCommands{a}.command(),
		receiptCommands{a}.command(),
		receiptCommands{a}.proofCommand(),
		bundleCommands{a}.command(),
		witnessCommands{a}.command(),
		explainCommands{a}.command(),
		cli.Completion("recount", usage),
		cli.ManPages("recount", version.Name(), usage),
	}
}

func (a *app) checkFlags() error {
	if a.format == formatWide {
		a.format, a.wide = formatTable, true
	}
	if err := a.viewFlags.check(); err != nil {
		return err
	}
	if a.timeout <= 0 {
		return usagef("--timeout must be positive")
	}
	return nil
}

// exactArgs is cobra.ExactArgs with a word about what is missing.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(names) == 0 && cmd.HasSubCommands() {
			return cli.Unknown(cmd, args[0])
		}
		if len(names) == 0 {
			return cli.None(cmd, args)
		}
		return usagef("%s needs %s; \"%s --help\" shows examples", cmd.CommandPath(), strings.Join(names, " "),
			cmd.CommandPath())
	}
}

// notef prints a note for people.
func (a *app) notef(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintln(a.err, visible(fmt.Sprintf(format, args...)))
	}
}
