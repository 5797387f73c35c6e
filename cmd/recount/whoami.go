package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// caller is the document that whoami prints: the source of the settings, and the answer of one node about them.
type caller struct {
	place
	wire.WhoamiAnswer
}

func (a clusterCommands) whoamiCommand() *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show the cluster and identity that a command would use", Args: exactArgs(),
		Long: `whoami shows where the settings come from, the cluster there, and the name, role and expiry of
the credential. Without a valid credential it ends with exit code 4 and prints what the tool itself knows about it.`,
		Example: `  recount whoami
  recount whoami --context prod -o json | jq -r .role`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w, err := call(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.WhoamiAnswer, error) {
					return c.Whoami(ctx)
				})
			if err != nil {
				if p := (*wire.Problem)(nil); errors.As(err, &p) && p.Code == wire.CodeUnauthorized {
					a.noteCluster(cmd.Context())
				}
				return err
			}
			who := caller{a.place, *w}
			role := dash(string(w.Role))
			if w.Role == "" {
				role = "none: this cluster lets everybody do everything (auth.required: false)"
			}
			pairs := []any{"cluster", w.ClusterID, "node asked", w.Node, "settings from", who.Source}
			for _, e := range who.Endpoints {
				pairs = append(pairs, "endpoint", e)
			}
			return a.printFields(who, append(pairs, "token file", dash(who.TokenFile), "certificate", dash(who.Cert),
				"name", dash(w.Actor), "role", role, "credential", dash(w.Credential), "expires",
				dash(w.ExpiresAt), "certificate subject", dash(w.Subject))...)
		},
	}
}
