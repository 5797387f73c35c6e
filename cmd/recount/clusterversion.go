package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/doctor"
	"github.com/recount-ledger/recount/wire"
)

func (a clusterCommands) clusterVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the cluster version, and which member holds the next one back", Args: exactArgs(),
		Long: `version shows the cluster version, which says what the log may hold, and the newest version that the
build of each member knows. "recount version" shows the builds.`,
		Example: `  recount cluster version --dev /tmp/recount`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			got, err := memberCommands(a).look(cmd.Context())
			if err != nil {
				return err
			}
			l := newList(a.app, func(t *table, m wire.Member) {
				t.row(m.ID, suffrage(m), dash(m.State), knownVersion(m))
			}, text("MEMBER", 1, 8), word("SUFFRAGE", 3), word("STATE", 2), word("KNOWS VERSION", 4)).uncounted()
			for _, m := range got.Members {
				if err := l.add(m); err != nil {
					return err
				}
			}
			if err := l.end(); err != nil {
				return err
			}
			a.notef("%s", plain(versionVerdict(got)))
			return nil
		},
	}
}

// knownVersion is the newest version that a member knows, or a dash.
func knownVersion(m wire.Member) string {
	if m.KnowsVersion == nil {
		return "-"
	}
	return fmt.Sprint(*m.KnowsVersion)
}

// versionVerdict says in one sentence whether the cluster version can rise, and what to do.
func versionVerdict(c *wire.ClusterAnswer) string {
	at := fmt.Sprintf("the cluster is at version %d", c.ClusterVersion)
	common, away := doctor.CommonVersion(c)
	newest := common
	for _, m := range c.Members {
		if m.KnowsVersion != nil {
			newest = max(newest, *m.KnowsVersion)
		}
	}
	switch {
	case len(away) > 0:
		return fmt.Sprintf("%s; nobody can tell what %s knows, which does not answer", at, strings.Join(away, ", "))
	case common > c.ClusterVersion:
		return fmt.Sprintf("%s and every member knows version %d; \"recount cluster upgrade\" raises it, and then no "+
			"member can go back to the build before", at, common)
	case newest > common:
		return fmt.Sprintf("%s; upgrade %s before version %d", at, strings.Join(behind(c, newest), ", "), newest)
	}
	return at + ", the newest that its members know"
}

// behind lists the members that do not know a version.
func behind(c *wire.ClusterAnswer, version uint32) (out []string) {
	for _, m := range c.Members {
		if m.KnowsVersion != nil && *m.KnowsVersion < version {
			out = append(out, m.ID)
		}
	}
	return out
}

func (a clusterCommands) upgradeCommand() *cobra.Command {
	var f confirmFlags
	var version uint32
	cmd := &cobra.Command{
		Use: "upgrade", Short: "Raise the cluster version at the end of an upgrade", Args: exactArgs(),
		Long: `upgrade raises the cluster version to the newest one that every member knows, or to --version. Give it
once all members run the new release and you do not want to go back: afterwards the log may hold what
earlier releases cannot read, and they refuse to start. It is refused while a member does not know the
version, or does not answer. Nothing stops, and no node restarts. On a terminal it asks first, in
scripts give --yes.`,
		Example: `  recount cluster upgrade --reason "all members run 1.3" --yes`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkReason(f.reason); err != nil {
				return err
			}
			now, err := memberCommands(a).look(cmd.Context())
			if err != nil {
				return err
			}
			if version == 0 {
				common, _ := doctor.CommonVersion(now)
				version = max(common, now.ClusterVersion)
			}
			if err := a.confirm(cmd.Context(), &f, "cluster upgrade", versionHits(now, version)); err != nil {
				return err
			}
			return a.raise(cmd.Context(), wire.ClusterVersionRequest{Op: a.op(&f.opFlags), Version: version})
		},
	}
	cmd.Flags().Uint32Var(&version, "version", 0, "raise it to this version (default: the newest that all know)")
	f.add(cmd)
	return cmd
}

func versionHits(now *wire.ClusterAnswer, to uint32) func(context.Context, *client.Client) (string, string, error) {
	return func(context.Context, *client.Client) (name, hits string, err error) {
		return now.ClusterID, fmt.Sprintf("from version %d to %d, %d members", now.ClusterVersion, to,
			len(now.Members)), nil
	}
}

func (a clusterCommands) raise(ctx context.Context, r wire.ClusterVersionRequest) error {
	got, err := callOperation(ctx, a.app, func(ctx context.Context,
		c *client.Client) (*wire.ClusterVersionAnswer, error) {
		return client.MembersOf(c).RaiseVersion(ctx, r)
	})
	if err != nil {
		return err
	}
	seq := "nothing changed"
	if got.Seq != 0 {
		seq = number(&got.Seq)
	}
	return a.printFields(got, "version", got.Version, "from", got.From, "seq", seq)
}
