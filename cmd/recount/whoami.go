package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// caller is what whoami prints: the source of the settings, and what one node says of them.
type caller struct {
	place
	wire.WhoamiAnswer
}

func (a *app) whoamiCommand() *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show which cluster a command would ask, and as whom", Args: exactly(),
		Long: `whoami says where the settings come from, which cluster answers there, and under which name, in which role and until when it knows
the credential. Without a credential that counts it ends with exit code 4, and says what can be seen of it from here.`,
		Example: `  recount whoami
  recount whoami --context prod -o json | jq -r .role`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w, err := ask(cmd.Context(), a, func(ctx context.Context, c *client.Client) (*wire.WhoamiAnswer, error) { return c.Whoami(ctx) })
			if err != nil {
				if p := (*wire.Problem)(nil); errors.As(err, &p) && p.Code == wire.CodeUnauthorized {
					a.sayCluster(cmd.Context())
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
			return a.show(who, append(pairs, "token file", dash(who.TokenFile), "certificate", dash(who.Cert), "name", dash(w.Actor), "role", role,
				"credential", dash(w.Credential), "expires", dash(w.ExpiresAt), "certificate subject", dash(w.Subject))...)
		},
	}
}
