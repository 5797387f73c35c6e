package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/when"
	"github.com/recount-ledger/recount/wire"
)

const tokenHelp = `A token lets its holder read or act: metrics (only /metrics), auditor (reads everything), responder (also policies,
generations and revocations, for incidents) or operator (also tokens and keys). docs/roles.md has the whole table. The
token is made here, and the ledger gets only its digest, so nobody can show it again. Its name is the actor of every operation made
with it. Give each person a token, and never share one.`

// tokenCommands implements recount token.
type tokenCommands struct{ *app }

func (a tokenCommands) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Create, list and revoke bearer tokens",
		Long:  tokenHelp,
		Args:  exactArgs(),
		Example: "  recount token create --role auditor --name alice --expires 30d --out alice.token\n" +
			"  recount token list",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.createCommand(), a.listCommand(), a.revokeCommand())
	return cmd
}

// createdToken is the document that create prints as JSON. Token is empty when it went to a file.
type createdToken struct {
	wire.TokenAnswer
	Token string `json:"token,omitempty"`
	File  string `json:"file,omitempty"`
}

func (a tokenCommands) createCommand() *cobra.Command {
	var f opFlags
	var role, name, out, expires string
	cmd := &cobra.Command{
		Use:   "create --role ROLE --name NAME",
		Short: "Create a token and show it once",
		Args:  exactArgs(),
		Long:  tokenHelp,
		Example: `  recount token create --role auditor --name alice --expires 30d --out alice.token
  recount token create --role responder --name night-shift --expires 12h --ticket INC-7`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			until, err := a.coming("--expires", expires)
			switch {
			case err != nil:
				return err
			case !wire.Role(role).Valid():
				return usagef("--role %q: must be one of %s", role, roleWords())
			case !wire.ValidActor(name):
				return usagef("--name %q: must be 1 to 64 letters, digits, . _ @ -", name)
			case !until.After(time.Now()) || until.After(time.Now().Add(366*24*time.Hour)):
				return usagef("--expires %s: must be after now and within 366 days", expires)
			}
			return a.create(cmd.Context(),
				wire.TokenRequest{Op: a.op(&f), Role: wire.Role(role), Name: name, ExpiresAt: wire.Time(until)}, out)
		},
	}
	cmd.Flags().StringVar(&role, "role", "", roleWords()+" (required)")
	cli.Closed(cmd, "role", roles()...)
	cmd.Flags().StringVar(&name, "name", "", "who will hold it (required)")
	cmd.Flags().StringVar(&expires, "expires", "30d", "until when it counts, at most 366d: "+when.Forms+" after now")
	cmd.Flags().StringVar(&out, "out", "", "write the token to this new file, mode 0600, instead of stdout")
	f.add(cmd)
	return cmd
}

func roleWords() string { return strings.Join(roles(), ", ") }

func roles() (words []string) {
	for _, r := range wire.Roles() {
		words = append(words, string(r))
	}
	return words
}

// create keeps the text before it asks: nobody could tell a valid token that was lost from a stolen one.
func (a tokenCommands) create(ctx context.Context, r wire.TokenRequest, out string) error {
	text, id, err := wire.NewToken(r.Role)
	if err != nil {
		return err
	}
	r.ID, r.Digest = id, wire.TokenDigest(text)
	if out != "" {
		if err := writeNew(out, text+"\n"); err != nil {
			return err
		}
	}
	got, err := callOperation(ctx, a.app, func(ctx context.Context, c *client.Client) (*wire.TokenAnswer, error) {
		return c.CreateToken(ctx, r)
	})
	if err != nil {
		if out != "" && exitCode(err) != exitUnknown {
			_ = os.Remove(out)
		}
		return err
	}
	a.notef("Token %s of %s, role %s, counts until %s. Revoke it with \"recount token revoke %s\".", got.ID,
		got.Name, got.Role, got.ExpiresAt, got.ID)
	made := createdToken{TokenAnswer: *got, File: out}
	if out == "" {
		made.Token = text
	}
	switch {
	case a.format != formatTable:
		return a.printJSON(made)
	case out == "":
		_, err = fmt.Fprintln(a.out, text)
	}
	return err
}

// writeNew writes a file that must not exist, for its owner only.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return usagef("--out: %w", err)
	}
	if _, err = f.WriteString(text); err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}

// tokenLine is a token as one node sees it.
type tokenLine struct {
	Node string `json:"node"`
	wire.TokenAnswer
}

func (a tokenCommands) listCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List tokens, their state and last use", Args: exactArgs(),
		Long: `list asks every endpoint, because each node keeps the last use of a token since its own start, and has
its own tokens file. The table has one row per token, with its last use anywhere and the nodes that know it. If nodes see different
states, each state has a row. With --all-views, and in JSON, there is an item per token and node.`,
		Example: "  recount token list --dev /tmp/recount\n  recount token list --all-views\n" +
			"  recount token list -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.shortTimeout(cmd)
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			views := callAll(cmd.Context(), a.app, c,
				func(ctx context.Context, c *client.Client) (*wire.TokensPage, error) {
					return c.Tokens(ctx)
				})
			return a.printTokens(views, all)
		},
	}
	cmd.Flags().BoolVar(&all, "all-views", false, "one row per token and node")
	return cmd
}

func (a tokenCommands) printTokens(views []view[wire.TokensPage], all bool) error {
	var lines []tokenLine
	for _, v := range views {
		if v.err == nil {
			for _, item := range v.Answer.Items {
				lines = append(lines, tokenLine{v.Answer.Node, item})
			}
		}
	}
	if err := silent(views); err != nil && len(lines) == 0 {
		return err
	}
	if a.format == formatTable && !all {
		lines = mergeTokens(lines)
	}
	l := newList(a.app, func(t *table, x tokenLine) {
		t.row(x.ID, x.Name, x.Role, x.State, x.Source, dash(x.ExpiresAt), dash(x.CreatedBy), x.Node, dash(x.LastUsed))
	}, text("ID", 1, 16), text("NAME", 2, 8), word("ROLE", 3), word("STATE", 4), word("SOURCE", 8),
		moment("EXPIRES", 5), text("CREATED BY", 9, 10), text("KNOWN TO", 7, 8), moment("LAST USED", 6)).
		because("no token was made; \"recount token create\" makes one")
	for _, x := range lines {
		if err := l.add(x); err != nil {
			return err
		}
	}
	return errors.Join(l.end(), silent(views))
}

// mergeTokens joins what the nodes say the same of a token. The order is that of the first node that knows it.
func mergeTokens(lines []tokenLine) (out []tokenLine) {
	type same struct{ id, state, source string }
	at := map[same]int{}
	for _, x := range lines {
		k := same{x.ID, x.State, x.Source}
		i, ok := at[k]
		if !ok {
			at[k] = len(out)
			out = append(out, x)
			continue
		}
		out[i].Node += " " + x.Node
		used, err := wire.ParseTime(x.LastUsed)
		if before, none := wire.ParseTime(out[i].LastUsed); err == nil && (none != nil || used.After(before)) {
			out[i].LastUsed = x.LastUsed
		}
	}
	return out
}

func (a tokenCommands) revokeCommand() *cobra.Command {
	var f confirmFlags
	cmd := &cobra.Command{
		Use: "revoke ID", Short: "Revoke a token or a client certificate, at once and permanently",
		Args: exactArgs("ID"),
		Long: `revoke takes effect on every node as soon as it has folded the event. For operations that is the leader. It cannot be
undone. Create a new token instead. Tokens of a tokens file are revoked the same way. For a client certificate give cert: and its serial number in lower-case hex, as "recount event" shows
for operations made with it.`,
		Example: `  recount token revoke abcdefghij234567 --reason "laptop stolen" --ticket INC-7
  recount token revoke cert:5f3a09c2d1 --yes                                 # where nobody can type an answer`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm(cmd.Context(), &f, "token revoke", tokenHits(args[0])); err != nil {
				return err
			}
			got, err := callOperation(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.TokenAnswer, error) {
					id, err := findToken(ctx, c, args[0])
					if err != nil {
						return nil, err
					}
					return c.RevokeToken(ctx, id, wire.TokenRevokeRequest{Op: a.op(&f.opFlags)})
				})
			if err != nil {
				return err
			}
			return a.printFields(got, "id", got.ID, "name", got.Name, "role", dash(string(got.Role)), "state",
				got.State,
				"by event", got.RevokedSeq, "by", dash(got.RevokedBy))
		},
	}
	f.add(cmd)
	return cmd
}
