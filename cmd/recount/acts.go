package main

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

func (a *app) actsCommand() *cobra.Command {
	var since, actor, kind string
	var from uint64
	var read client.Read
	cmd := &cobra.Command{
		Use: "acts", Short: "List what operators have done, from the log", Args: exactly(),
		Long: `acts lists the events of operators: who activated, applied, froze, thawed, revoked or approved what, in which role, why, and what
became of it. Refused requests are no events; they are in the audit stream of the node (docs/audit-logging.md).`,
		Example: `  recount acts --since 2d
  recount acts --actor alice -o json
  recount acts --kind generation_activated`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			after, err := parseMoment("--since", since, time.Now())
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			l := newList(a, actRow, count("SEQ", 1), moment("LOG TIME", 2), word("KIND", 3), word("EFFECT", 7), text("ACTOR", 4, 8), extra(word("ROLE", 9)),
				text("REASON", 6, 12), text("TICKET", 8, 8), text("ABOUT", 5, 16))
			for item, err := range c.Acts(cmd.Context(), from, read) {
				if err != nil {
					return err
				}
				at, err := wire.ParseTime(item.LogTime)
				if err != nil {
					return err
				}
				if at.Before(after) || actor != "" && !strings.EqualFold(item.Actor, actor) || kind != "" && item.Kind != kind {
					continue
				}
				if err := l.add(item); err != nil {
					return err
				}
			}
			return l.end()
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "only acts with log time at or after it: RFC 3339, or a time span before now such as 2d")
	cmd.Flags().StringVar(&actor, "actor", "", "only what this actor did")
	cmd.Flags().StringVar(&kind, "kind", "", "only events of this kind, such as policy_applied")
	cmd.Flags().Uint64Var(&from, "from-seq", 0, "first event to look at")
	readFlags(cmd, &read)
	return cmd
}

func actRow(t *table, i wire.ActItem) {
	about, err := json.Marshal(i.About)
	if err != nil {
		about = []byte("?")
	}
	const most = 100
	if len(about) > most {
		about = append(about[:most:most], "..."...)
	}
	t.row(i.Seq, i.LogTime, i.Kind, i.Effect, dash(i.Actor), dash(i.Role), dash(i.Reason), dash(i.Ticket), string(about))
}
