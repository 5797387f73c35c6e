package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// inviteFlags are the flags of recount cluster invite.
type inviteFlags struct {
	opFlags
	peer, api, out string
	ttl            time.Duration
	withdraw       bool
}

func (f *inviteFlags) check() error {
	switch {
	case f.withdraw && (f.peer != "" || f.api != "" || f.out != ""):
		return usagef("--withdraw needs the node only, without --peer, --api and --out")
	case !f.withdraw && f.peer == "":
		return usagef("--peer is required: host:port at which the other members will reach the node")
	case f.ttl < wire.MinInvitation || f.ttl > wire.MaxInvitation:
		return usagef("--ttl %s: must be 1m to 24h", f.ttl)
	}
	return checkReason(f.reason)
}

func (a memberCommands) inviteCommand() *cobra.Command {
	f := inviteFlags{}
	cmd := &cobra.Command{
		Use: "invite NODE", Short: "Make a join token, with which a new node adds itself", Args: exactArgs("NODE"),
		Long: `invite makes a join token and shows it once. The ledger keeps only a digest of its secret. Give it to the
new node (setting join_token_file), which then adds itself as a learner. The token counts once, for this
node id and these addresses, until --ttl is over. Without a certificate that the peer authority signed
for this node, nobody can use it. To invite the node again ends the earlier invitation, and --withdraw
ends it without a new one. "recount cluster promote" makes a voter of the node.`,
		Example: `  recount cluster invite n4 --peer 10.0.0.4:9441 --api https://10.0.0.4:9440 --out n4.join --reason "n3 lost its disk"
  recount cluster invite n4 --withdraw --reason "the file with the token was sent to the wrong host"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if f.withdraw {
				o := a.op(&f.opFlags)
				return a.change(cmd.Context(), func(ctx context.Context, m client.Members) (*wire.MemberAnswer, error) {
					return m.Withdraw(ctx, args[0], o)
				})
			}
			return a.invite(cmd.Context(), args[0], &f)
		},
	}
	cmd.Flags().StringVar(&f.peer, "peer", "", "host:port at which the other members will reach the node")
	cmd.Flags().StringVar(&f.api, "api", "", "base URL at which clients will reach it; kept in the log")
	cmd.Flags().DurationVar(&f.ttl, "ttl", time.Hour, "how long the token counts, 1m to 24h")
	cmd.Flags().StringVar(&f.out, "out", "", "write the token to this new file, mode 0600, instead of stdout")
	cmd.Flags().BoolVar(&f.withdraw, "withdraw", false, "end the open invitation of the node")
	f.add(cmd)
	return cmd
}

// invitation is the document that invite prints as JSON. Token is empty when it went to a file.
type invitation struct {
	NodeID    string `json:"node_id"`
	ClusterID string `json:"cluster_id"`
	ExpiresAt string `json:"expires_at"`
	Seq       uint64 `json:"seq"`
	Token     string `json:"token,omitempty"`
	File      string `json:"file,omitempty"`
}

// invite asks for an invitation and puts the token together. When the answer is lost, so is the token: the node is
// invited again, which ends the lost invitation.
func (a memberCommands) invite(ctx context.Context, node string, f *inviteFlags) error {
	secret, err := wire.NewJoinSecret()
	if err != nil {
		return err
	}
	r := wire.InvitationRequest{
		Op:          a.op(&f.opFlags),
		NodeID:      node,
		PeerAddress: f.peer,
		APIAddress:  f.api,
		Digest:      wire.JoinDigest(secret),
		ValidS:      int64(f.ttl / time.Second),
	}
	got, err := callOperation(ctx, a.app, func(ctx context.Context, c *client.Client) (*wire.InvitationAnswer, error) {
		return client.MembersOf(c).Invite(ctx, r)
	})
	if err != nil {
		return err
	}
	text, err := wire.JoinTokenOf(got, secret).Text()
	if err != nil {
		return err
	}
	if f.out != "" {
		if err := writeNew(f.out, text+"\n"); err != nil {
			return err
		}
	}
	return a.showInvitation(got, text, f.out)
}

func (a memberCommands) showInvitation(got *wire.InvitationAnswer, text, out string) error {
	a.notef("%s may join %s once, until %s (event %d). \"recount cluster invite %s --withdraw\" ends it.", got.NodeID,
		got.ClusterID, got.ExpiresAt, got.Seq, got.NodeID)
	made := invitation{NodeID: got.NodeID, ClusterID: got.ClusterID, ExpiresAt: got.ExpiresAt, Seq: got.Seq, File: out}
	if out == "" {
		made.Token = text
	}
	switch {
	case a.format != formatTable:
		return a.printJSON(made)
	case out == "":
		_, err := fmt.Fprintln(a.out, text)
		return err
	}
	return nil
}
