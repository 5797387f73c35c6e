package main

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/restore"
	"github.com/recount-ledger/recount/internal/when"
	"github.com/recount-ledger/recount/wire"
)

// restoreFlags are those of backup restore.
type restoreFlags struct {
	backupFlags
	o          restore.Options
	toSeqGiven bool
	toTime     string
}

func restoreCommand() *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use: "restore TARGET [ID] --public-key FILE --dir DATADIR --cluster-id ID --node-id ID " +
			"--peer-address ADDRESS",
		Short: "Found a new cluster with a backup",
		Args:  cobra.MaximumNArgs(2),
		Long: `Restore a backup, the newest one without an ID, into the data directory of a new node. It becomes the only member of a new cluster.
Its other members are added later. The backup is verified on the way, as "backup verify" does.

The new cluster needs an id of its own and a node id that the ledger never had: certificates carry them, and so the nodes of
the two clusters refuse each other, even if the old cluster comes back. The first new event, "restored", says where the ledger
comes from, who restored it and why. All records, keys, policies and tokens stay as they were. Give the node the secrets of
its HMAC keys in its settings.

With --to-seq or --to-time the ledger ends earlier than the backup: at the last pack of events that has none behind that
event or time. Later events are gone from the new cluster, and the backup keeps them.

Start the node without --new-cluster. An interrupted restore leaves a directory that cannot start: remove it.

Exit codes: 0 restored, 1 not restored, 2 wrong usage.`,
		Example: `  recount-node backup restore /mnt/backups --public-key backup.pub --dir /var/lib/recount --cluster-id prod-b \
    --node-id prod-b-1 --peer-address 10.0.0.21:9441 --reason "site a burned down" --ticket INC-9

  # as it was before event 81234
  recount-node backup restore /mnt/backups --public-key backup.pub --dir /var/lib/recount --cluster-id test-b \
    --node-id test-b-1 --peer-address 127.0.0.1:9441 --reason "look at INC-9" --to-seq 81233`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.toSeqGiven = cmd.Flags().Changed("to-seq")
			if err := f.check(time.Now()); err != nil {
				return wrong(err)
			}
			return f.run(cmd.Context(), cmd, args)
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.o.Dir, "dir", "", "data directory of the new node, absent or empty (required)")
	flags.StringVar(&f.o.ClusterID, "cluster-id", "", "id of the new cluster (required)")
	flags.StringVar(&f.o.NodeID, "node-id", "", "id of its first node, never used in the ledger (required)")
	flags.StringVar(&f.o.PeerAddr, "peer-address", "", "host:port at which later members reach the node (required)")
	flags.Uint64Var(&f.o.ToSeq, "to-seq", 0, "last event to keep (default: the last of the backup)")
	flags.StringVar(&f.toTime, "to-time", "", "last log time to keep: "+when.Forms+" before now")
	flags.StringVar(&f.o.Actor, "actor", "", "who restores, for the log (default: your user name)")
	flags.StringVar(&f.o.Reason, "reason", "", "why, for the log (required)")
	flags.StringVar(&f.o.Ticket, "ticket", "", "ticket, for the log")
	return cmd
}

// check reports every mistake at once.
func (f *restoreFlags) check(now time.Time) error {
	var errs []error
	for _, need := range []struct{ flag, value string }{{"--dir", f.o.Dir}, {"--cluster-id", f.o.ClusterID},
		{"--node-id", f.o.NodeID}, {"--peer-address", f.o.PeerAddr}, {"--reason", f.o.Reason}} {
		if need.value == "" {
			errs = append(errs, fmt.Errorf("%s is required", need.flag))
		}
	}
	if err := restore.CheckPeerAddress(f.o.PeerAddr); err != nil && f.o.PeerAddr != "" {
		errs = append(errs, fmt.Errorf("--peer-address: %w", err))
	}
	if f.toSeqGiven && f.o.ToSeq == 0 {
		errs = append(errs, errors.New("--to-seq 0: the first event is 1"))
	}
	if f.toSeqGiven && f.toTime != "" {
		errs = append(errs, errors.New("give --to-seq or --to-time, not both"))
	}
	if f.toTime != "" {
		var err error
		if f.o.ToTime, err = (when.Clock{Now: now}).Moment(f.toTime); err != nil {
			errs = append(errs, fmt.Errorf("--to-time: %w", err))
		}
	}
	if f.o.Actor == "" {
		if u, err := user.Current(); err == nil {
			f.o.Actor = u.Username
		}
	}
	if !wire.ValidActor(f.o.Actor) {
		errs = append(errs, fmt.Errorf("--actor %q: must be 1 to 64 letters, digits, . _ @ -", f.o.Actor))
	}
	f.o.At = now
	return errors.Join(errs...)
}

func (f *restoreFlags) run(ctx context.Context, cmd *cobra.Command, args []string) error {
	t, m, err := f.open(ctx, args)
	if err != nil {
		return err
	}
	f.o.Target, f.o.Manifest, f.o.Tell = t, m, tell(cmd.ErrOrStderr())
	r, err := restore.Restore(ctx, f.o)
	switch {
	case errors.Is(err, restore.ErrNotEmpty), errors.Is(err, restore.ErrSameID), errors.Is(err, restore.ErrUsedID),
		errors.Is(err, restore.ErrRange):
		return wrong(err)
	case err != nil:
		return err
	}
	if err := f.print(cmd, r, "directory", r.Dir, "cluster", r.ClusterID, "node", r.NodeID, "backup", r.Backup,
		"of cluster", r.From, "events kept", r.Position.Seq, "events cut", r.CutEvents, "log time", r.Position.LogTime,
		"log digest", r.Digest.Log, "state digest", r.Digest.State, "control digest", r.Digest.Control); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), "Next: start the node with dir %s, cluster_id %s, node_id %s, "+
		"certificates for this cluster, and itself as the only peer. Do not give it --new-cluster.\n", r.Dir,
		r.ClusterID, r.NodeID)
	return err
}
