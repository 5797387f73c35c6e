package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/wire"
)

// mint holds the flags of `token mint`.
type mint struct {
	role, name, expires, out, output string
}

// minted is the result. Token is empty if it was written to a file.
type minted struct {
	ID        string `json:"id"`
	Role      string `json:"role"`
	Name      string `json:"name"`
	ExpiresAt string `json:"expires_at"` // RFC 3339, or never
	Token     string `json:"token,omitempty"`
	File      string `json:"file,omitempty"`
	Line      string `json:"line"` // for auth.tokens_file
}

func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "token", Short: "Make the first tokens of a cluster",
		Example: "  recount-node token mint --role operator --name root --out root.token >> tokens",
	}
	cmd.AddCommand(mintCommand())
	return cmd
}

func mintCommand() *cobra.Command {
	var m mint
	cmd := &cobra.Command{
		Use:   "mint --role ROLE --name NAME",
		Short: "Make a token and its line for auth.tokens_file, without a node",
		Args:  cli.None,
		Long: `Make a token and the line that registers it with the nodes. The command contacts nothing, and no node needs to run. A new ledger
has no token, so nobody could create the first one otherwise.

The token is shown once. The line holds only its digest. Put it into the file that auth.tokens_file names, the same on every
node, before the nodes start, because they read the file when they start. Make all later tokens with recount token create, which needs no
restart. Roles: ` + roleWords() + `.

With --out the token goes to a new file, mode 0600, and nothing but the line to stdout.`,
		Example: `  # token to a file, line to the tokens file
  recount-node token mint --role operator --name root --expires 90d --out root.token >> tokens

  # both on the terminal
  recount-node token mint --role metrics --name prometheus --expires 365d`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			made, err := m.make(time.Now())
			if err != nil {
				return err
			}
			return m.print(cmd, made)
		},
	}
	f := cmd.Flags()
	f.StringVar(&m.role, "role", "", roleWords()+" (required)")
	f.StringVar(&m.name, "name", "", "who will hold it: the actor of every operation done with it (required)")
	f.StringVar(&m.expires, "expires", "90d", "how long it counts, such as 90d or 12h, or never")
	f.StringVar(&m.out, "out", "", "write the token to this new file, mode 0600, instead of stdout")
	f.StringVarP(&m.output, "output", "o", "table", "table or json")
	cli.Closed(cmd, "output", "table", "json")
	cli.Closed(cmd, "role", strings.Split(roleWords(), ", ")...)
	return cmd
}

func roleWords() string {
	var words []string
	for _, r := range wire.Roles() {
		words = append(words, string(r))
	}
	return strings.Join(words, ", ")
}

// make checks everything before it creates anything.
func (m mint) make(now time.Time) (minted, error) {
	role, expires := wire.Role(m.role), m.expires
	var errs []error
	if m.role == "" {
		errs = append(errs, fmt.Errorf("--role is required: one of %s", roleWords()))
	}
	if !wire.ValidActor(m.name) {
		errs = append(errs, fmt.Errorf("--name %q: must be 1 to 64 letters, digits, . _ @ -", m.name))
	}
	if expires != "never" {
		life, ok := parseSpan(expires)
		if !ok {
			errs = append(errs,
				fmt.Errorf("--expires %q: a positive time such as 90d or 12h, at most 36500d, or never", expires))
		}
		expires = now.Add(life).UTC().Format(time.RFC3339)
	}
	if err := errors.Join(errs...); err != nil {
		return minted{}, &usageError{err}
	}
	text, id, err := wire.NewToken(role)
	if err != nil {
		return minted{}, err
	}
	made := minted{ID: id, Role: m.role, Name: m.name, ExpiresAt: expires, Token: text, File: m.out,
		Line: strings.Join([]string{id, m.role, wire.TokenDigest(text), expires, m.name}, " ")}
	if m.out != "" {
		made.Token = ""
		return made, writeSecret(m.out, text+"\n")
	}
	return made, nil
}

func (m mint) print(cmd *cobra.Command, made minted) error {
	out := cmd.OutOrStdout()
	switch {
	case m.output == "json":
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(made)
	case made.File != "":
		fmt.Fprintf(cmd.ErrOrStderr(),
			"The token is in %s. The line on stdout belongs into the file that auth.tokens_file names, on "+
				"every node.\n",
			made.File)
		_, err := fmt.Fprintln(out, made.Line)
		return err
	}
	_, err := fmt.Fprintf(out,
		"token, shown once:\n  %s\nline for the file that auth.tokens_file names, on every node:\n  %s\n",
		made.Token, made.Line)
	return err
}

// writeSecret writes a new file that only its owner can read. The file must not exist.
func writeSecret(path, text string) error { return writeNew(path, []byte(text), 0o600) }

// writeNew writes a new file. The file must not exist. When it cannot be written whole, nothing is left of it.
func writeNew(path string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		return &usageError{fmt.Errorf("%s exists; nothing was written. Give another name", path)}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
