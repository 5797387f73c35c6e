package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
)

// completionTimeout bounds the question for ids: a shell waits for it.
const completionTimeout = 1500 * time.Millisecond

// lister finds the ids of one kind, each with a tab and a word about it.
type lister func(context.Context, *client.Client) ([]string, error)

// completeIDs lets the shell complete ids, which the cluster is asked for: arguments by command, and flags by
// their name.
func (a *app) completeIDs(root *cobra.Command) {
	arguments := map[string]lister{
		"key show":            keyIDs,
		"key retire":          keyIDs,
		"key revoke":          keyIDs,
		"key retire-secret":   keyIDs,
		"incident key":        keyIDs,
		"policy show":         policyIDs,
		"policy apply":        policyIDs,
		"policy diff":         policyIDs,
		"shard show":          shardIDs,
		"token revoke":        tokenIDs,
		"approve":             approvalIDs,
		"approve show":        approvalIDs,
		"cluster promote":     memberIDs,
		"cluster remove":      memberIDs,
		"cluster move":        memberIDs,
		"cluster transfer":    memberIDs,
		"cluster replace":     memberIDs,
		"cluster drain":       memberIDs,
		"generation status":   generationIDs,
		"generation diff":     generationIDs,
		"generation activate": generationIDs,
		"generation drop":     generationIDs,
	}
	flags := map[string]lister{"key": keyIDs, "shard": shardIDs, "policy": policyIDs}
	all := []*cobra.Command{root}
	for i := 0; i < len(all); i++ {
		cmd := all[i]
		all = append(all, cmd.Commands()...)
		if list := arguments[strings.TrimPrefix(cmd.CommandPath(), "recount ")]; list != nil {
			cmd.ValidArgsFunction = a.completer(list, cmd.Name() != "diff" || cmd.Parent().Name() != "policy")
		}
		for name, list := range flags {
			if cmd.Flags().Lookup(name) != nil {
				if err := cmd.RegisterFlagCompletionFunc(name, a.completer(list, false)); err != nil {
					panic(err) // registered twice: a mistake in the program
				}
			}
		}
	}
}

// completer asks for ids, quietly and not for long. one is for commands that take a single id.
func (a *app) completer(list lister, one bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		a.quiet, a.err = true, io.Discard
		c, err := a.connect()
		if err != nil || one && len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		ids, err := list(ctx, c)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var fit []string
		for _, id := range ids {
			if strings.HasPrefix(id, begun) {
				fit = append(fit, plain(strings.Replace(id, "\t", "\u2003", 1)))
			}
		}
		for i := range fit {
			fit[i] = strings.Replace(fit[i], "\u2003", "\t", 1)
		}
		return fit, cobra.ShellCompDirectiveNoFileComp
	}
}

func keyIDs(ctx context.Context, c *client.Client) (ids []string, err error) {
	page, err := c.Keys(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range page.Items {
		ids = append(ids, fmt.Sprintf("%s\t%s, %s", k.KeyID, k.Status, dash(k.Owner)))
	}
	return ids, nil
}

func memberIDs(ctx context.Context, c *client.Client) (ids []string, err error) {
	now, err := c.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range now.Members {
		ids = append(ids, fmt.Sprintf("%s\t%s, %s", m.ID, suffrage(m), m.State))
	}
	return ids, nil
}

func policyIDs(ctx context.Context, c *client.Client) (ids []string, err error) {
	page, err := c.Policies(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range page.Items {
		ids = append(ids, fmt.Sprintf("%s\tseq %d, %s", p.ID, p.Seq, dash(p.Reason)))
	}
	return ids, nil
}

func generationIDs(ctx context.Context, c *client.Client) (ids []string, err error) {
	page, err := c.Generations(ctx)
	if err != nil {
		return nil, err
	}
	for _, g := range page.Items {
		ids = append(ids, fmt.Sprintf("%d\t%s, %s", g.Generation, g.State, dash(g.Reason)))
	}
	return ids, nil
}

func tokenIDs(ctx context.Context, c *client.Client) (ids []string, err error) {
	page, err := c.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range page.Items {
		ids = append(ids, fmt.Sprintf("%s\t%s, %s, %s", t.ID, t.Name, t.Role, t.State))
	}
	return ids, nil
}

func approvalIDs(ctx context.Context, c *client.Client) (ids []string, err error) {
	page, err := c.Approvals(ctx)
	if err != nil {
		return nil, err
	}
	for _, x := range page.Items {
		ids = append(ids, fmt.Sprintf("%s\t%s, yes from %s", x.OpID, x.Name, strings.Join(x.Actors, " ")))
	}
	return ids, nil
}

// mostShards bounds the shards that a shell is offered.
const mostShards = 1000

func shardIDs(ctx context.Context, c *client.Client) (ids []string, err error) {
	for s, err := range c.Shards(ctx, client.ShardsQuery{}) {
		if err != nil {
			return ids, err
		}
		if ids = append(ids, s.ShardID); len(ids) == mostShards {
			break
		}
	}
	return ids, nil
}
