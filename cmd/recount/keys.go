package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/internal/when"
	"github.com/recount-ledger/recount/wire"
)

const keysHelp = `The ledger has the registry of signing keys: their owners, shards and validity. Nodes register the keys of
their settings by themselves, for every shard and without an end. "key add" sets their terms. A key ends in one of two ways:

  planned:  recount key retire KEY_ID          its earlier records stand
  stolen:   recount incident key KEY_ID ...     revoke, list what it signed, and recount with hindsight`

// keyCommands implements the commands on signing keys.
type keyCommands struct{ *app }

func (a keyCommands) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "key",
		Short:   "Register, list, retire and revoke signing keys",
		Long:    keysHelp,
		Args:    exactArgs(),
		Example: "  recount key list\n  recount key retire hmac-0123456789abcdef --reason \"quarterly rotation\"",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.listCommand(), a.showCommand(), a.addCommand(), a.retireCommand(),
		a.revokeCommand(), a.retireSecretCommand())
	return cmd
}

func (a keyCommands) listCommand() *cobra.Command {
	var read client.Read
	var asOf asOfFlag
	cmd := &cobra.Command{
		Use: "list", Short: "List the registered keys, in the order of registration", Args: exactArgs(),
		Example: `  recount key list --dev /tmp/recount
  recount key list --as-of 2026-01-02T15:04:05Z
  recount key list -o json | jq -r '.[] | select(.status == "active") | .key_id'`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := asOf.parse(a.app, &read); err != nil {
				return err
			}
			page, err := call(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.KeysPage, error) {
					return client.KeysAsOf(ctx, c, read)
				})
			if err != nil {
				return err
			}
			l := newList(a.app, func(t *table, k wire.KeyAnswer) {
				t.row(k.KeyID, k.Status, dash(k.Owner), scopeText(k.Scope), dash(k.NotAfter), dash(k.LastUsed),
					keyAge(k), k.Held, dash(k.Comment))
			}, keyID("KEY", 1), word("STATUS", 2), text("OWNER", 3, 8), text("SHARDS", 4, 8), moment("UNTIL", 7),
				moment("LAST USED", 5), text("AGE", 6, 6), word("HELD HERE", 8),
				text("COMMENT", 9, 10)).
				because("no key is registered; put keys into the settings of the nodes, or \"recount key add\"")
			for _, k := range page.Items {
				if err := l.add(k); err != nil {
					return err
				}
			}
			return l.end()
		},
	}
	asOf.add(cmd, false)
	return cmd
}

// keyAge returns the age of a key in days. An active one of 90 days should have been rotated.
func keyAge(k wire.KeyAnswer) string {
	at, err := wire.ParseTime(k.At)
	if err != nil {
		return "-"
	}
	days := int(time.Since(at).Hours() / 24)
	if days >= 90 && k.Status == wire.KeyActive {
		return fmt.Sprintf("%d d, rotate it", days)
	}
	return fmt.Sprintf("%d d", days)
}

func scopeText(scope []string) string {
	if len(scope) == 0 {
		return "all"
	}
	return strings.Join(scope, " ")
}

func (a keyCommands) showCommand() *cobra.Command {
	var read client.Read
	var asOf asOfFlag
	cmd := &cobra.Command{
		Use: "show KEY_ID", Short: "Show one key with its terms", Args: exactArgs("KEY_ID"),
		Example: `  recount key show hmac-0123456789abcdef
  recount key show hmac-0123456789abcdef --as-of 58`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := asOf.parse(a.app, &read); err != nil {
				return err
			}
			k, err := call(cmd.Context(), a.app, func(ctx context.Context, c *client.Client) (*wire.KeyAnswer, error) {
				id, err := findKey(ctx, c, args[0])
				if err != nil {
					return nil, err
				}
				return client.KeyAsOf(ctx, c, id, read)
			})
			if err != nil {
				return err
			}
			return a.showKey(k)
		},
	}
	asOf.add(cmd, false)
	return cmd
}

func (a keyCommands) showKey(k *wire.KeyAnswer) error {
	pairs := append(asOfPairs(k.AsOf), "key", k.KeyID, "algorithm", k.Alg, "fingerprint", k.Fingerprint,
		"status", k.Status, "owner",
		dash(k.Owner), "shards", scopeText(k.Scope), "not before", dash(k.NotBefore), "not after",
		dash(k.NotAfter), "comment", dash(k.Comment), "registered at seq", k.Seq, "terms since seq", k.TermsSeq,
		"source", k.Source, "last used", dash(k.LastUsed), "last seq", k.LastSeq, "held by the node asked", k.Held)
	if k.RevokedSeq != 0 {
		pairs = append(pairs, "revoked at seq", k.RevokedSeq, "with hindsight since", k.RevokedSince)
	}
	if k.RetiredSeq != 0 {
		pairs = append(pairs, "retired at seq", k.RetiredSeq)
	}
	if k.SecretRetired != 0 {
		pairs = append(pairs, "secret retired at seq", k.SecretRetired)
	}
	return a.printFields(k, pairs...)
}

// keyTerms are the flags of key add.
type keyTerms struct {
	opFlags
	hmacFile, public    string
	notBefore, notAfter string
	r                   wire.KeyRequest
}

func (a keyCommands) addCommand() *cobra.Command {
	var f keyTerms
	cmd := &cobra.Command{
		Use: "add", Short: "Register a key, or change the terms of a registered one", Args: exactArgs(),
		Long: `add puts a key into the ledger: an Ed25519 key with its public key, an HMAC key with its fingerprint only. The secret is
read from the file to compute the fingerprint and is sent nowhere. Every node needs it in its own settings (PCS_HMAC_KEYS_FILE)
and is not ready without it, so put it there first. For a registered key, add replaces all its terms: owner, shards,
validity, comment. Records outside of the terms get 403.

Name a shard by its id, or several by a prefix and a star.`,
		Example: `  recount key add --hmac-key-file agent.key --owner "lab 7" --shard 'lab-7-*' --ticket OPS-3
  recount key add --ed25519-pub agent.pub --owner gateway --not-after 2027-01-01T00:00:00Z`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.read(a.app); err != nil {
				return err
			}
			f.r.Op = a.op(&f.opFlags)
			k, err := callOperation(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.KeyAnswer, error) {
					return c.AddKey(ctx, f.r)
				})
			if err != nil {
				return err
			}
			if !k.Held {
				a.notef("Warning: the node that answered does not hold the secret with the fingerprint %s. A "+
					"node without it is not ready:\nput it into the key files of every node now, or end the "+
					"key: recount key retire %s",
					k.Fingerprint, k.KeyID)
			}
			return a.showKey(k)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.hmacFile, "hmac-key-file", "", "file with the text of an HMAC key")
	flags.StringVar(&f.public, "ed25519-pub", "", "an Ed25519 public key in base64, or the file that holds it")
	flags.StringVar(&f.r.Owner, "owner", "", "who signs with it")
	flags.StringArrayVar(&f.r.Scope, "shard", nil, "shard that it may sign for, repeatable (default: every shard)")
	flags.StringVar(&f.notBefore, "not-before", "", "valid from this log time on: "+when.Forms+" after now")
	flags.StringVar(&f.notAfter, "not-after", "", "valid before this log time, likewise")
	flags.StringVar(&f.r.Comment, "comment", "", "kept with the key")
	f.add(cmd)
	return cmd
}

// read turns the flags into a request.
func (f *keyTerms) read(a *app) error {
	for _, x := range []struct {
		flag, text string
		to         *string
	}{{"--not-before", f.notBefore, &f.r.NotBefore}, {"--not-after", f.notAfter, &f.r.NotAfter}} {
		at, err := a.coming(x.flag, x.text)
		if err != nil {
			return err
		}
		if !at.IsZero() {
			*x.to = wire.Time(at)
		}
	}
	switch {
	case (f.hmacFile == "") == (f.public == ""):
		return usagef("give one of --hmac-key-file and --ed25519-pub")
	case f.hmacFile != "":
		secret, err := readSetting("--hmac-key-file", f.hmacFile)
		if err != nil {
			return err
		}
		text, err := verify.ReadSecret(secret)
		if err != nil {
			return usagef("--hmac-key-file %s: %w", f.hmacFile, err)
		}
		k, err := verify.NewHMACKey(text)
		if err != nil {
			return usagef("--hmac-key-file: %w", err)
		}
		f.r.Alg, f.r.Fingerprint = k.Alg.String(), hex.EncodeToString(k.Fingerprint[:])
		return nil
	}
	public, err := readPublic(f.public)
	if err != nil {
		return err
	}
	f.r.Alg, f.r.Public = verify.Ed25519.String(), base64.StdEncoding.EncodeToString(public)
	return nil
}

// readPublic is the public key that --ed25519-pub gives: in a file, or as it stands.
func readPublic(given string) ([]byte, error) {
	text, from := []byte(given), "neither a file nor"
	if exists(given) {
		var err error
		if text, err = readSetting("--ed25519-pub", given); err != nil {
			return nil, err
		}
		from = "does not hold"
	}
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.Strict().DecodeString} {
		if public, err := decode(string(bytes.TrimSpace(text))); err == nil && len(public) == ed25519.PublicKeySize {
			return public, nil
		}
	}
	return nil,
		usagef("--ed25519-pub %s: %s the 32 bytes of a public key in base64 or hex; "+
			"\"recount keygen ed25519\" makes a pair", given, from)
}

// endCommand is a command that needs nothing but a key and cannot be undone.
func (a keyCommands) endCommand(use, short, long, example string,
	do func(*client.Client, context.Context, string, wire.Op) (*wire.KeyAnswer, error)) *cobra.Command {
	var f confirmFlags
	cmd := &cobra.Command{Use: use + " KEY_ID", Short: short, Long: long, Example: example, Args: exactArgs("KEY_ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm(cmd.Context(), &f, "keys "+use, keyHits(args[0])); err != nil {
				return err
			}
			k, err := callOperation(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.KeyAnswer, error) {
					id, err := findKey(ctx, c, args[0])
					if err != nil {
						return nil, err
					}
					return do(c, ctx, id, a.op(&f.opFlags))
				})
			if err != nil {
				return err
			}
			return a.showKey(k)
		}}
	f.add(cmd)
	return cmd
}

func (a keyCommands) retireCommand() *cobra.Command {
	return a.endCommand("retire", "End a key as planned; what it signed stands",
		`retire takes effect at its event, on every node: later records of the key are answered 403. It cannot be undone. To rotate without a gap, add the
new key first, move the agents, wait until the old key signs nothing any more (recount audit --key OLD --since 1h), then
retire it. Repeats of records that it signed are refused too, so wait until the agents' outboxes are empty.`,
		`  recount key retire hmac-0123456789abcdef --reason "quarterly rotation" --ticket OPS-4
  recount key retire hmac-0123456789abcdef --reason "quarterly rotation" --yes    # where nobody can type an answer`, (*client.Client).RetireKey)
}

func (a keyCommands) retireSecretCommand() *cobra.Command {
	return a.endCommand("retire-secret", "Let the nodes forget the secret of a key that signs no more",
		`A node recomputes the signatures of old records when it recounts. After retire-secret it need not: what the ledger recorded
of the key's signatures stands. Then take the secret out of the settings of the nodes.`,
		`  recount key retire-secret hmac-0123456789abcdef --ticket OPS-5
  recount key retire-secret hmac-0123456789abcdef --ticket OPS-5 --yes      # where nobody can type an answer`, (*client.Client).RetireSecret)
}

func (a keyCommands) revokeCommand() *cobra.Command {
	var f confirmFlags
	var since string
	cmd := &cobra.Command{
		Use: "revoke KEY_ID", Short: "Revoke a key: reject everything it signs from now on", Args: exactArgs("KEY_ID"),
		Long: `revoke takes effect at its event, on every node, and cannot be undone. Its earlier records stand. To remove the records
since the theft, give the time and recount with hindsight:

  recount key revoke KEY_ID --since 2026-11-01T00:00:00Z --ticket INC-9
  recount generation start --policy ID --keys hindsight --ticket INC-9

Revoking again with an earlier --since moves that time. recount incident key does all of it and lists what the key signed.`,
		Example: `  recount key revoke hmac-0123456789abcdef --reason stolen --ticket INC-9
  recount key revoke ed-0123456789abcdef --since 36h --yes                  # where nobody can type an answer`,
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := a.past(since)
			if err != nil {
				return err
			}
			if err := a.confirm(cmd.Context(), &f, "key revoke", keyHits(args[0])); err != nil {
				return err
			}
			r := wire.RevokeRequest{Op: a.op(&f.opFlags)}
			if !at.IsZero() {
				r.Since = wire.Time(at)
			}
			got, err := callOperation(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.RevokeAnswer, error) {
					id, err := findKey(ctx, c, args[0])
					if err != nil {
						return nil, err
					}
					return c.RevokeKey(ctx, id, r)
				})
			if err != nil {
				return err
			}
			return a.printFields(got, "key", got.KeyID, "refused after seq", got.Seq, "with hindsight since", got.Since)
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "for folds with hindsight (default: now): "+when.Forms+" before now")
	f.add(cmd)
	return cmd
}
