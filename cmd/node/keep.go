package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/restore"
	"github.com/recount-ledger/recount/internal/survivor"
	"github.com/recount-ledger/recount/internal/term"
	"github.com/recount-ledger/recount/wire"
)

// keepFlags are those of recover --keep.
type keepFlags struct {
	keep, yes bool
	o         restore.KeepOptions
}

func (f *keepFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.keep, "keep", false, "found a new cluster with the log of this survivor")
	flags.StringVar(&f.o.Into, "into", "", "with --keep: data directory of the new node, absent or empty. On the same "+
		"file system it takes little room")
	flags.StringVar(&f.o.ClusterID, "cluster-id", "", "with --keep: id of the new cluster, never used before")
	flags.StringVar(&f.o.NodeID, "node-id", "", "with --keep: id of its first node, never used in the ledger")
	flags.StringVar(&f.o.PeerAddr, "peer-address", "", "with --keep: host:port at which later members reach the node")
	flags.StringVar(&f.o.Actor, "actor", "", "with --keep: who recovers, for the log (default: your user name)")
	flags.StringVar(&f.o.Reason, "reason", "", "with --keep: why, for the log")
	flags.StringVar(&f.o.Ticket, "ticket", "", "with --keep: ticket, for the log")
	flags.BoolVarP(&f.yes, "yes", "y", false, "with --keep: do it without asking (for scripts)")
}

// check reports every mistake at once.
func (f *keepFlags) check(now time.Time) error {
	given := []struct{ flag, value string }{{"--into", f.o.Into}, {"--cluster-id", f.o.ClusterID},
		{"--node-id", f.o.NodeID}, {"--peer-address", f.o.PeerAddr}, {"--reason", f.o.Reason}}
	var errs []error
	for _, g := range given {
		switch {
		case !f.keep && g.value != "":
			errs = append(errs, fmt.Errorf("%s is for --keep", g.flag))
		case f.keep && g.value == "":
			errs = append(errs, fmt.Errorf("%s is required", g.flag))
		}
	}
	if !f.keep {
		return errors.Join(errs...)
	}
	if err := restore.CheckPeerAddress(f.o.PeerAddr); err != nil && f.o.PeerAddr != "" {
		errs = append(errs, fmt.Errorf("--peer-address: %w", err))
	}
	if u, err := user.Current(); err == nil {
		f.o.Actor = cmp.Or(f.o.Actor, u.Username)
	}
	if !wire.ValidActor(f.o.Actor) {
		errs = append(errs, fmt.Errorf("--actor %q: must be 1 to 64 letters, digits, . _ @ -", f.o.Actor))
	}
	f.o.At = now
	return errors.Join(errs...)
}

// run founds the new cluster.
func (f *recoverFlags) run(cmd *cobra.Command) error {
	o := f.keep.o
	o.Dir, o.Tell = f.dirs[0], tell(cmd.ErrOrStderr())
	o.Confirm = func(c *survivor.Comparison) error { return f.keep.confirm(cmd.InOrStdin(), cmd.ErrOrStderr(), c) }
	k, err := restore.Keep(cmd.Context(), o)
	switch {
	case errors.Is(err, restore.ErrNotEmpty), errors.Is(err, restore.ErrSameID), errors.Is(err, restore.ErrUsedID),
		errors.Is(err, restore.ErrRecovered), errors.Is(err, restore.ErrMajority), errors.Is(err, durable.ErrInUse),
		errors.Is(err, survivor.ErrNoNode):
		return wrong(err)
	case err != nil:
		return err
	}
	b := backupFlags{output: f.output}
	if err := b.print(cmd, k, "directory", k.Dir, "cluster", k.ClusterID, "node", k.NodeID, "log of node", k.Survivor,
		"of cluster", k.From, "events kept", k.Position.Seq, "of these certain", k.Floor.Seq,
		"certain until", k.Floor.LogTime, "log time", k.Position.LogTime, "log digest", k.Digest.Log,
		"state digest", k.Digest.State, "control digest", k.Digest.Control,
		"digests in the log", fmt.Sprintf("%d compared, %d differ", k.Logged, k.Differ)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), "Next: start the node with dir %s, cluster_id %s, node_id %s, "+
		"certificates for this cluster, and itself as the only voter. Do not give it --new-cluster.\n", k.Dir,
		k.ClusterID, k.NodeID)
	return err
}

// confirm lets a recovery go on with --yes, or when somebody at a terminal types the id of the new cluster.
func (f *keepFlags) confirm(in io.Reader, out io.Writer, c *survivor.Comparison) error {
	for _, line := range c.Words() {
		fmt.Fprintln(out, term.Visible(line))
	}
	if f.yes {
		return nil
	}
	fmt.Fprintln(out, "This machine cannot see whether a majority still runs elsewhere, or whether another survivor "+
		"was recovered.\nIf so, do not go on: the ledger would have two histories. The other survivors never take part "+
		"in the new cluster.")
	if !term.IsTerminal(os.Stdin) {
		return wrong(errors.New("nobody is at a terminal to confirm this, and nothing was done; give --yes if it is " +
			"meant"))
	}
	fmt.Fprintf(out, "Type %s, the id of the new cluster, to go on: ", f.o.ClusterID)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if got := strings.TrimSpace(line); got != f.o.ClusterID {
		return fmt.Errorf("%q is not %s; nothing was done", got, f.o.ClusterID)
	}
	return nil
}
