package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/when"
	"github.com/recount-ledger/recount/wire"
)

// operationsFlags say which operations are listed, and how.
type operationsFlags struct {
	client.Read
	since, until, actor, kind string
	from, to                  uint64
	limit, last               int
	reverse, follow           bool

	after, before time.Time
}

// operationCommands implements the list of operations.
type operationCommands struct{ *app }

func (a operationCommands) command() *cobra.Command {
	var f operationsFlags
	cmd := &cobra.Command{
		Use: "operations", Short: "List what operators have done, from the log", Args: exactArgs(),
		Long: `operations lists the events of operators: who activated, applied, froze, thawed, revoked or approved what, in which role, why, and
with which result. Refused requests are not events. They are in the audit stream of the node (docs/audit-logging.md).`,
		Example: `  recount operations --since 2d
  recount operations --last 5
  recount operations --actor alice --since yesterday --until today -o json
  recount operations --kind generation_activated
  recount operations --follow`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(a.app); err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			return a.list(cmd.Context(), c, &f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "", "only operations with log time at or after it: "+when.Forms+" before now")
	flags.StringVar(&f.until, "until", "", "only operations with log time before it, likewise")
	flags.StringVar(&f.actor, "actor", "", "only what this actor did")
	flags.StringVar(&f.kind, "kind", "", "only events of this kind: "+strings.Join(operationKinds(), ", "))
	flags.Uint64Var(&f.from, "from-seq", 0, "first event to look at")
	flags.Uint64Var(&f.to, "to-seq", 0, "last event to look at")
	flags.IntVar(&f.limit, "limit", 0, "stop after so many rows (0: no limit)")
	flags.IntVar(&f.last, "last", 0, "only the newest so many, newest first")
	flags.BoolVar(&f.reverse, "reverse", false, "newest first")
	flags.BoolVar(&f.follow, "follow", false, "go on with what is added, until interrupted")
	readFlags(cmd, &f.Read)
	return cmd
}

// operationKinds lists the kinds of operators' events.
func operationKinds() (words []string) {
	for _, k := range event.Kinds() {
		if k.Operation() {
			words = append(words, k.String())
		}
	}
	return words
}

func (f *operationsFlags) check(a *app) (err error) {
	switch {
	case f.kind != "" && !slices.Contains(operationKinds(), f.kind):
		return usagef("--kind %q: must be one of %s", f.kind, strings.Join(operationKinds(), ", "))
	case f.limit < 0 || f.last < 0:
		return usagef("--limit and --last must not be negative")
	case f.to != 0 && f.to < f.from:
		return usagef("--to-seq %d is below --from-seq %d", f.to, f.from)
	case f.last > 0 && f.limit > 0:
		return usagef("give --last or --limit, not both")
	case f.follow && (f.last > 0 || f.reverse || f.to != 0 || f.until != ""):
		return usagef("--follow goes forward and without an end: leave out --last, --reverse, --to-seq and --until")
	case f.follow && a.format == formatJSON:
		return usagef("--follow prints a stream: use -o ndjson or -o table")
	}
	if f.after, err = a.moment("--since", f.since); err != nil {
		return err
	}
	if f.before, err = a.moment("--until", f.until); err != nil {
		return err
	}
	return spanOfTimes(f.after, f.before)
}

// takes reports whether the flags select an operation, and whether no later one can be selected.
func (f *operationsFlags) takes(i wire.OperationItem) (ok, done bool, err error) {
	at, err := wire.ParseTime(i.LogTime)
	switch {
	case err != nil:
		return false, false, err
	case f.to != 0 && i.Seq > f.to, !f.before.IsZero() && !at.Before(f.before):
		return false, true, nil
	}
	return !at.Before(f.after) && (f.actor == "" || strings.EqualFold(i.Actor, f.actor)) &&
		(f.kind == "" || i.Kind == f.kind), false, nil
}

func (a operationCommands) list(ctx context.Context, c *client.Client, f *operationsFlags) error {
	l := newList(a.app, operationRow, usual(count("SEQ", 1), 6), moment("LOG TIME", 4), usual(text("ACTOR", 3, 8), 10),
		usual(text("WHAT", 2, 20), 36), extra(word("KIND", 9)), word("EFFECT", 5),
		extra(word("ROLE", 10)), text("REASON", 6, 12), text("TICKET", 7, 8), extra(text("CREDENTIAL", 11, 8)),
		extra(text("ABOUT", 12, 8)))
	l.none = func() string { return f.whyNone() }
	add := l.add
	var newest []wire.OperationItem
	if f.last > 0 || f.reverse {
		add = func(i wire.OperationItem) error {
			if newest = append(newest, i); f.last > 0 && len(newest) > f.last {
				newest = newest[1:]
			}
			return nil
		}
	}
	err := a.eachOperation(ctx, c, f, add, l.flush)
	if err != nil {
		return errors.Join(l.cut(), err)
	}
	for _, i := range slices.Backward(newest) {
		if err := l.add(i); err != nil {
			return err
		}
	}
	return l.end()
}

func (f *operationsFlags) whyNone() string {
	if f.kind == "" && f.actor == "" && f.after.IsZero() && f.before.IsZero() && f.from == 0 && f.to == 0 {
		return "no operator has done anything yet"
	}
	return "no operator's event is in this selection; \"recount operations\" without filters lists all of them"
}

func operationRow(t *table, i wire.OperationItem) {
	t.row(i.Seq, i.LogTime, dash(i.Actor), operationText(i), i.Kind, i.Effect,
		dash(i.Role), dash(i.Reason), dash(i.Ticket), dash(i.Credential), eventText(i.About))
}
