package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/term"
)

// confirmFlags are those of an operation that cannot be undone.
type confirmFlags struct {
	opFlags
	yes bool

	// what the operation does and what follows, of one that can be undone but must be meant all the same
	does, then string
}

func (f *confirmFlags) add(cmd *cobra.Command) {
	f.opFlags.add(cmd)
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do it without asking (for scripts)")
}

// confirm lets an operation that cannot be undone go on with --yes, or when somebody on a terminal has seen
// what it hits and has typed its name. look finds out what it hits and the whole name.
func (a *app) confirm(ctx context.Context, f *confirmFlags, operation string,
	look func(context.Context, *client.Client) (name, hits string, err error)) error {
	if f.yes {
		return nil
	}
	if !a.typed() {
		return &codedError{exitUsage,
			fmt.Errorf("%s %s, and nobody is at a terminal to confirm it; nothing was done", operation,
				cmp.Or(f.does, "cannot be undone")),
			"Give --yes if it is meant."}
	}
	a.noteCluster(ctx)
	found, err := call(ctx, a, func(ctx context.Context, c *client.Client) ([2]string, error) {
		name, hits, err := look(ctx, c)
		return [2]string{name, hits}, err
	})
	if err != nil {
		return err
	}
	name := found[0]
	where := a.markedPrompt()
	fmt.Fprintf(a.err, "%s%s %s: %s\n%s%s Type %s to go on: ", where, operation, plain(name), visible(found[1]),
		where, cmp.Or(f.then, "This cannot be undone."), plain(name))
	return a.typeName(name)
}

// markedPrompt begins a question about a cluster that somebody has marked, "" for others.
func (a *app) markedPrompt() string {
	if a.place.mark == (mark{}) {
		return ""
	}
	return "[" + a.markedName(a.place) + "] "
}

// typeName lets an operation go on when its name is typed.
func (a *app) typeName(name string) error {
	line, err := readLine(a.in)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err != nil {
		fmt.Fprintln(a.err) // the cursor stands behind the question
	}
	if got := strings.TrimSpace(line); got != name {
		return &codedError{exitFailed, fmt.Errorf("%q is not %s; nothing was done", got, name),
			"Give the command again, and type the name as it is shown, or give --yes."}
	}
	return nil
}

// readLine reads up to a newline and not a byte more: the next question reads what follows.
func readLine(in io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := in.Read(b)
		if n == 1 && b[0] == '\n' {
			return string(line), nil
		}
		line = append(line, b[:n]...)
		if err != nil {
			return string(line), err
		}
	}
}

// typed reports whether somebody at a terminal can answer.
func (a *app) typed() bool {
	if a.terminal != nil {
		return a.terminal()
	}
	return term.IsTerminal(os.Stdin) && term.IsTerminal(os.Stderr)
}

// The bounds of what confirm counts: it is a help for the eye, and must not keep an operator waiting.
const (
	countPages   = 5
	countTimeout = 5 * time.Second
)

// signedBy counts the records and shards of a key, in words.
func signedBy(ctx context.Context, c *client.Client, id string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	q := client.AuditQuery{Key: id, Limit: 1000}
	shards, records := map[string]bool{}, 0
	for range countPages {
		page, err := c.AuditPage(ctx, q)
		if err != nil {
			return "", err
		}
		for _, item := range page.Items {
			shards[item.ShardID] = true
			records++
		}
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			break
		}
	}
	more := ""
	if q.Cursor != "" {
		more = "more than "
	}
	return fmt.Sprintf("signed %s%s in %s", more, plural(records, "record"), plural(len(shards), "shard")), nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// keyHits looks at a key before it ends.
func keyHits(given string) func(context.Context, *client.Client) (string, string, error) {
	return func(ctx context.Context, c *client.Client) (string, string, error) {
		id, err := findKey(ctx, c, given)
		if err != nil {
			return "", "", err
		}
		k, err := c.Key(ctx, id)
		if err != nil {
			return "", "", err
		}
		signed, err := signedBy(ctx, c, id)
		return id, fmt.Sprintf("%s, owner %s, shards %s, %s, last used %s", k.Status, dash(k.Owner),
			scopeText(k.Scope), signed, dash(k.LastUsed)), err
	}
}

// tokenHits looks at a token before it is revoked. The ledger has no list of client certificates.
func tokenHits(given string) func(context.Context, *client.Client) (string, string, error) {
	return func(ctx context.Context, c *client.Client) (string, string, error) {
		id, err := findToken(ctx, c, given)
		if err != nil {
			return "", "", err
		}
		if strings.HasPrefix(id, event.CertificatePrefix) {
			return id, "the client certificate with this serial number", nil
		}
		page, err := c.Tokens(ctx)
		if err != nil {
			return "", "", err
		}
		for _, x := range page.Items {
			if x.ID == id {
				return id, fmt.Sprintf("%s, role %s of %s, created by %s, expires %s, last used at %s %s", x.State,
					x.Role, x.Name, dash(x.CreatedBy), dash(x.ExpiresAt), page.Node, dash(x.LastUsed)), nil
			}
		}
		return "", "", &codedError{exitNotFound, fmt.Errorf("there is no token %s", id),
			"\"recount token list\" lists them."}
	}
}

// generationHits looks at a generation before it is given up.
func generationHits(n uint32) func(context.Context, *client.Client) (string, string, error) {
	return func(ctx context.Context, c *client.Client) (string, string, error) {
		page, err := c.Generations(ctx)
		if err != nil {
			return "", "", err
		}
		for _, g := range page.Items {
			if g.Generation == n {
				return fmt.Sprint(n),
					fmt.Sprintf("%s, policy %s, started at seq %d by %s, %s", g.State,
						g.Policy[:min(16, len(g.Policy))], g.StartedSeq, dash(g.Actor), dash(g.Reason)), nil
			}
		}
		return "", "", &codedError{exitNotFound, fmt.Errorf("there is no generation %d", n),
			"\"recount generation list\" lists them."}
	}
}
