package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/wire"
)

// readFlags adds --consistency and --min-seq.
func readFlags(cmd *cobra.Command, r *client.Read) {
	cmd.Flags().StringVar(&r.Consistency, "consistency", "",
		"local, session or linearizable (default: the node's choice for the route)")
	cli.Closed(cmd, "consistency", wire.ConsistencyLocal, wire.ConsistencySession, wire.ConsistencyLinearizable)
	cmd.Flags().Uint64Var(&r.MinSeq, "min-seq", 0, "wait until the node has folded this seq")
}

// recordCommands implements the commands that make, send and read records.
type recordCommands struct{ *app }

func (a recordCommands) getCommand() *cobra.Command {
	var read client.Read
	var history bool
	var asOf asOfFlag
	cmd := &cobra.Command{
		Use: "get PCS_ID", Short: "Show the answer to a record, now or then", Args: exactArgs("PCS_ID"),
		Long: `get shows one record: by its pcs_id, by the first digits of it (at least 8, as tables show them), or by SEQ: and the number of
the event that it came with. If several records begin with these digits, it asks for more. Anything but the full id needs a token.

With a token of an auditor it also shows the event of the submission: the key, the signature, the address, the claimed values
beside the recomputed ones, and the leaf of the log digest. coh_star and r cannot be recomputed: the log has no raw data.

--as-of gives the answer that the ledger gave then. The reason of an answer is known as long as its generation is kept; outcome
and accepted are known always.

--history lists instead every answer that the submissions of the record had: since which event, by which generation and policy,
and the activation that changed it. It needs a token of an auditor.`,
		Example: `  recount get --dev /tmp/recount 65c8f7093db94687
  recount get --dev /tmp/recount SEQ:58
  recount get --dev /tmp/recount 65c8f7093db94687 --history
  recount get --dev /tmp/recount 65c8f7093db94687 --as-of 58
  recount get --dev /tmp/recount 65c8f7093db946879683b020ce72cdb43c71895141051e382fe63b079c090fc5
  recount get -o json --consistency local 65c8f7093db946879683b020ce72cdb43c71895141051e382fe63b079c090fc5`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := asOf.parse(a.app, &read); err != nil {
				return err
			}
			if history && past(read) {
				return usagef("give --history or --as-of, not both")
			}
			if history {
				return a.getHistory(cmd.Context(), args[0], read)
			}
			return a.get(cmd.Context(), args[0], read)
		},
	}
	asOf.add(cmd, true)
	cmd.Flags().BoolVar(&history, "history", false, "list every answer that was ever given, and what changed it")
	readFlags(cmd, &read)
	return cmd
}

func (a recordCommands) get(ctx context.Context, given string, read client.Read) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	p, err := withTimeout(ctx, a.app, func(ctx context.Context) (*wire.PCSAnswer, error) {
		id, err := recordID(ctx, c, given, read.Now())
		if err != nil {
			return nil, err
		}
		p, err := c.Get(ctx, id, read)
		if err != nil && !past(read) {
			return nil, a.noAnswer(ctx, c, given, read, err)
		}
		return p, err
	})
	if err != nil {
		return err
	}
	submission, unread := a.submissionOf(ctx, c, p, read.Now())
	if err := a.showRecord(p, submission); err != nil {
		return err
	}
	if a.format == formatTable && len(p.History) > 1 {
		if err := a.showHistory(p.History); err != nil {
			return err
		}
	}
	if p.More {
		a.moreSubmissions(p.PCSID)
	}
	if p.Then != nil && p.Then.Generation != p.Generation {
		a.notef("Generation %d answered then, and its rows are gone. Outcome and accepted are its own. "+
			"Generation %d says the rest.", p.Then.Generation, p.Generation)
	}
	if unread != nil {
		a.notef("The event with the key, the address and what was claimed was not read: %v", unread)
	}
	return nil
}

// showHistory lists what was said of an id when that is more than what stands.
func (a recordCommands) showHistory(all []wire.HistoryEntry) error {
	fmt.Fprintln(a.out)
	t := a.table(count("FROM SEQ", 1), count("SUBMISSION", 2), count("GENERATION", 3), word("OUTCOME", 4),
		word("ACCEPTED", 5), text("REASON", 6, 10), hexID("POLICY", 7))
	for _, h := range all {
		t.row(h.FromSeq, h.Seq, h.Generation, h.Outcome, h.Accepted, h.ReasonCode, dash(h.Policy))
	}
	return t.flush()
}

func (a recordCommands) eventCommand() *cobra.Command {
	var read client.Read
	cmd := &cobra.Command{
		Use: "event SEQ", Short: "Show one event of the log", Args: exactArgs("SEQ"),
		Long: `event shows one event with its leaf. A pcs_id, or at least the first 8 digits of one, selects the event that decided
about that record.`,
		Example: `  recount event --dev /tmp/recount 1
  recount event 65c8f7093db94687
  recount event -o json 12 | jq -r .payload | base64 -d | tail -c +17 > event.pb`,
		RunE: func(cmd *cobra.Command, args []string) error {
			digits := strings.TrimPrefix(strings.ToUpper(args[0]), "SEQ:")
			seq, err := strconv.ParseUint(digits, 10, 63)
			if named := len(args[0]) >= leastDigits && isHex(args[0]); seq == 0 && (err == nil || !named) {
				return usagef("SEQ %q: must be a whole number, at least 1, or a pcs_id or at least its first %d digits",
					args[0], leastDigits)
			}
			e, err := call(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.EventAnswer, error) {
					if err == nil {
						return c.Event(ctx, seq, read)
					}
					return eventOf(ctx, c, args[0], read)
				})
			if err != nil {
				return err
			}
			pairs := []any{"seq", e.Seq, "kind", e.Kind, "raft index", e.Index, "raft term", e.Term, "raw time",
				e.RawTime, "log time", e.LogTime, "payload bytes", len(e.Payload), "payload sha256",
				e.Leaf.PayloadSHA256, "leaf hash", e.LeafHash}
			return a.printFields(e, append(pairs, summaryPairs(e.Summary)...)...)
		},
	}
	readFlags(cmd, &read)
	return cmd
}

// eventOf is the event whose answer stands for a record.
func eventOf(ctx context.Context, c *client.Client, given string, read client.Read) (*wire.EventAnswer, error) {
	id, err := recordID(ctx, c, given, read)
	if err != nil {
		return nil, err
	}
	p, err := c.Get(ctx, id, read)
	if err != nil {
		return nil, err
	}
	return c.Event(ctx, p.Seq, read)
}

// summaryPairs lists the decoded event in the order of its names.
func summaryPairs(summary map[string]any) []any {
	names := make([]string, 0, len(summary))
	for name := range summary {
		names = append(names, name)
	}
	sort.Strings(names)
	var pairs []any
	for _, name := range names {
		value, isText := summary[name].(string)
		if !isText {
			text, err := json.Marshal(summary[name])
			if err != nil {
				text = []byte(err.Error())
			}
			value = string(text)
		}
		pairs = append(pairs, "."+name, value)
	}
	return pairs
}
